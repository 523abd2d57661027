"""Stored results for the report: `ltbench.runs` reads them."""

from ltbench.runs.results import Results, load_results, load_scores
from ltbench.runs.run import Run
from ltbench.runs.provenance import read_provenance
from ltbench.runs.scores import read_scores
from ltbench.runs.series import cell_label, label_without

__all__ = [
    "Results",
    "Run",
    "cell_label",
    "label_without",
    "load_results",
    "load_scores",
    "read_provenance",
    "read_scores",
]
