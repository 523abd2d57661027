"""What a report holds before it is written as a page: data cells with their tables and figures, and findings."""

import functools
from dataclasses import dataclass, field

import pandas as pd

from ltbench.report.aggregate import Cell
from ltbench.report.figures.style import FigureFile
from ltbench.report.findings import cell_findings, declared_findings, glance_table
from ltbench.report.load import Results
from ltbench.report.tables import Table

# Figures that a cell may lack: name, what it shows, what it needs.
_WANTED = (
    ("tsne", "t-SNE of the bottleneck", "probes with stored features (score.probes)"),
    ("entanglement-noise", "entanglement over noise level", "probes at several levels (score.probes)"),
    ("entanglement-training", "entanglement over training", "probes at several steps (train.snapshots)"),
    ("factor-step", "score at equal steps", "sample sets at several steps (train.snapshots)"),
    ("factor-flops", "score at equal FLOPs", "sample sets at several steps (train.snapshots)"),
    ("factor-guidance", "guidance curve", "sample sets at several guidances"),
    ("factor-nfe", "sampler curve", "sample sets at several numbers of sampler steps"),
    ("factor-hyper", "temperature and other hyper-parameter curves", "trainings at several values"),
    ("nearest", "memorisation pairs", "nearest.npz beside the scores"),
    ("confusion", "confusion of classes", "confusion.csv beside the scores"),
    ("samples", "sample sheet", "images.npy and labels.npy beside the scores"),
)


@dataclass(frozen=True)
class Section:
    """One data cell's part of the report.

    Attributes
    ----------
    cell : its results.
    overall, per_class, statistics : its tables; the first per-class table leads, the others are details.
    figures : its figures, already written.
    contrasts : the paired differences with the baseline (see `statistics.contrasts`).
    details : tables for who wants everything, on a page of their own.
    """

    cell: Cell
    overall: Table
    per_class: list[Table]
    statistics: list[Table]
    figures: list[FigureFile]
    contrasts: pd.DataFrame
    details: list[Table] = field(default_factory=list)

    def tables(self) -> list[Table]:
        """Return the tables of the report's first page in print order."""
        return [self.overall, *self.statistics, *self.per_class[:1]]

    def more(self) -> list[Table]:
        """Return the tables of details.md."""
        return [*self.per_class[1:], *self.details]


@dataclass
class Content:
    """A whole report."""

    results: Results
    sections: list[Section]
    baseline: str
    paper: list[Table] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    across: list[Table] = field(default_factory=list)

    @functools.cached_property
    def glance(self) -> Table | None:
        """The table that carries the findings over all data cells."""
        return glance_table([(s.cell, s.contrasts) for s in self.sections], self.baseline)

    def tables(self) -> list[Table]:
        """Return the tables that are also written as LaTeX: all but the near-duplicates, which are in the CSV."""
        kept = [
            table
            for section in self.sections
            for table in [*section.tables(), *section.more()]
            if not table.name.startswith("per-class") or table.name.startswith(_PER_CLASS)
        ]
        return [*([self.glance] if self.glance else []), *kept, *self.across]

    def findings(self) -> list[str]:
        """Return what was declared beforehand, then what each data cell and guidance shows against the baseline."""
        declared = declared_findings([(s.cell, s.contrasts) for s in self.sections])
        found = [f for s in self.sections for f in cell_findings(s.cell, s.contrasts, self.baseline)]
        return [*declared, *found]

    def gaps(self) -> list[str]:
        """Say which of the usual figures could not be drawn, where, and what each needs."""
        out = []
        for name, what, needs in _WANTED:
            lacking = [s.cell.label for s in self.sections if not _drawn(s.figures, name)]
            if lacking:
                where = "nowhere" if len(lacking) == len(self.sections) else f"not for {'; '.join(lacking)}"
                out.append(f"{what}: {where}; needs {needs}.")
        return out


_PER_CLASS = tuple(
    f"per-class-{metric}-" for metric in ("frechet", "recall", "agreement", "memorisation_rate")
)


def _drawn(figures: list[FigureFile], name: str) -> bool:
    if name == "factor-hyper":
        known = ("factor-step", "factor-flops", "factor-guidance", "factor-nfe")
        return any(f.name.startswith("factor-") and not f.name.startswith(known) for f in figures)
    return any(f.name.startswith(name) for f in figures)
