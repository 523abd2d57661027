"""Two result folders of the same study (two machines, two versions): which numbers moved beyond their spread.

The same setting is matched in both. A mean has moved if the 95 % Welch interval of the difference of means
over training seeds leaves out 0; with one seed on either side there is no spread to judge by, and only
equality or a difference is reported. Numbers of another definition, extractor or reference are not compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ltbench.analysis.cells import PLACE, cells, series_table
from ltbench.errors import UsageError
from ltbench.runs.results import load_results
from ltbench.stats import welch_half_width

STATUSES = (
    "moved",
    "within spread",
    "differs, one seed",
    "equal",
    "not comparable",
    "only in A",
    "only in B",
)
_SAME = ["cell", "series", *PLACE[:2], "metric", "extractor", "n_reference", "n_generated"]
_DEFINED = ["definition", "extractor_hash", "reference", "reference_hash"]


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    Attributes
    ----------
    rows : one row a number: `_SAME` columns, ``label``, ``mean_a``, ``sd_a``, ``n_a``, the same of B,
        ``difference`` (B - A), ``low``, ``high``, ``status`` (one of `STATUSES`).
    a, b : the folders.
    """

    rows: pd.DataFrame
    a: Path
    b: Path

    def counts(self) -> dict[str, int]:
        """Return how many numbers have each status."""
        found = self.rows["status"].value_counts()
        return {status: int(found.get(status, 0)) for status in STATUSES}


def compare(a: str | Path, b: str | Path) -> Comparison:
    """Compare the stored scores of two result folders, setting by setting.

    Raises
    ------
    UsageError
        A folder holds no scores, or the two have no setting in common.
    CheckpointError
        A file cannot be read (see `load_scores`).
    """
    sides = [_side(Path(root)) for root in (a, b)]
    both = sides[0].merge(sides[1], on=_SAME, how="outer", suffixes=("_a", "_b"), indicator="side")
    if not (both["side"] == "both").any():
        raise UsageError(f"{a} and {b} have no setting in common: compare two folders of the same study")
    label = both["label_a"].fillna(both["label_b"])
    kept = [*_SAME, "mean_a", "sd_a", "n_a", "mean_b", "sd_b", "n_b"]
    return Comparison(pd.concat([both[kept].assign(label=label), _judged(both)], axis=1), Path(a), Path(b))


def _side(root: Path) -> pd.DataFrame:
    found = cells(load_results(root).scores)
    rows = pd.concat([cell.summary.astype(object).assign(cell=cell.label) for cell in found])
    labels = pd.concat([series_table(cell)[["series", "label"]] for cell in found])
    rows = rows[rows["role"] == ""].merge(labels, on="series")
    rows = rows.astype(dict.fromkeys(["mean", "sd", "n", "n_reference", "n_generated"], float))
    rows["defined"] = rows[_DEFINED].agg("|".join, axis=1)
    return rows[[*_SAME, "label", "defined", "mean", "sd", "n"]]


def _judged(both: pd.DataFrame) -> pd.DataFrame:
    """Return difference, interval and status of each matched number: the first status whose condition holds."""
    comparable = (both["side"] == "both") & (both["defined_a"] == both["defined_b"])
    several = comparable & (both["n_a"] > 1) & (both["n_b"] > 1)
    difference = (both["mean_b"] - both["mean_a"]).where(comparable)
    spreads = both[["sd_a", "n_a", "sd_b", "n_b"]].where(several)
    half = pd.Series([welch_half_width(*row) for row in spreads.to_numpy()], both.index)
    conditions = {
        "only in A": both["side"] == "left_only",
        "only in B": both["side"] == "right_only",
        "not comparable": ~comparable,
        "equal": (difference == 0) & (~several | (both["sd_a"] == both["sd_b"])),
        "differs, one seed": ~several,
        "moved": difference.abs() > half,
    }
    status = np.select(list(conditions.values()), list(conditions), "within spread")
    return pd.DataFrame(
        {"difference": difference, "low": difference - half, "high": difference + half, "status": status}
    )
