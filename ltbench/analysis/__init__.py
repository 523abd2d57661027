"""Stored scores -> numbers that may be compared: series, means over seeds, protocols, differences; `report` prints them."""
