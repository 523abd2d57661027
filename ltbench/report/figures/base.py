"""A figure as data: panels of marks with their labels, colours and captions, which matplotlib and the page both draw.

    @figure("guidance", "guidance curve", needs="sample sets at several guidances")
    def guidance_curve(scene: Scene) -> Figure | None: ...

A figure function gets a `Scene` (one data cell with all that belongs to it) and returns data, or None where what it
shows is not stored; the registry knows what each needs and so which could not be drawn.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from ltbench.diffusion.registry import kind
from ltbench.report.cells import CellResults, main_protocols, main_series
from ltbench.report.names import integer, method_rank, metric_title, seeds_text
from ltbench.runs.run import Run

MOST_PANELS = 3  # guidances in one figure

# -- data -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Style:
    """How a method is drawn, the same in every figure."""

    colour: str
    marker: str
    dash: tuple[float, ...] = ()


@dataclass(frozen=True)
class Mark:
    """One series in one panel.

    Attributes
    ----------
    label : in the legend; a label that stands twice is shown once.
    x, y : (n,) positions of the means; in a category panel x counts categories (may lie between them).
    low, high : (n,) ends of the intervals about y (about x in a panel on its side); () for none.
    points : (x, y) of every seed.
    style : colour, marker and dash.
    line : joined by a line.
    hollow : drawn with an empty marker: another curve of a method that stands there already.
    text : (n,) what is said when a mark is pointed at, beside its numbers; () for nothing.
    method, guidance : what a filter knows of it.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    style: Style
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    points: Sequence[tuple[float, float]] = ()
    line: bool = False
    hollow: bool = False
    text: Sequence[str] = ()
    method: str = ""
    guidance: str = ""


@dataclass(frozen=True)
class Panel:
    """One set of axes.

    Attributes
    ----------
    title, x_title, y_title : in words.
    marks : what is drawn, in order.
    x_log, y_log : logarithmic axes, where the values span enough for one.
    x_reversed : large values left (training images: head first).
    categories : names along x (along y in a panel on its side), evenly spaced.
    sideways : categories run down the y axis and the values along x: a forest plot.
    zero : a line at 0.
    floor : (x, y) of short black strokes, one a category; or one value for the whole width (x is nan).
    matrix : (rows, columns) of a heat map in place of marks; `categories` name the columns, `row_names` the rows.
    matrix_text : what stands in its fields.
    matrix_range : its colours' ends; centred on 0 where they are of opposite sign.
    """

    title: str = ""
    x_title: str = ""
    y_title: str = ""
    marks: Sequence[Mark] = ()
    x_log: bool = False
    y_log: bool = False
    x_reversed: bool = False
    categories: Sequence[str] = ()
    sideways: bool = False
    zero: bool = False
    floor: Sequence[tuple[float, float]] = ()
    matrix: Sequence[Sequence[float]] = ()
    row_names: Sequence[str] = ()
    row_methods: Sequence[str] = ()
    matrix_text: Sequence[Sequence[str]] = ()
    matrix_range: tuple[float, float] = (0.0, 1.0)
    guidance: str = ""


@dataclass(frozen=True)
class Image:
    """Pictures in a grid: a strip of images a class (row) and method (column).

    Attributes
    ----------
    rows : names of the rows, with a second line of small print each.
    columns : names of the columns, with their methods for the filter.
    strips : (row, column) -> uint8 (H, W, 3), or None where nothing is kept.
    """

    rows: Sequence[tuple[str, str]]
    columns: Sequence[tuple[str, str]]
    strips: Mapping[tuple[int, int], np.ndarray]


@dataclass(frozen=True)
class Figure:
    """A figure before it is drawn.

    Attributes
    ----------
    name : file name without suffix.
    title : one line.
    caption : how it was made: data, metric, extractor, sizes, sampler, NFE, guidance, seeds; what it leaves out.
    panels : its axes, `across` side by side.
    image : pictures in place of panels.
    """

    name: str
    title: str
    caption: str
    panels: Sequence[Panel] = ()
    across: int = 3
    image: Image | None = None

    def titled(self, title: str) -> Figure:
        """Return the figure under another title."""
        return replace(self, title=title)


# -- the registry ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scene:
    """All that a figure of one data cell is made of.

    Attributes
    ----------
    cell : its results.
    found : all data cells of the report, for controls.
    runs : run name -> `Run`.
    styles : method -> `Style`.
    probes : the stored figures of the bottleneck at the main series' runs.
    differences : paired differences with the baseline.
    baseline : method that the others are compared with.
    """

    cell: CellResults
    found: Sequence[CellResults]
    runs: Mapping[str, Run]
    styles: Mapping[str, Style]
    probes: pd.DataFrame
    differences: pd.DataFrame
    baseline: str


Maker = Callable[[Scene], Figure | list[Figure] | None]


@dataclass(frozen=True)
class Kind:
    """A kind of figure: what it shows, what it needs, how it is made."""

    name: str
    shows: str
    needs: str
    make: Maker


KINDS: dict[str, Kind] = {}


def figure(name: str, shows: str, needs: str) -> Callable[[Maker], Maker]:
    """Register a figure function under a name, with what it shows and what it needs to be drawn."""

    def register(make: Maker) -> Maker:
        KINDS[name] = Kind(name, shows, needs, make)
        return make

    return register


def figures_of(scene: Scene, wanted: Iterable[str] | None = None) -> dict[str, list[Figure]]:
    """Return the figures of a data cell by kind, in the registry's order; those that cannot be drawn are missing."""
    out = {}
    for name in KINDS if wanted is None else wanted:
        made = KINDS[name].make(scene)
        if made:
            out[name] = made if isinstance(made, list) else [made]
    return out


# -- styles ---------------------------------------------------------------------------------------------------

# Okabe and Ito's colours, which people with any common colour blindness can tell apart, then Tol's; markers and
# dashes repeat the distinction for print in grey.
_PALETTE = [
    Style("#7A7A7A", "o"),
    Style("#56B4E9", "s", (4, 1)),
    Style("#E69F00", "^", (1, 0.8)),
    Style("#D55E00", "D", (6, 1, 1, 1)),
    Style("#009E73", "h", (3, 1, 1, 1, 1, 1)),
    Style("#0072B2", "v", (5, 2)),
    Style("#CC79A7", "p", (2, 1)),
    Style("#882255", "*", (1, 2)),
    Style("#999933", "<", (8, 2)),
    Style("#332288", ">", (8, 1, 1, 1)),
    Style("#44AA99", "P", (3, 3)),
    Style("#8C6D31", "X", (2, 2, 6, 2)),
]


def method_styles(methods: Iterable[str], known: Iterable[str] = ()) -> dict[str, Style]:
    """Give every method its style, shared by all figures of a report.

    Parameters
    ----------
    methods
        Names, in any order.
    known
        Methods that are always there (the tree's own): they take their styles first, so that a method's
        colour does not depend on which others a report holds. Colours come again after twelve methods.
    """
    order = list(dict.fromkeys([*sorted(known, key=method_rank), *sorted(set(methods), key=method_rank)]))
    taken = {name: _PALETTE[i % len(_PALETTE)] for i, name in enumerate(order)}
    return {name: taken[name] for name in dict.fromkeys([*methods, *order])}


def faded(style: Style, times: int) -> Style:
    """Return the style of a method's further series: the colour mixed with white."""
    if not times:
        return style
    channels = [int(style.colour[i : i + 2], 16) for i in (1, 3, 5)]
    mixed = [round(255 - (255 - c) * 0.62 ** min(2, times)) for c in channels]
    return replace(style, colour="#" + "".join(f"{c:02X}" for c in mixed))


# -- from numbers to marks ------------------------------------------------------------------------------------


def seed_mark(  # noqa: PLR0913 -- a mark, options given by name
    cell: CellResults,
    scope: str,
    measure: pd.Series,
    rows: pd.DataFrame,
    x: Sequence[float],
    style: Style,
    *,
    label: str,
    place: str = "",
    line: bool = False,
    hollow: bool = False,
    sizes: bool = True,
) -> Mark | None:
    """Return the mean, its spread over seeds and every seed's value of some series at the given x; None without any.

    Parameters
    ----------
    cell
        Where the values are.
    scope
        ``overall``, ``class``, ``group`` or ``pooled``.
    measure
        A row of the cell's measures.
    rows
        Series, one an x.
    x
        (rows,) positions.
    style
        The mark's look.
    label
        The mark's name in the legend.
    place
        Class or group; empty for overall.
    line, hollow
        Join the means; leave their marks unfilled.
    sizes
        Take only values at the measure's own numbers of images.
    """
    column = cell.column(scope, measure, place, sizes=sizes)
    wide = cell.by_seed(scope, measure, place, sizes=sizes)
    keep = [(key, float(at)) for key, at in zip(rows["series"], x, strict=True) if key in column.index]
    if not keep:
        return None
    mean = np.array([column.loc[key, "mean"] for key, _ in keep], float)
    sd = np.array([column.loc[key, "sd"] for key, _ in keep], float)
    points = [
        (at, float(v))
        for key, at in keep
        if key in wide and wide[key].notna().sum() > 1
        for v in wide[key].dropna()
    ]
    spread = np.nan_to_num(sd)
    one = rows.iloc[0]
    return Mark(
        label,
        [at for _, at in keep],
        mean.tolist(),
        style,
        (mean - spread).tolist() if spread.any() else (),
        (mean + spread).tolist() if spread.any() else (),
        points,
        line,
        hollow,
        method=str(one["method"]),
        guidance=f"{one['guidance']:g}" if len(rows) == 1 and one["guidance"] == one["guidance"] else "",
    )


def spans_decades(values: Sequence[float]) -> bool:
    """Tell whether values span enough for a logarithmic axis."""
    known = [v for v in values if v == v]
    return bool(known) and 0 < 5 * min(known) <= max(known)


def how_made(
    cell: CellResults,
    series: pd.DataFrame,
    measure: pd.Series | None = None,
    scope: str = "class",
    drawn: str = "mean and standard deviation over training seeds, a point a seed",
) -> str:
    """Say in one paragraph how a figure's numbers were made; `drawn`: what is drawn where there are several seeds."""
    parts = [cell.label]
    if measure is not None:
        parts.append(
            f"{metric_title(measure['metric'], measure['extractor'], False)} ({measure['definition']}): "
            f"{integer(measure['n_generated'])} generated against {integer(measure['n_reference'])} real"
            f"{' a class' if scope == 'class' else ''} ({measure['reference']})"
        )
    for name, show in (
        ("sampler", "sampler {}"),
        ("nfe", "{:g} NFE"),
        ("guidance", "guidance {:g}"),
        ("step", "step {:,.0f}"),
    ):
        values = [v for v in series[name].unique() if v == v and v != ""]
        if len(values) == 1:
            parts.append(show.format(values[0]))
        elif name in ("nfe", "guidance") and 1 < len(values) <= MOST_PANELS:
            every = " or ".join(f"{v:g}" for v in values)
            parts.append(show.format(values[0]).replace(f"{values[0]:g}", every))
    kinds = {kind(s) for s in series["sampler"]} - {"unknown"}
    if len(kinds) == 1:
        parts.append(f"{kinds.pop()} sampler")
    seeds = series["train_seeds"].map(seeds_text)
    if len(set(seeds)) == 1:
        one = len(series["train_seeds"].iloc[0]) == 1
        parts.append(
            f"training seed {series['train_seeds'].iloc[0][0]}" if one else f"training seeds {seeds.iloc[0]}"
        )
    else:
        told = (f"{label} {text}" for label, text in zip(series["label"], seeds, strict=True))
        parts.append("training seeds " + ", ".join(dict.fromkeys(told)))  # a method once for all guidances
    if measure is not None and (series["train_seeds"].map(len) > 1).any():
        parts.append(drawn)
    return "; ".join(parts) + "."


def left_out(cell: CellResults, shown: pd.DataFrame) -> str:
    """Say how many series a figure does not show, if any."""
    fewer = len(cell.series) - len(set(shown["series"]))
    return f" {fewer} of {len(cell.series)} settings are left out: see every setting." if fewer else ""


@functools.lru_cache(maxsize=64)
def shown_panels(cell: CellResults) -> list[pd.DataFrame]:
    """Return the blocks that get a panel each: the main protocol and others of its guidances."""
    return main_protocols(cell)[:MOST_PANELS]


__all__ = [
    "KINDS",
    "MOST_PANELS",
    "Figure",
    "Image",
    "Mark",
    "Panel",
    "Scene",
    "Style",
    "faded",
    "field",
    "figure",
    "figures_of",
    "how_made",
    "left_out",
    "main_series",
    "method_styles",
    "seed_mark",
    "shown_panels",
    "spans_decades",
]
