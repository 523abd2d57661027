"""Figures of a report, one module a kind; each returns `FigureFile`s, or none where nothing is stored."""
