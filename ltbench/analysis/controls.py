"""The same class under other training counts: a long tail's controls, and rarity against difficulty as a fit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from ltbench.analysis.cell_results import CellResults
from ltbench.analysis.series import Series, agree
from ltbench.runs.series import label_without

_ORDER = ("class order", "split seed")  # parts of a cell's label that move images between classes, no more
_BALANCE = (*_ORDER, "ratio", "head count")
_SETTING = ("method", "variant", "guidance", "step", "sampler", "nfe", "settings")
Fit = tuple[float, float, pd.Series]  # b, explained share of the variation within classes, each class's term


def reordered(cell: CellResults, found: Iterable[CellResults]) -> list[CellResults]:
    """Return the cells that differ from a published split in class order or split seed alone."""
    rest = label_without(cell.label, _ORDER)
    return [c for c in found if cell.published and not c.published and label_without(c.label, _ORDER) == rest]


def balanced_controls(cell: CellResults, found: Iterable[CellResults]) -> list[CellResults]:
    """Return a long tail's balanced controls: as many images of every class as its head or as its tail has."""
    if cell.imbalance_ratio == 1:
        return []
    sizes = cell.classes()["n_train"].agg(["max", "min"])
    rest = label_without(cell.label, _BALANCE)
    controls = [
        c
        for c in found
        if c.imbalance_ratio == 1
        and c.published
        and label_without(c.label, _BALANCE) == rest
        and bool((sizes == c.classes()["n_train"].max()).any())
    ]
    return sorted(controls, key=lambda other: -other.classes()["n_train"].max())


def change(cell: CellResults, other: CellResults) -> str:
    """Say what is different in `other`, in the words of its label."""
    plain = cell.label.split(", ")
    return ", ".join(part for part in other.label.split(", ") if part not in plain) or other.label


def series_alike(cell: CellResults, like: Series) -> list[Series]:
    """Return the series of a control at the same setting as a method's."""
    return [one for one in cell.series if agree(one, like, *_SETTING)]


def class_points(cell: CellResults, like: Series) -> pd.DataFrame:
    """Return a method's class scores at the same setting in a control: train_seed, class_or_group, n_train, value."""
    columns = ["train_seed", "class_or_group", "n_train", "value"]
    found = [one.key for one in series_alike(cell, like)]
    measure = cell.frechet("class")
    if measure is None or not found:
        return pd.DataFrame(columns=columns)
    points = pd.concat([cell.points_of("class", measure, str(c)) for c in cell.classes()["class_or_group"]])
    points = points[points["main"].to_numpy() & points["series"].isin(found).to_numpy()]
    return points[columns].astype({"class_or_group": str})


def rarity_fits(cell: CellResults, others: Sequence[CellResults], one: Series) -> dict[int, Fit]:
    """Fit a series' class scores over all its data cells by training seed, where the classes' counts differ.

    For one training seed, over the classes k of all cells c: log FD_kc = a_k - b log10 n_kc. The class's own
    term a_k is its difficulty; exp(b) is by how much FD grows when a class has a tenth of the images.
    """
    points = pd.concat([class_points(c, one) for c in (cell, *others)], ignore_index=True)
    points = points[(points["value"] > 0) & (points["n_train"] > 0)]
    points = points.assign(
        y=np.log(points["value"].astype(float)), x=np.log10(points["n_train"].astype(float))
    )
    out = {}
    for seed, table in points.groupby(points["train_seed"].astype(int)):
        means = table.groupby("class_or_group")[["x", "y"]].mean()
        own = table[["x", "y"]] - means.loc[table["class_or_group"]].to_numpy()
        moved, total = (float((own[name] ** 2).sum()) for name in "xy")
        if moved < 1e-9:  # another split alone: every class has the count that it had
            continue
        slope = float((own["x"] * own["y"]).sum()) / moved
        left = float(((own["y"] - slope * own["x"]) ** 2).sum())
        terms = means["y"] - slope * (means["x"] - means["x"].mean())
        out[int(str(seed))] = -slope, 1 - left / total if total else 0.0, terms
    return out
