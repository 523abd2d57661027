"""Preparing a folder of images: read, resize, check and store it."""
