"""The same class under other training counts: what tells rarity from difficulty, and imbalance from scarcity."""

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd

from ltbench.report.aggregate import Cell, main_protocols, main_series
from ltbench.report.load import label_without
from ltbench.report.naming import (
    MISSING,
    class_title,
    guidance_text,
    integer,
    mean_sd,
    method_title,
    metric_style,
    metric_title,
)
from ltbench.report.tables import Entry, Table, at_place, score_entry, seeds_text, slug
from ltbench.stats import t_half_width

_ORDER = ("class order", "split seed")  # parts of a cell's label that move images between classes, no more
_BALANCE = (*_ORDER, "ratio", "head count")


def twin_tables(found: list[Cell]) -> list[Table]:
    """Set each class of a published split beside the same class in its twins, then rarity beside difficulty.

    Twins are other class orders and split seeds, which tell rarity from difficulty, and the balanced cells (all
    images, or as few of each class as the tail has), which tell imbalance from scarcity.
    """
    out = []
    for cell in filter(published, found):
        others = reordered(cell, found)
        tables = [_twin_table(cell, other) for other in (*others, *balanced(cell, found))]
        tables.append(rarity_table(cell, others))
        out += [table for table in tables if table is not None]
    return out


def reordered(cell: Cell, found: Iterable[Cell]) -> list[Cell]:
    """Return the cells that differ from a published split in class order or split seed alone."""
    if not published(cell):
        return []
    return _twins(cell, found, _ORDER, lambda other: not published(other))


def balanced(cell: Cell, found: Iterable[Cell]) -> list[Cell]:
    """Return a long tail's balanced controls: as many images of every class as its head or as its tail has."""
    if cell.imbalance_ratio == 1:
        return []
    ends = cell.classes()["n_train"].agg(["max", "min"])

    def is_control(other: Cell) -> bool:
        count = other.classes()["n_train"].max()
        return other.imbalance_ratio == 1 and published(other) and bool((ends == count).any())

    twins = _twins(cell, found, _BALANCE, is_control)
    return sorted(twins, key=lambda other: -other.classes()["n_train"].max())


def _twins(
    cell: Cell, found: Iterable[Cell], free: tuple[str, ...], wanted: Callable[[Cell], bool]
) -> list[Cell]:
    rest = label_without(cell.label, free)
    return [c for c in found if c is not cell and label_without(c.label, free) == rest and wanted(c)]


def published(cell: Cell) -> bool:
    """Tell whether a cell is the published split: class order and split seed as they come."""
    first = cell.points.iloc[0]
    return first["class_order"] in ("identity", "") and first["split_seed"] in (0, np.nan)


_Fit = tuple[float, float, pd.Series]  # b, explained share, each class's term


# --- side by side ----------------------------------------------------------------------------------------


def _twin_table(cell: Cell, other: Cell) -> Table | None:
    both = [c.frechet("class") for c in (cell, other)]
    if both[0] is None or both[1] is None:
        return None
    measures = [m for m in both if m is not None]
    decimals = metric_style("frechet").decimals
    blocks = [main_series(c) for c in (cell, other)]
    methods = [m for m in blocks[0]["method"].drop_duplicates() if m in set(blocks[1]["method"])]
    if not methods:
        return None
    counts = [c.classes().set_index("class_or_group")["n_train"] for c in (cell, other)]
    columns = []  # cell, measure, series: a column each
    for method in methods:
        for c, measure, block in zip((cell, other), measures, blocks, strict=True):
            columns.append((c, measure, block[block["method"] == method]["series"].iloc[0]))
    rows = []
    for label in counts[0].index:
        row = [Entry(class_title(cell.dataset, label))]
        row += [Entry(integer(count.get(label, np.nan))) for count in counts]
        for c, measure, key in columns:
            found = at_place(c.summary_of("class", measure), label).set_index("series")
            row.append(score_entry(found, key, decimals))
        rows.append(row)
    tail = list(counts[0].index[-(len(counts[0]) // 3) :])
    means = [Entry(_mean_over(c, measure, key, tail, decimals)) for c, measure, key in columns]
    rows.append([Entry("these tail classes"), Entry(""), Entry(""), *means])
    changed = change(cell, other)
    title = metric_title("frechet", measures[0]["extractor"], arrow=False)
    return Table(
        f"twin-{slug(f'{cell.label} and {changed}')}",
        f"The same classes, {cell.label} and {changed}",
        [
            "Class",
            "Images",
            f"Images, {changed}",
            *[t for m in methods for t in (method_title(m), f"{method_title(m)}, {changed}")],
        ],
        rows,
        1,
        (len(rows) - 1,),
        [
            f"{title} of the same class in both data cells, at guidance {blocks[0]['guidance'].iloc[0]:g}; mean ± standard "
            f"deviation over training seeds. {_reading(other)} Last row: mean over the classes that are the tail of "
            f"{cell.label}, in both."
        ],
    )


def change(cell: Cell, other: Cell) -> str:
    """Say what is different in `other`, in the words of its label."""
    plain = cell.label.split(", ")
    return ", ".join(part for part in other.label.split(", ") if part not in plain) or other.label


def _reading(other: Cell) -> str:
    if other.imbalance_ratio == 1:
        return "A class that is as bad among equally few images of every class suffers from scarcity, not imbalance."
    return "A class that is bad with many images too is hard, not rare."


def _mean_over(cell: Cell, measure: pd.Series, series: str, classes: list[str], decimals: int) -> str:
    points = cell.points_of("class", measure)
    points = points[points["main"] & (points["series"] == series) & points["class_or_group"].isin(classes)]
    wide = points.pivot_table(index="train_seed", columns="class_or_group", values="value")
    if wide.empty or set(wide.columns) != set(classes):
        return MISSING
    means = wide.dropna().mean(axis=1)
    return mean_sd(means.mean(), means.std(ddof=1), decimals)


# --- rarity and difficulty -------------------------------------------------------------------------------


def rarity_table(cell: Cell, others: list[Cell]) -> Table | None:
    """Split a class's Frechet distance into what its count and what its content does; None without another order.

    For one training seed, over the classes k of all cells c: log FD_kc = a_k - b log10 n_kc. The class's own
    term a_k is its difficulty; exp(b) is by how much FD grows when a class has a tenth of the images.
    """
    measures = {id(c): c.frechet("class") for c in (cell, *others)}
    rows, ends = [], []
    for block in main_protocols(cell):
        for _, one in block.iterrows():
            frames = [class_points(c, measures[id(c)], one) for c in (cell, *others)]
            fits = _fits(pd.concat(frames, ignore_index=True))
            if fits:
                rows.append(_rarity_row(cell, one, fits))
        ends.append(len(rows))
    if not rows:
        return None
    names = ", ".join(change(cell, other) for other in others)
    title = metric_title(
        "frechet", next(m for m in measures.values() if m is not None)["extractor"], arrow=False
    )
    columns = ["Method", "Variant", "Guidance ω", "Seeds", "FD x, a tenth of the images", "Due to count"]
    columns += ["Hardest class", "FD x, hardest against easiest"]
    notes = [
        f"Each class with all its training counts, {cell.label} and {names}: log {title} = class - b log10 count, "
        "fitted for each training seed. First: exp(b), the factor by which FD grows when a class has a tenth of the "
        "images; 95 % t interval over seeds. Then the share of a class's own variation that its count explains, the "
        "class with the largest term at equal counts, and the largest term against the smallest. FD holds its floor "
        "here, which draws the factor towards 1."
    ]
    return Table(
        f"rarity-{slug(cell.label)}",
        f"Rarity and difficulty apart, {cell.label}",
        columns,
        rows,
        4,
        tuple(end for end in ends[:-1] if 0 < end < len(rows)),
        notes,
    )


def class_points(cell: Cell, measure: pd.Series | None, like: pd.Series) -> pd.DataFrame:
    """Return a method's class scores at the same guidance in a twin: train_seed, class_or_group, n_train, value."""
    columns = ["train_seed", "class_or_group", "n_train", "value"]
    alike = ["method", "variant", "guidance", "step", "sampler", "nfe", "settings"]
    found = cell.series[(cell.series[alike] == like[alike]).all(axis=1)]
    if measure is None or found.empty:
        return pd.DataFrame(columns=columns)
    points = cell.points_of("class", measure)
    return points[points["main"] & points["series"].isin(found["series"])][columns]


def _fits(points: pd.DataFrame) -> dict[int, _Fit]:
    """Return the fit of each training seed that has a class at two counts or more."""
    found = {int(part["train_seed"].iloc[0]): _fit(part) for _, part in points.groupby("train_seed")}
    return {seed: fit for seed, fit in found.items() if fit is not None}


def _fit(points: pd.DataFrame) -> _Fit | None:
    """Return b, the explained share of the variation within classes, and each class's term at equal counts."""
    points = points[(points["value"] > 0) & (points["n_train"] > 0)]
    table = pd.DataFrame(
        {
            "name": points["class_or_group"],
            "y": np.log(points["value"].astype(float)),
            "x": np.log10(points["n_train"].astype(float)),
        }
    )
    means = table.groupby("name")[["x", "y"]].mean()
    own = table[["x", "y"]] - means.loc[table["name"]].to_numpy()
    moved = float((own["x"] ** 2).sum())
    if moved < 1e-9:  # another split alone: every class has the count that it had
        return None
    slope = float((own["x"] * own["y"]).sum()) / moved
    left = float(((own["y"] - slope * own["x"]) ** 2).sum())
    total = float((own["y"] ** 2).sum())
    return -slope, 1 - left / total if total else 0.0, means["y"] - slope * (means["x"] - means["x"].mean())


def _rarity_row(cell: Cell, one: pd.Series, fits: dict[int, _Fit]) -> list[Entry]:
    growth = np.array([fit[0] for fit in fits.values()])
    terms = pd.concat([fit[2] for fit in fits.values()], axis=1).mean(axis=1)
    text = f"{np.exp(growth.mean()):.2f}"
    if len(growth) > 1:
        half = t_half_width(float(growth.std(ddof=1)), len(growth))
        text += f" [{np.exp(growth.mean() - half):.2f}, {np.exp(growth.mean() + half):.2f}]"
    share = np.mean([fit[1] for fit in fits.values()])
    return [
        Entry(method_title(one["method"])),
        Entry(one["variant"]),
        Entry(guidance_text(one["guidance"])),
        Entry(seeds_text(tuple(sorted(fits)))),
        Entry(text),
        Entry(f"{100 * share:.0f} %"),
        Entry(class_title(cell.dataset, str(terms.idxmax()))),
        Entry(f"{np.exp(terms.max() - terms.min()):.2f}"),
    ]
