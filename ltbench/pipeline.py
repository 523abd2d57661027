"""The stages of one run, each skipped when its artifact exists: train -> sample -> score, and probe."""
