"""The same class under other training counts, as tables: rarity against difficulty, imbalance against scarcity."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ltbench.analysis.cell_results import CellResults
from ltbench.analysis.controls import Fit, balanced_controls, change, rarity_fits, reordered, series_alike
from ltbench.analysis.names import integer, mean_sd, method_title, seeds_text
from ltbench.analysis.protocols import main_protocols, main_series
from ltbench.analysis.series import Series, grouped
from ltbench.report.tables.grid import Table, ends, score_text
from ltbench.stats import t_half_width
from ltbench.text import distinct, slug

_LONGEST = 30  # characters of a control in a table's name


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


def _pair_table(cell: CellResults, other: CellResults, name: str) -> Table | None:
    both = cell, other
    measures = [m for c in both if (m := c.frechet("class")) is not None]
    blocks = [grouped(main_series(c), lambda one: one.method) for c in both]
    pairs = {
        method: (rows[0], next(iter(series_alike(other, rows[0])), blocks[1][method][0]))
        for method, rows in blocks[0].items()
        if method in blocks[1]
    }
    if len(measures) < 2 or not pairs:
        return None
    decimals, changed = measures[0].decimals, change(cell, other)
    counts = [c.classes().set_index("class_or_group")["n_train"] for c in both]
    labels = list(counts[0].index)
    tail = labels[-max(1, len(labels) // 3) :]
    columns = [("Class", [*map(cell.class_name, labels), "these tail classes"])]
    for title, count in zip(("Images", f"Images, {changed}"), counts, strict=True):
        columns.append((title, [*map(integer, count.reindex(labels)), ""]))
    for method, pair in pairs.items():
        titles = method_title(method), f"{method_title(method)}, {changed}"
        for c, title, measure, one in zip(both, titles, measures, pair, strict=True):
            scores = [score_text(c.means("class", measure, label).get(one.key), decimals) for label in labels]
            seeds = [c.by_seed("class", measure, label).reindex(columns=[one.key]) for label in tail]
            means = pd.concat(seeds, axis=1).dropna().mean(axis=1)
            columns.append((title, [*scores, mean_sd(means.mean(), means.std(ddof=1), decimals)]))
    few = other.imbalance_ratio == 1 and other.classes()["n_train"].max() <= counts[0].min()
    reading = (
        "A class that is as bad among equally few images of every class suffers from scarcity, not imbalance."
        if few
        else "A class that is bad with many images too is hard, not rare."
    )
    sides = zip(*pairs.values(), strict=True)
    scales = [", ".join(dict.fromkeys(one.scale_text for one in side)) for side in sides]
    at = scales[0] if scales[0] == scales[1] else f"{scales[0]} and, {changed}, {scales[1]}"
    note = (
        f"{measures[0].plain} of the same class in both data cells, at guidance {at}; mean ± "
        f"standard deviation over training seeds. {reading} Last row: mean over the classes that are the tail of "
        f"{cell.label}, in both."
    )
    return Table(
        f"control-{cell.slug}-and-{name}",
        f"The same classes, {cell.label} and {changed}",
        [header for header, _ in columns],
        [list(row) for row in zip(*(texts for _, texts in columns), strict=True)],
        rules=(len(labels),),
        notes=[note],
        column_tags=[{}, {}, {}, *({"method": m} for m in pairs for _ in measures)],
    )


def rarity_table(cell: CellResults, others: list[CellResults]) -> Table | None:
    """Split a class's Frechet distance into what its count and what its content does; None without another order."""
    blocks = [
        [(one, fits) for one in block if (fits := rarity_fits(cell, others, one))]
        for block in main_protocols(cell)
    ]
    rows = [_rarity_row(cell, one, fits) for block in blocks for one, fits in block]
    measure = cell.frechet("class")
    if not rows or measure is None:
        return None
    columns = ["Method", "FD x, a tenth of the images", "Due to count"]
    columns += ["Hardest class", "FD x, hardest against easiest", "Variant", "Guidance ω", "Seeds"]
    notes = [
        f"Each class with all its training counts, {cell.label} and {', '.join(change(cell, c) for c in others)}: "
        f"log {measure.plain} = class - b log10 count, "
        "fitted for each training seed. First: exp(b), the factor by which FD grows when a class has a tenth of the "
        "images; 95 % t interval over seeds. Then the share of a class's own variation that its count explains, the "
        "class with the largest term at equal counts, and the largest term against the smallest. FD holds its floor "
        "here, which draws the factor towards 1."
    ]
    title, series = "Rarity and difficulty apart", [one for block in blocks for one, _ in block]
    more = {"rules": ends(blocks), "notes": notes, "settings": 3}
    return Table.of_rows(cell, "rarity", title, columns, rows, series, **more)


def _rarity_row(cell: CellResults, one: Series, fits: dict[int, Fit]) -> list[str]:
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
