"""The sweep: what is done, by whom and how far, on disk."""
