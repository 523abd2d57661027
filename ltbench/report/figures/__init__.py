"""Figures of a report as data, one module a question; `draw` makes PNG and PDF of them, the page draws them itself."""
