"""Stored scores -> numbers that may be compared, and their names: series, means over seeds, protocols, differences."""
