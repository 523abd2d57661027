"""The league over many bundles: from their scores to ranks within one protocol, and a page of them."""
