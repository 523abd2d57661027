"""Stored scores -> tables, figures and one HTML page. Knows nothing of how scores were made."""

from ltbench.report.build import Report, report_folder, write_report

__all__ = ["Report", "report_folder", "write_report"]
