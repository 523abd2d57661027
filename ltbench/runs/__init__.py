"""Runs: the folder of a training on disk, read and written only here."""
