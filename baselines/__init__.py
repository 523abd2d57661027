"""What the methods are compared with, one file each; found by scanning this package."""
