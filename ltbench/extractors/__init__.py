"""Feature extractors: images to features and class scores, behind one interface."""
