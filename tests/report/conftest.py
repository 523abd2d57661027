"""The studies that these tests read."""

from report_fixtures import contrast_study, pages_report, pages_study, seeds_cell, seeds_root  # noqa: F401
