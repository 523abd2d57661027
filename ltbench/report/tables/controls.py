"""The same class under other training counts, as tables: rarity against difficulty, imbalance against scarcity."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from ltbench.analysis.cell_results import CellResults
from ltbench.analysis.names import (
    integer,
    mean_sd,
    method_title,
    seeds_text,
)
from ltbench.analysis.protocols import main_protocols, main_series
from ltbench.analysis.series import Series, agreeing, grouped
from ltbench.report.tables.grid import Table, ends, score_text, series_tags
from ltbench.runs.series import label_without
from ltbench.stats import t_half_width
from ltbench.text import distinct, slug

_ORDER = ("class order", "split seed")  # parts of a cell's label that move images between classes, no more
_BALANCE = (*_ORDER, "ratio", "head count")
_SETTING = ("method", "variant", "guidance", "step", "sampler", "nfe", "settings")
_LONGEST = 30  # characters of a control in a table's name
_Fit = tuple[float, float, pd.Series]  # b, explained share of the variation within classes, each class's term


def controls_tables(found: list[CellResults]) -> list[Table]:
    """Set each class of a published split beside the same class in its controls, then rarity beside difficulty.

    Controls are other class orders and split seeds, which tell rarity from difficulty, and the balanced cells (all
    images, or as few of each class as the tail has), which tell imbalance from scarcity.
    """
    out: list[Table | None] = []
    for cell in (cell for cell in found if cell.published):
        others = reordered(cell, found)
        beside = [*others, *balanced_controls(cell, found)]
        changes = [change(cell, other) for other in beside]
        names = distinct([slug(changed)[:_LONGEST] for changed in changes], changes, _LONGEST)
        out += [_pair_table(cell, other, name) for other, name in zip(beside, names, strict=True)]
        out.append(rarity_table(cell, others) if others else None)
    return [table for table in out if table is not None]


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


# -- side by side ---------------------------------------------------------------------------------------------


def _pair_table(cell: CellResults, other: CellResults, name: str) -> Table | None:
    measures = [m for c in (cell, other) if (m := c.frechet("class")) is not None]
    blocks = [grouped(main_series(c), lambda one: one.method) for c in (cell, other)]
    pairs = {
        method: (rows[0], next(iter(_alike(other, rows[0])), blocks[1][method][0]))
        for method, rows in blocks[0].items()
        if method in blocks[1]
    }
    if len(measures) < 2 or not pairs:
        return None
    decimals, changed = measures[0].decimals, change(cell, other)
    counts = [c.classes().set_index("class_or_group")["n_train"] for c in (cell, other)]
    labels = list(counts[0].index)
    tail = labels[-max(1, len(labels) // 3) :]
    columns: list[tuple[str, list[str]]] = [("Class", [*map(cell.class_name, labels), "these tail classes"])]
    for title, count in zip(("Images", f"Images, {changed}"), counts, strict=True):
        columns.append((title, [*map(integer, count.reindex(labels)), ""]))
    for method, pair in pairs.items():
        titles = method_title(method), f"{method_title(method)}, {changed}"
        for c, title, measure, one in zip((cell, other), titles, measures, pair, strict=True):
            key = one.key
            scores = [score_text(c.means("class", measure, label).get(key), decimals) for label in labels]
            seeds = [c.by_seed("class", measure, label).reindex(columns=[key]) for label in tail]
            means = pd.concat(seeds, axis=1).dropna().mean(axis=1)
            columns.append((title, [*scores, mean_sd(means.mean(), means.std(ddof=1), decimals)]))
    few = other.imbalance_ratio == 1 and other.classes()["n_train"].max() <= counts[0].min()
    reading = (
        "A class that is as bad among equally few images of every class suffers from scarcity, not imbalance."
        if few
        else "A class that is bad with many images too is hard, not rare."
    )
    scales = [
        ", ".join(dict.fromkeys(one.scale_text for one in side)) for side in zip(*pairs.values(), strict=True)
    ]
    at = scales[0] if scales[0] == scales[1] else f"{scales[0]} and, {changed}, {scales[1]}"
    note = (
        f"{measures[0].plain} of the same class in both data cells, at guidance {at}; mean ± "
        f"standard deviation over training seeds. {reading} Last row: mean over the classes that are the tail of "
        f"{cell.label}, in both."
    )
    return Table.of_columns(
        f"control-{cell.slug}-and-{name}",
        f"The same classes, {cell.label} and {changed}",
        columns,
        rules=(len(labels),),
        notes=[note],
        column_tags=[{}, {}, {}, *({"method": m} for m in pairs for _ in measures)],
    )


# -- rarity and difficulty ------------------------------------------------------------------------------------


def rarity_table(cell: CellResults, others: list[CellResults]) -> Table | None:
    """Split a class's Frechet distance into what its count and what its content does; None without another order.

    For one training seed, over the classes k of all cells c: log FD_kc = a_k - b log10 n_kc. The class's own
    term a_k is its difficulty; exp(b) is by how much FD grows when a class has a tenth of the images.
    """
    blocks = main_protocols(cell)
    fitted = [[(s, fits) for s in block if (fits := _fits(cell, others, s))] for block in blocks]
    rows = [_rarity_row(cell, one, fits) for block in fitted for one, fits in block]
    tags = [series_tags(one) for block in fitted for one, _ in block]
    measure = cell.frechet("class")
    if not rows or measure is None:
        return None
    names = ", ".join(change(cell, other) for other in others)
    columns = ["Method", "FD x, a tenth of the images", "Due to count"]
    columns += ["Hardest class", "FD x, hardest against easiest", "Variant", "Guidance ω", "Seeds"]
    notes = [
        f"Each class with all its training counts, {cell.label} and {names}: log {measure.plain} = class - b log10 count, "
        "fitted for each training seed. First: exp(b), the factor by which FD grows when a class has a tenth of the "
        "images; 95 % t interval over seeds. Then the share of a class's own variation that its count explains, the "
        "class with the largest term at equal counts, and the largest term against the smallest. FD holds its floor "
        "here, which draws the factor towards 1."
    ]
    title = f"Rarity and difficulty apart, {cell.label}"
    return Table(f"rarity-{cell.slug}", title, columns, rows, 1, ends(fitted), notes, 3, tags)


def _alike(cell: CellResults, like: Series) -> list[Series]:
    """Return the series of a control at the same setting as a method's."""
    return [one for one in cell.series if agreeing(one, like, *_SETTING) == len(_SETTING)]


def class_points(cell: CellResults, like: Series) -> pd.DataFrame:
    """Return a method's class scores at the same setting in a control: train_seed, class_or_group, n_train, value."""
    columns = ["train_seed", "class_or_group", "n_train", "value"]
    found = [one.key for one in _alike(cell, like)]
    measure = cell.frechet("class")
    if measure is None or not found:
        return pd.DataFrame(columns=columns)
    points = pd.concat([cell.points_of("class", measure, str(c)) for c in cell.classes()["class_or_group"]])
    points = points[points["main"].to_numpy() & points["series"].isin(found).to_numpy()]
    return points[columns].astype({"class_or_group": str})


def _fits(cell: CellResults, others: Sequence[CellResults], one: Series) -> dict[int, _Fit]:
    """Fit a series' class scores over all its data cells by training seed, where the classes' counts differ."""
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


def _rarity_row(cell: CellResults, one: Series, fits: dict[int, _Fit]) -> list[str]:
    growths, shares, each = zip(*fits.values(), strict=True)
    growth, terms = np.array(growths), pd.concat(each, axis=1).mean(axis=1)
    text = f"{np.exp(growth.mean()):.2f}"
    if len(growth) > 1:
        half = t_half_width(float(growth.std(ddof=1)), len(growth))
        text += f" [{np.exp(growth.mean() - half):.2f}, {np.exp(growth.mean() + half):.2f}]"
    share = f"{100 * np.mean(shares):.0f} %"
    hardest = [cell.class_name(str(terms.idxmax())), f"{np.exp(terms.max() - terms.min()):.2f}"]
    how = [one.variant, one.scale_text, seeds_text(tuple(sorted(fits)))]
    return [method_title(one.method), text, share, *hardest, *how]
