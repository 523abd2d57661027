"""The public functions: from names, folders and arrays to data sets, runs, images, tables and reports.

A notebook and the command line call the same functions. None of them prints (but for the progress of `run`,
where it is asked for) and none of them ends the process: what goes wrong is an `ltbench.errors.LtbenchError`
whose sentence says how to mend it. Heavy libraries are imported by the function that needs them.
"""

from ltbench.api.extensions import available
from ltbench.api.images import DenoiserLike, evaluate, sample, score
from ltbench.api.loading import load_dataset, load_study
from ltbench.api.results import Report, compare, load_scores, report
from ltbench.api.runs import Run, load_run, run

__all__ = [
    "DenoiserLike",
    "Report",
    "Run",
    "available",
    "compare",
    "evaluate",
    "load_dataset",
    "load_run",
    "load_scores",
    "load_study",
    "report",
    "run",
    "sample",
    "score",
]
