"""Published data cells beside our results of them: which of our series and measures stand for a paper's."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from ltbench.analysis.cell_results import CellResults
from ltbench.analysis.columns import Column
from ltbench.analysis.names import method_rank, metric_title
from ltbench.analysis.series import Series, stated

# The papers' names -> ours: metric and extractor, the papers' own protocol first. Others are shown by their own name.
OURS = {
    "fid": [("frechet", "inception")],
    "is": [("inception_score", "inception")],
    "kid": [("kid_subsets_mean", "inception"), ("kid", "inception")],
    "prd_f8": [("f8", "inception")],
    "prd_f1_8": [("f1_8", "inception")],
    "recall": [
        ("recall_coral", "vgg16"),
        ("recall", "vgg16"),
        ("recall_cbdm", "inception"),
        ("recall", "inception"),
    ],
}


def published_title(metric: str) -> str:
    """Name a published metric as our own of that meaning, or in its source's words."""
    if metric in OURS:
        return "Recall ↑" if metric == "recall" else metric_title(OURS[metric][0][0], "inception")
    return metric.replace("_", " ").replace("fid", "FID").replace("kid", "KID")


@dataclass(frozen=True)
class Paper:
    """One published data cell: its numbers beside our results of it.

    Attributes
    ----------
    dataset, ratio : as the source states them; nan is not stated.
    numbers : its rows of `load_published`.
    cell : the published split's results, if any: no other class order, split, size or head count.
    """

    dataset: str
    ratio: float
    numbers: pd.DataFrame
    cell: CellResults | None

    def name(self, joint: str) -> str:
        """Name it: its data set, and its ratio where the source states one."""
        return self.dataset if self.ratio != self.ratio else f"{self.dataset}{joint}{self.ratio:g}"

    @functools.cached_property
    def series(self) -> list[Series]:
        """Our series: of each method and setting the most trained, most finely sampled."""
        every = [] if self.cell is None else self.cell.series
        finest = sorted(every, key=lambda one: stated(one.step, one.nfe))
        best = {(*one.pair, one.differs, one.scale): one for one in finest}
        return [one for one in every if best[*one.pair, one.differs, one.scale] is one]

    @property
    def order(self) -> tuple[str, bool, float]:
        """Sort key in print: each data set's by falling ratio."""
        return self.dataset, self.ratio != self.ratio, -self.ratio

    @property
    def absent(self) -> list[str]:
        """Its methods that nobody has run here."""
        return sorted(set(self.numbers["method"]) - {one.method for one in self.series}, key=method_rank)

    def column(self, metric: str, scope: str = "overall") -> Column | None:
        """Return our measure that stands for a published metric, the papers' protocol before others."""
        scored = [] if self.cell is None else self.cell.measures(scope)
        for protocol in OURS.get(metric, []):
            if match := [m for m in scored if (m.metric, m.extractor) == protocol]:
                return Column("", max(match, key=lambda m: m.n_generated), scope)
        return None


def papers_of(found: Sequence[CellResults], published: pd.DataFrame) -> list[Paper]:
    """Return the published data cells in the files' order, with our results of those that were run."""

    def is_of(cell: CellResults, dataset: str, ratio: float) -> bool:
        same = cell.key == f"{dataset}, ratio {ratio:g}" and cell.imbalance_ratio == ratio
        return cell.dataset == dataset and (same or (ratio != ratio and cell.published))

    out = []
    for _, rows in published.groupby(["dataset", "imbalance_ratio"], sort=False, dropna=False):
        dataset, ratio = rows.iloc[0][["dataset", "imbalance_ratio"]]
        cell = next((cell for cell in found if is_of(cell, dataset, ratio)), None)
        out.append(Paper(dataset, ratio, rows, cell))
    return out
