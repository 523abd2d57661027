"""Figures as canvases: panels in a grid that matplotlib lays out, and how marks, matrices and pictures are drawn."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from ltbench.report.figures.model import Figure, Image, Mark, Panel

COLUMN = 3.3  # inches: one column of a paper
PAGE = 6.9  # inches: both columns
_FLOOR: dict[str, Any] = {"color": "black", "linestyle": (0, (2, 1.2)), "linewidth": 1.0}
_SMALL: dict[str, Any] = {"fontsize": 5.5, "color": "#555555"}
_MOST_MARKERS = 15  # points of a line that are marked; of more the line alone is drawn
_LONGEST = 40  # letters of a name along x
_MOST_NAMES = 20  # columns that are named each


def plot(figure: Figure) -> Canvas:
    """Draw a figure's panels in a grid, with one legend above and its caption below."""
    across = min(figure.across, len(figure.panels))
    width = PAGE if across > 1 or len(figure.panels[0].categories) > 6 else COLUMN
    step = width / across
    rows = [figure.panels[i : i + across] for i in range(0, len(figure.panels), across)]
    titles = [[_title(panel, step) for panel in row] for row in rows]
    heights = [
        max(_height(panel, step) + 0.11 * title.count("\n") for panel, title in zip(row, row_titles, strict=True))
        for row, row_titles in zip(rows, titles, strict=True)
    ]  # fmt: skip
    legend_of = [p for p in figure.panels if not p.sideways and not _is_scatter(p)]
    labels = list(dict.fromkeys(mark.label for p in legend_of for mark in p.marks))
    labels += ["floor"] if labels and any(p.floor for p in figure.panels) else []
    columns = _legend_columns(labels, width)
    canvas = captioned(figure, width, sum(heights) + 0.16 * -(-len(labels) // columns))
    grid: Any = canvas.subplots(len(rows), across, squeeze=False, height_ratios=heights)
    # Matrices of one kind: rows are named once, on the left.
    names = {tuple(p.row_names) for p in figure.panels}
    handles: dict[str, Any] = {}
    for i, j in np.ndindex(grid.shape):
        axes, panel = grid[i, j], rows[i][j] if j < len(rows[i]) else Panel()
        if not (panel.marks or panel.matrix or panel.sideways):
            axes.remove()
            continue
        axes.set_title(titles[i][j], loc="left", pad=3, fontsize=7)
        _panel(axes, panel)
        if panel.sideways or panel.matrix:  # an inch stays for the values
            most = int((step - 1) / 0.055)
            axes.set_yticks(
                axes.get_yticks(), [_cut(text.get_text(), most) for text in axes.get_yticklabels()]
            )
        if j and len(names) == 1 and names != {()}:
            axes.set(yticks=[], ylabel="")
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    if labels:
        named = {label: handles[label] for label in labels if label in handles}  # matplotlib hides "_..."
        canvas.legend(
            named.values(), named.keys(), loc="outside upper center", ncols=columns, columnspacing=1
        )
    return canvas


def captioned(figure: Figure, width: float, height: float) -> Canvas:
    """Return an empty canvas for contents of a height in inches, with the figure's caption below them."""
    lines = textwrap.wrap(figure.caption, int(width * 23))
    canvas = Canvas(figsize=(width, height + 0.1 + 0.095 * len(lines)), layout="constrained")
    canvas.supxlabel("\n".join(lines), x=0.01, ha="left", **_SMALL)
    return canvas


def draw_images(figure: Figure, image: Image) -> Canvas:
    """Draw pictures in a grid: classes named on the left, methods above, the caption below."""
    shapes = [strip.shape for strip in image.strips.values()]
    tall, wide = shapes[0][0], max(shape[1] for shape in shapes)
    width = PAGE if len(image.columns) > 1 else COLUMN
    step = (width - 0.95) / len(image.columns)
    high = min(step * 0.97 * tall / wide, 0.9)
    row = max(high + 0.03, 0.26)  # room for a name of two lines
    pitch = tall + round(tall * (row / high - 1))  # pixels from strip to strip, white between
    canvas = captioned(figure, width, 0.25 + row * len(image.rows))
    grid: Any = canvas.subplots(1, len(image.columns), squeeze=False)[0]
    for j, (name, _) in enumerate(image.columns):
        column = np.full((pitch * len(image.rows), wide, 3), 255, np.uint8)
        for i in range(len(image.rows)):
            if (strip := image.strips.get((i, j))) is not None:
                column[i * pitch :][: strip.shape[0], : strip.shape[1]] = strip
        grid[j].imshow(column, interpolation="nearest")
        grid[j].set_title(textwrap.shorten(name, int(step / 0.065), placeholder="…"), fontsize=7, pad=3)
        grid[j].set(xticks=[], yticks=[])
        grid[j].spines[:].set_visible(False)
        grid[j].grid(False)
    middles = np.arange(len(image.rows)) * pitch + tall / 2
    grid[0].set_yticks(middles, [f"{name[:18]}\n{count}" for name, count in image.rows], fontsize=6)
    grid[0].tick_params(length=0)
    return canvas


def _is_scatter(panel: Panel) -> bool:
    return bool(panel.marks) and all(m.style.marker == "." for m in panel.marks)


def _is_square(panel: Panel) -> bool:
    return 0 < len(panel.matrix) == len(panel.categories) and not panel.matrix_text


def _cut(name: str, most: int) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _title(panel: Panel, inches: float) -> str:
    """Return a panel's title in lines that fit beside what stands along y."""
    names = panel.categories if panel.sideways else ()
    beside = 0.15 if _is_scatter(panel) else 0.3 if _is_square(panel) else 0.55
    room = inches - beside - 0.05 * max(map(len, names), default=0)
    return "\n".join(textwrap.wrap(panel.title, max(12, int(room / 0.05))))


def _height(panel: Panel, width: float) -> float:
    """Return inches of a panel with its title and the names along x."""
    if _is_scatter(panel):
        return min(2.1, width + 0.15)
    if panel.sideways:
        return 0.7 + 0.17 * len(panel.categories)
    if _is_square(panel):
        longest = max(map(len, panel.categories))
        return width + 0.25 + (0.05 * longest if longest * 0.055 > width / len(panel.categories) else 0)
    longest = min(_LONGEST, max(map(len, panel.categories), default=0))
    turned = 0.036 * max(0, longest - 20)  # more than there is room for
    return turned + (0.8 + 0.15 * len(panel.matrix) if panel.matrix else 2.0)


def _panel(axes: Axes, panel: Panel) -> None:
    if panel.matrix:
        _heat(axes, panel)
    axes.set_xlabel(panel.x_title, labelpad=1)
    axes.set_ylabel(panel.y_title, labelpad=2)
    if panel.matrix:
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
        _name_columns(axes, panel.categories, 0)
        axes.set_xlim(-0.6, len(panel.categories) - 0.4)


def _name_columns(axes: Axes, names: Sequence[str], first: float, upright: bool = False) -> None:
    """Name what stands along x from `first` on: turned where names do not fit, eight of more than 20."""
    count = min(len(names), 8) if len(names) > _MOST_NAMES else len(names)
    at = np.unique(np.linspace(0, len(names) - 1, count).round().astype(int))
    inches = axes.get_window_extent().width / axes.figure.dpi
    turned = min(_LONGEST, max(map(len, names))) > inches / len(at) / 0.055
    angle = (90 if upright else 30) if turned else 0
    shown = [_cut(names[i], _LONGEST) for i in at]
    axes.set_xticks(at + first, shown, rotation=angle, ha="right" if angle == 30 else "center", fontsize=6)


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
        marker="" if mark.line and len(mark.x) > _MOST_MARKERS else style.marker,
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
    low, high = panel.matrix_range
    texts = np.array(panel.matrix_text) if panel.matrix_text else None
    sns.heatmap(
        np.array(panel.matrix, float),
        ax=axes,
        cmap="cividis" if texts is None else "YlOrRd",
        vmin=low,
        vmax=high,
        annot=texts,
        fmt="",
        annot_kws={"fontsize": 5.5},
        cbar=False,
        linewidths=0.3,
        xticklabels=False,
        yticklabels=list(panel.row_names),
    )
    if len(panel.categories) <= _MOST_NAMES:
        _name_columns(axes, panel.categories, 0.5, upright=_is_square(panel))
    axes.tick_params(length=0, pad=1, labelsize=6)
    axes.tick_params(axis="y", rotation=0)
    axes.grid(False)


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
