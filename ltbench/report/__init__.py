"""Stored scores -> tables, figures and one HTML page. Knows nothing of how scores were made."""

from ltbench.report.load import Results, Run, load_results, load_scores
from ltbench.report.write import ReportPaths, write_report

__all__ = ["ReportPaths", "Results", "Run", "load_results", "load_scores", "write_report"]
