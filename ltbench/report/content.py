"""What a report holds before it is written as a page: data cells with their tables and figures, and findings."""

from dataclasses import dataclass, field

import pandas as pd

from ltbench.report.aggregate import Cell, main_series
from ltbench.report.figures.style import FigureFile
from ltbench.report.load import Results
from ltbench.report.naming import group_title, method_title, metric_style, metric_title
from ltbench.report.tables import Table


@dataclass(frozen=True)
class Section:
    """One data cell's part of the report.

    Attributes
    ----------
    cell : its results.
    overall, per_class, statistics : its tables.
    figures : its figures, already written.
    contrasts : the paired differences with the baseline (see `statistics.contrasts`).
    """

    cell: Cell
    overall: Table
    per_class: list[Table]
    statistics: list[Table]
    figures: list[FigureFile]
    contrasts: pd.DataFrame

    def tables(self) -> list[Table]:
        """Return all tables in print order."""
        return [self.overall, *self.statistics, *self.per_class]


@dataclass
class Content:
    """A whole report."""

    results: Results
    sections: list[Section]
    baseline: str
    paper: list[Table] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def tables(self) -> list[Table]:
        """Return the tables of all data cells."""
        return [table for section in self.sections for table in section.tables()]

    def findings(self) -> list[str]:
        """Return one sentence a data cell and method: how it differs from the baseline, overall and in the tail."""
        return [sentence for section in self.sections for sentence in _findings(section, self.baseline)]


def _findings(section: Section, baseline: str) -> list[str]:
    """Say what the intervals support about the first Frechet distance, or why they support nothing."""
    shown = set(main_series(section.cell)["series"])
    rows = section.contrasts
    if rows.empty:
        alone = ", ".join(method_title(m) for m in section.cell.series["method"].unique())
        return [
            f"{section.cell.label}: {alone}; nothing to compare with {method_title(baseline)} seed by seed."
        ]
    rows = rows[rows["series"].isin(shown) & (rows["metric"] == "frechet")]
    rows = rows[(rows["scope"] == "overall") | rows["class_or_group"].isin(("head", "tail"))]
    out = []
    for _, found in rows.groupby(["series", "extractor"], sort=False):
        first = found.iloc[0]
        parts = [
            f"{_where(row)} {_change(row)}" for _, row in found.drop_duplicates("class_or_group").iterrows()
        ]
        title = metric_title("frechet", first["extractor"], arrow=False)
        out.append(
            f"{section.cell.label}: {first['label']} against {first['baseline_label']}, {title}: "
            f"{'; '.join(parts)}."
        )
    return out


def _where(row: pd.Series) -> str:
    return "overall" if row["scope"] == "overall" else group_title(row["class_or_group"])


def _change(row: pd.Series) -> str:
    decimals = metric_style(row["metric"]).decimals
    told = f"{row['mean']:+.{decimals}f}"
    if row["n"] < 2:
        return f"{told} (one seed: no interval)"
    interval = f"95 % interval [{row['low']:+.{decimals}f}, {row['high']:+.{decimals}f}], {row['agree']} of {row['n']} seeds"
    if row["low"] <= 0 <= row["high"]:
        return f"{told} ({interval}: no difference shown)"
    return f"{told} ({interval}: {'lower' if row['mean'] < 0 else 'higher'})"
