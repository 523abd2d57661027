"""One source of images a file."""
