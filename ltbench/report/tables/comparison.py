"""What moved between two result folders, as a table: from the comparison to the numbers worth a look."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ltbench.analysis.comparison import STATUSES, Comparison
from ltbench.analysis.names import MISSING, group_title, integer, metric_title, number, output_of
from ltbench.report.tables.grid import Table, marked

_SHOWN = ("moved", "differs, one seed", "not comparable")
_COLUMNS = ["Data", "Method", "Where", "Metric", "A", "n", "B", "n", "B - A", "95 % interval", "Verdict"]


def comparison_table(found: Comparison) -> Table:
    """Build the table of what moved, differs or cannot be compared, each kind's largest relative move first.

    The largest move that its spread covers is named besides: one broken run hides in the spread it makes.
    """
    size = (found.rows["difference"] / found.rows["mean_a"]).abs()
    rows = found.rows.assign(size=size).sort_values("size", ascending=False, kind="stable")
    of = {status: rows[rows["status"] == status] for status in STATUSES}
    shown = [_entries(row) for status in _SHOWN for _, row in of[status].iterrows()]
    counts = ", ".join(f"{count:,} {status}" for status, count in found.counts().items() if count)
    notes = [
        f"A: {found.a}; B: {found.b}. {counts}. Moved: the 95 % Welch interval of the difference of means "
        "over training seeds leaves out 0; about one in twenty does by chance alone."
    ]
    within = of["within spread"][of["within spread"]["mean_a"] != 0]
    for _, row in within[[not output_of(m).auxiliary for m in within["metric"]]].head(1).iterrows():
        data, label, where, metric, a, _, b, *_ = _entries(row)
        notes.append(f"Largest move within spread: {label}, {where}, {metric}: {a} -> {b} ({data}).")
    title = f"What moved between {found.a.name} and {found.b.name}"
    return Table("comparison", title, _COLUMNS, shown, 4, (), notes)


def _entries(row: pd.Series) -> list[str]:
    """Print one number of both: data cell, method, place, metric, A, n, B, n, difference, interval, status."""
    decimals, place, status = output_of(row["metric"]).decimals + 1, row["class_or_group"], row["status"]
    where = {"class": f"class {place}", "pooled": f"{place}, pooled"}.get(row["scope"], group_title(place))
    difference, low, high = (
        f"{row[name]:+.{decimals}f}" if np.isfinite(row[name]) else MISSING
        for name in ("difference", "low", "high")
    )
    interval = MISSING if low == MISSING else f"[{low}, {high}]"
    a, b = ([number(row[f"mean_{side}"], decimals), integer(row[f"n_{side}"])] for side in "ab")
    title = metric_title(row["metric"], row["extractor"])
    verdict = marked(status, status == "moved")
    return [row["cell"], row["label"], where, title, *a, *b, difference, interval, verdict]
