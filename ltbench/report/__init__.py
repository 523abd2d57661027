"""Stored scores -> tables, figures and one HTML page. Knows nothing of how scores were made."""

from ltbench.report.build import Report, report_folder, write_report
from ltbench.runs.results import Results, load_results, load_scores
from ltbench.runs.run import Run

__all__ = ["Report", "Results", "Run", "load_results", "load_scores", "report_folder", "write_report"]
