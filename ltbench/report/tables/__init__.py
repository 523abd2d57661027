"""Tables of a report, one module a question; each function returns a `Table`, or None where nothing is stored."""
