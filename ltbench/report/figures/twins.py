"""The same class at all the training counts it was given: class orders, splits and balanced controls in one figure."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ltbench.report.aggregate import Cell, main_series
from ltbench.report.figures.per_class import how_made
from ltbench.report.figures.style import PAGE, FigureFile, footer, plain_log, save, shared_legend
from ltbench.report.naming import class_title, integer, method_title, metric_title
from ltbench.report.tables import slug
from ltbench.report.twins import balanced, change, class_points, published, reordered

_MOST_CLASSES = 20  # each a line with a colour of its own
_MOST_METHODS = 4
_MARKERS = {"published": "o", "reordered": "s", "balanced": "D"}


def class_counts(cell: Cell, found: list[Cell], folder: Path) -> list[FigureFile]:
    """Draw each class's Frechet distance against its training images in a long tail, its other orders and splits,
    and balanced controls: a panel a method, a line a class through the long tails, a diamond a control."""
    others, controls = reordered(cell, found), balanced(cell, found)
    classes = cell.classes()
    measure = cell.frechet("class")
    if not published(cell) or measure is None or not (others or controls) or len(classes) > _MOST_CLASSES:
        return []
    series = main_series(cell).head(_MOST_METHODS)
    columns = min(2, len(series))
    rows = -(-len(series) // columns)
    figure = Figure(figsize=(PAGE, 1.1 + 2.2 * rows))
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for axes, (_, one) in zip(grid, series.iterrows(), strict=False):
        _panel(axes, cell, others, controls, one, list(classes["class_or_group"]))
        axes.set_title(method_title(one["method"]), loc="left", pad=2)
    for axes in grid[len(series) :]:
        axes.set_axis_off()
    drawn = np.concatenate([line.get_xydata() for axes in grid for line in axes.get_lines()])
    plain_log(grid[0], "x", drawn[:, 0].min(), drawn[:, 0].max())
    plain_log(grid[0], "y", drawn[:, 1].min(), drawn[:, 1].max())
    grid[0].invert_xaxis()
    for axes in grid[max(0, len(series) - columns) : len(series)]:
        axes.set_xlabel("training images of the class")
    for axes in grid[::columns]:
        axes.set_ylabel(metric_title("frechet", measure["extractor"]))
    kinds = _kinds(cell, others, controls)
    for kind, told in kinds:
        marker = Line2D([], [], marker=_MARKERS[kind], color="#555555", ls="", ms=3.5, label=told)
        if kind == "balanced":
            marker.set_markerfacecolor("none")
        grid[0].add_line(marker)
    shared_legend(figure, list(grid))
    caption = (
        "A colour a class, its values in the long tails joined; mean over training seeds. "
        f"Marks: {'; '.join(told for _, told in kinds)}. "
        f"{how_made(cell, series, measure, drawn='mean over training seeds')}"
    )
    footer(figure, caption)
    title = f"The same classes at other training counts, {cell.label}"
    return [save(figure, folder, f"class-counts-{slug(cell.label)}", title, caption)]


def _kinds(cell: Cell, others: list[Cell], controls: list[Cell]) -> list[tuple[str, str]]:
    kinds = [("published", "published split")]
    if others:
        kinds.append(("reordered", ", ".join(change(cell, c) for c in others)))
    if controls:
        counts = (integer(c.classes()["n_train"].max()) for c in controls)
        kinds.append(("balanced", f"balanced, {' and '.join(counts)} images a class"))
    return kinds


def _panel(
    axes: Axes,
    cell: Cell,
    others: list[Cell],
    controls: list[Cell],
    one: pd.Series,
    classes: list[str],
) -> None:
    tails = [("published", _means(cell, one)), *(("reordered", _means(c, one)) for c in others)]
    even = [_means(c, one) for c in controls]
    for index, name in enumerate(classes):
        colour = _colour(index, len(classes))
        own = [(kind, *found.loc[name]) for kind, found in tails if name in found.index]
        joined = sorted((n, value) for _, n, value in own)
        axes.plot(*zip(*joined, strict=True), color=colour, lw=0.9, label=class_title(cell.dataset, name))
        for kind, n, value in own:
            axes.plot(n, value, _MARKERS[kind], color=colour, ms=3)
        for found in even:
            if name in found.index:
                axes.plot(*found.loc[name], _MARKERS["balanced"], mfc="none", mec=colour, ms=3.5, mew=0.8)


def _means(cell: Cell, like: pd.Series) -> pd.DataFrame:
    """Return n_train and the mean score of each class over training seeds, indexed by class."""
    points = class_points(cell, cell.frechet("class"), like)
    return points.groupby("class_or_group")[["n_train", "value"]].mean()


def _colour(index: int, count: int) -> str:
    """Return a class's colour: of ten, each its own; of more, from dark blue (head) to orange (tail)."""
    if count <= 10:
        return to_hex(mpl.colormaps["tab10"](index))
    return to_hex(mpl.colormaps["plasma"](0.85 * index / (count - 1)))
