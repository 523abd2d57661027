"""The fair comparison of diffusion models trained on long-tailed data.

    import ltbench as lt

    study = lt.load_study("demo")                  # what is asked for
    runs = lt.run(study, out="runs")               # train, sample, score
    scores = lt.load_scores("runs")                # one row a number
    lt.compare(scores, baseline="ddpm")            # paired by seed
    lt.report("runs")                              # tables, figures, one page

These names follow semantic versioning, everything else is private. Each is loaded on first use.
"""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ltbench.api import (
        available,
        compare,
        evaluate,
        load_dataset,
        load_run,
        load_scores,
        load_study,
        report,
        run,
        sample,
        score,
    )
    from ltbench.method import Batch, Method, Needs

__version__ = "0.1.0"
__all__ = [
    "Batch",
    "Method",
    "Needs",
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
_OF_METHOD = ("Batch", "Method", "Needs")


def __getattr__(name: str) -> Any:
    import importlib

    if name not in __all__:
        raise AttributeError(f"module 'ltbench' has no attribute {name!r}")
    value = getattr(importlib.import_module("ltbench.method" if name in _OF_METHOD else "ltbench.api"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


class _Front(ModuleType):
    """This module: `report` stays the function when the package of that name is imported, as by its tables."""

    @property
    def report(self) -> Any:
        """The function `ltbench.api.report`."""
        from ltbench import api

        return api.report

    @report.setter
    def report(self, package: ModuleType) -> None: ...


sys.modules[__name__].__class__ = _Front
