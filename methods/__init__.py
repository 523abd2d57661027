"""Methods under study, one file each; found by scanning this package."""
