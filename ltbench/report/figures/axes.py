"""Panels as axes: how large each is, where its names and titles go, and how marks and matrices are drawn."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from ltbench.report.figures.model import Figure, Mark, Panel

COLUMN = 3.3  # inches: one column of a paper
PAGE = 6.9  # inches: both columns
_FLOOR: dict[str, Any] = {"color": "black", "linestyle": (0, (2, 1.2)), "linewidth": 1.0}
SMALL: dict[str, Any] = {"fontsize": 5.5, "color": "#555555"}
MOST_MARKERS = 15  # points of a line that are marked; of more the line alone is drawn


def plot(figure: Figure) -> Canvas:
    """Lay a figure's panels out in a grid, with one legend above and its caption below, and draw them."""
    across = min(figure.across, len(figure.panels))
    down = -(-len(figure.panels) // across)
    width = PAGE if across > 1 or len(figure.panels[0].categories) > 6 else COLUMN
    names = {tuple(p.row_names) for p in figure.panels}
    # Matrices of one kind: rows are named once, on the left.
    shared = across > 1 and len(names) == 1 and names != {()}
    margin = _left(figure.panels) - 0.1 if shared else 0.0
    step = (width - margin) / across
    rows = [figure.panels[i * across : (i + 1) * across] for i in range(down)]
    lines = [max(len(_title(p, step - (0.1 if shared else _left(row)))) for p in row) for row in rows]
    heights = [
        max(_height(p, step) for p in row) + 0.11 * (n - 1) for row, n in zip(rows, lines, strict=True)
    ]
    shown = [p for p in figure.panels if not p.sideways and not _is_scatter(p)]
    labels = list(dict.fromkeys(m.label for p in shown for m in p.marks))
    has_floor = any(p.floor for p in figure.panels)
    columns = _legend_columns([*labels, "floor"], width) if labels else 1
    legend = 0.16 * -(-(len(labels) + has_floor) // columns) + 0.05 if labels else 0.0
    small = textwrap.wrap(figure.caption, int(width * 23))
    bottom = 0.1 + 0.095 * len(small)
    total = sum(heights) + legend + bottom
    canvas = Canvas(figsize=(width, total))
    canvas.text(0.01, 0.04 / total, "\n".join(small), va="bottom", **SMALL)
    handles: dict[str, Any] = {}
    top = total - legend
    for i, row in enumerate(rows):
        left = 0.1 if shared else _left(row)
        for j, panel in enumerate(row):
            if not panel.marks and not panel.matrix:
                continue
            narrow = not (panel.sideways or panel.matrix or _is_scatter(panel) or j == 0 or panel.y_title)
            inner = left * 0.75 if narrow else left
            below = _below(panel, step - inner)
            box = (
                (margin + j * step + inner) / width,
                (top - heights[i] + below) / total,
                (step - inner - 0.08) / width,
                (heights[i] - below - 0.13 - 0.11 * lines[i]) / total,
            )
            axes = canvas.add_axes(box)
            axes.set_title("\n".join(_title(panel, step - left)), loc="left", pad=3, fontsize=7)
            _panel(axes, panel)
            if shared and j:
                axes.set(yticks=[], ylabel="")
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
                handles.setdefault(label, handle)
        top -= heights[i]
    if labels:
        named = {k: handles[k] for k in sorted(handles, key=lambda k: k == "floor")}
        canvas.legend(
            named.values(), named.keys(), loc="upper center", ncols=columns, columnspacing=1, bbox_to_anchor=(0.5, 1)
        )  # fmt: skip
    return canvas


def _is_scatter(panel: Panel) -> bool:
    return bool(panel.marks) and all(m.style.marker == "." for m in panel.marks)


def _is_square(panel: Panel) -> bool:
    return len(panel.matrix) == len(panel.categories) and not panel.matrix_text


def _title(panel: Panel, inches: float) -> list[str]:
    """Return a panel's title in lines that fit."""
    return textwrap.wrap(panel.title, max(12, int(inches / 0.05))) or [""]


def _height(panel: Panel, width: float) -> float:
    if _is_scatter(panel):
        return min(2.1, width + 0.15)
    if panel.sideways:
        return 0.75 + 0.17 * len(panel.categories)
    if panel.matrix:
        return width + 0.1 + _below(panel, width) if _is_square(panel) else 0.95 + 0.15 * len(panel.matrix)
    return 2.1


def _left(row: Sequence[Panel]) -> float:
    """Return inches left of a row's axes: its longest name along y."""
    if any(_is_scatter(p) for p in row):
        return 0.2
    names = [n for p in row for n in (p.categories if p.sideways else p.row_names)]
    if not names:
        return 0.55
    longest = max(map(len, names))
    return min(2.6, 0.25 + 0.055 * longest)


def _below(panel: Panel, width: float) -> float:
    if panel.categories and not panel.sideways:
        longest = max(map(len, panel.categories))
        room = width / len(panel.categories) / 0.055
        if _is_square(panel):
            return 0.25 + (0.1 if longest <= room else 0.05 * longest)
        return 0.36 if longest <= room else min(1.0, 0.3 + 0.036 * longest)
    return 0.1 if _is_scatter(panel) else 0.42


def _panel(axes: Axes, panel: Panel) -> None:
    axes.set_xlabel(panel.x_title, labelpad=1)
    axes.set_ylabel(panel.y_title, labelpad=2)
    if panel.matrix:
        _heat(axes, panel)
        return
    for mark in panel.marks:
        _mark(axes, mark, panel)
    if panel.zero:
        axes.axvline(0, color="black", lw=0.6, zorder=0)
    for x, y in panel.floor:
        (
            axes.axhline(y, label="floor", **_FLOOR)
            if x != x
            else axes.hlines(y, x - 0.45, x + 0.45, label="floor", **_FLOOR)
        )
    if panel.sideways:
        axes.set_yticks(range(len(panel.categories)), panel.categories)
        axes.set_ylim(len(panel.categories) - 0.5, -0.5)
        axes.grid(True, axis="x")
        axes.grid(False, axis="y")
        return
    if panel.x_log:
        _log(axes, "x", [v for m in panel.marks for v in m.x])
    if panel.y_log:
        _log(axes, "y", [v for m in panel.marks for v in m.y])
    elif panel.categories:
        axes.set_ylim(bottom=0)
    if panel.x_reversed:
        axes.invert_xaxis()
    if _is_scatter(panel):
        axes.set(xticks=[], yticks=[])
        axes.grid(False)
        axes.spines[:].set_visible(True)
    elif panel.categories:
        _name_classes(axes, panel)


def _name_classes(axes: Axes, panel: Panel) -> None:
    many = len(panel.categories) > 20
    at = (
        np.unique(np.linspace(0, len(panel.categories) - 1, 8).round().astype(int))
        if many
        else range(len(panel.categories))
    )
    names = [panel.categories[i] for i in at]
    inches = _inches(axes)
    turned = max(map(len, names)) > inches / len(names) / 0.055
    axes.set_xticks(
        list(at), names, rotation=30 if turned else 0, ha="right" if turned else "center", fontsize=6
    )
    axes.set_xlim(-0.6, len(panel.categories) - 0.4)


def _mark(axes: Axes, mark: Mark, panel: Panel) -> None:
    style = mark.style
    if style.marker == ".":
        axes.plot(mark.x, mark.y, ".", ms=2.2, color=style.colour, mew=0, label="_")
        return
    error = None
    if len(mark.low):
        middle = np.array(mark.x if panel.sideways else mark.y, float)
        error = np.abs(np.stack([middle - mark.low, np.array(mark.high) - middle]))
    dash: Any = (0, style.dash) if style.dash else "-"
    axes.errorbar(
        mark.x,
        mark.y,
        xerr=error if panel.sideways else None,
        yerr=None if panel.sideways else error,
        color=style.colour,
        marker="" if mark.line and len(mark.x) > MOST_MARKERS else style.marker,
        ls=dash if mark.line else "",
        ms=4,
        mfc="white" if mark.hollow else style.colour,
        elinewidth=0.8,
        label=mark.label,
        zorder=3,
    )
    if len(mark.points):
        x, y = zip(*mark.points, strict=True)
        axes.plot(x, y, "o", ms=2, mfc="white", mec=style.colour, mew=0.5, ls="", zorder=2)


def _heat(axes: Axes, panel: Panel) -> None:
    values = np.array(panel.matrix, float)
    low, high = panel.matrix_range
    texts = np.array(panel.matrix_text) if len(panel.matrix_text) else False
    sns.heatmap(
        values,
        ax=axes,
        cmap="cividis" if not len(panel.matrix_text) else "YlOrRd",
        vmin=low,
        vmax=high,
        annot=texts if isinstance(texts, np.ndarray) else None,
        fmt="",
        annot_kws={"fontsize": 5.5},
        cbar=False,
        linewidths=0.3,
        xticklabels=False,
        yticklabels=list(panel.row_names),
    )
    axes.set_xlabel(panel.x_title, labelpad=1)
    axes.set_ylabel(panel.y_title, labelpad=2)
    names = list(panel.categories)
    inches = _inches(axes)
    turned = max(map(len, names)) > inches / len(names) / 0.055
    few = len(names) <= 20
    if few:
        axes.set_xticks(
            np.arange(len(names)) + 0.5,
            names,
            rotation=(90 if _is_square(panel) else 30) if turned else 0,
            ha="right" if turned and not _is_square(panel) else "center",
        )
    axes.tick_params(length=0, pad=1, labelsize=6)
    axes.tick_params(axis="y", rotation=0)
    axes.grid(False)


def _inches(axes: Axes) -> float:
    """Return the width of some axes."""
    return float(axes.get_window_extent().width / axes.figure.dpi)


def _log(axes: Axes, which: str, values: Sequence[float]) -> None:
    """Make an axis logarithmic, with ticks written out."""
    low, high = min(values), max(values)
    axes.set(**{f"{which}scale": "log"})
    axis = getattr(axes, f"{which}axis")
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 100 * low else (1.0,)))
    axis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.0f}" if 1 <= v < 1e6 else f"{v:g}"))
    axis.set_minor_locator(NullLocator())


def _legend_columns(labels: Sequence[str], inches: float) -> int:
    """Return how many columns of a legend fit a width: six at most, three in a paper's column."""
    most = min(len(labels), 6 if inches > COLUMN else 3)
    for columns in range(most, 1, -1):
        rows = -(-len(labels) // columns)
        widest = [max(map(len, labels[i : i + rows])) for i in range(0, len(labels), rows)]
        if sum(0.45 + 0.062 * letters for letters in widest) <= inches:
            return -(-len(labels) // rows)  # no row of one
    return 1
