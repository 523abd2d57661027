"""A figure as data: panels of marks with their labels, colours and captions, which matplotlib and the page both draw.

    @figure("guidance", "guidance curve", needs="sample sets at several guidances")
    def guidance_curve(scene: Scene) -> Figure | None: ...

A figure function gets a `Scene` (one data cell with all that belongs to it), makes marks (`draw_series`), panels
(`panel_of`) and the figure (`Scene.figure`), each of which is None where what it shows is not stored; the registry
knows what each kind needs and so which could not be drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from ltbench.report.cell_results import CellResults
from ltbench.report.names import Measure, integer, method_rank, seeds_text
from ltbench.report.protocols import main_protocols
from ltbench.report.series import Series, grouped
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

    def figure(
        self, name: str, title: str, caption: str, panels: Iterable[Panel | None], across: int = 3
    ) -> Figure | None:
        """Return a figure of the panels that could be made, `across` (0: all) side by side; None without any."""
        kept = [panel for panel in panels if panel is not None]
        if not kept:
            return None
        name, title = f"{self.cell.slug}-{name}", f"{title}, {self.cell.label}"
        return Figure(name, title, caption, kept, across or len(kept))


Maker = Callable[[Scene], Figure | Iterable[Figure | None] | None]


@dataclass(frozen=True)
class Kind:
    """A kind of figure: what it shows, what it needs, how it is made."""

    name: str
    shows: str
    needs: str
    make: Maker


KINDS: dict[str, Kind] = {}
Figures = Iterator[Figure | None]  # what a kind of several figures yields


def figure(name: str, shows: str, needs: str) -> Callable[[Maker], Maker]:
    """Register a figure function under a name, with what it shows and what it needs to be drawn."""

    def register(make: Maker) -> Maker:
        KINDS[name] = Kind(name, shows, needs, make)
        return make

    return register


def figures_of(scene: Scene, wanted: Iterable[str] | None = None) -> dict[str, list[Figure]]:
    """Return the figures of a data cell by kind, in the registry's order; those that cannot be drawn are missing."""
    made = {name: KINDS[name].make(scene) for name in (KINDS if wanted is None else wanted)}
    every = {name: [f] if isinstance(f, Figure) else list(f or ()) for name, f in made.items()}
    known = {name: [f for f in figures if f is not None] for name, figures in every.items()}
    return {name: figures for name, figures in known.items() if figures}


# -- styles ---------------------------------------------------------------------------------------------------

# Okabe and Ito's colours, which people with any common colour blindness can tell apart, then Tol's; markers and
# dashes repeat the distinction for print in grey.
_PALETTE = [
    Style("#7A7A7A", "o"),
    Style("#56B4E9", "s", (4, 1)),
    Style("#E69F00", "^", (1, 0.8)),
    Style("#A50026", "d", (4, 2, 1, 2)),
    Style("#117733", "8", (7, 1)),
    Style("#0072B2", "v", (5, 2)),
    Style("#CC79A7", "p", (2, 1)),
    Style("#882255", "*", (1, 2)),
    Style("#999933", "<", (8, 2)),
    Style("#6A3D9A", ">", (8, 1, 1, 1)),
    Style("#44AA99", "P", (3, 3)),
    Style("#8C6D31", "X", (2, 2, 6, 2)),
    Style("#009E73", "h", (3, 1, 1, 1, 1, 1)),
    Style("#D55E00", "D", (6, 1, 1, 1)),
    Style("#E7298A", "H", (1, 1, 4, 1)),
    Style("#DDAA33", "s", (2, 3)),
]


def method_styles(methods: Collection[str], known: Iterable[str] = ()) -> dict[str, Style]:
    """Give every method its style, shared by all figures of a report.

    The `known` methods are always there (the tree's own): they take their styles first, so that a method's colour
    does not depend on which others a report holds. Of two methods of a report none has the other's before all are
    taken.
    """
    order = list(dict.fromkeys([*sorted(known, key=method_rank), *sorted(set(methods), key=method_rank)]))
    styles = {name: _PALETTE[i % len(_PALETTE)] for i, name in enumerate(order)}
    free = [style for style in _PALETTE if style not in {styles[name] for name in methods}]
    taken = set[Style]()
    for name in (name for name in order if name in set(methods)):
        if styles[name] in taken and free:
            styles[name] = free.pop(0)
        taken.add(styles[name])
    return styles


def faded(style: Style, times: int) -> Style:
    """Return the style of a method's further series: the colour mixed with white."""
    return (
        replace(style, colour=mixed(style.colour, "#FFFFFF", 1 - 0.62 ** min(2, times))) if times else style
    )


def mixed(first: str, second: str, share: float) -> str:
    """Mix two colours, `share` of the second."""
    pairs = ((int(first[i : i + 2], 16), int(second[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(a + (b - a) * share):02X}" for a, b in pairs)


def styled(scene: Scene, block: Sequence[Series]) -> list[tuple[Series, Style]]:
    """Return series with their styles: a method's colour, fainter for its second and third series."""
    ranks = {
        one.key: i for rows in grouped(block, lambda one: one.method).values() for i, one in enumerate(rows)
    }
    return [(one, faded(scene.styles[one.method], ranks[one.key])) for one in block]


# -- from numbers to marks ------------------------------------------------------------------------------------


def draw_series(
    label: str,
    at: Iterable[tuple[float, np.ndarray]],
    style: Style,
    *,
    line: bool = False,
    hollow: bool = False,
    method: str = "",
    guidance: str = "",
) -> Mark | None:
    """Return the mean, its standard deviation and a point a seed, at each (x, values of its seeds); None without any."""
    kept = [(float(x), np.asarray(values, float)) for x, values in at if len(values)]
    if not kept:
        return None
    mean = np.array([values.mean() for _, values in kept])
    sd = np.array([values.std(ddof=1) if len(values) > 1 else 0.0 for _, values in kept])
    return Mark(
        label,
        [x for x, _ in kept],
        mean.tolist(),
        style,
        (mean - sd).tolist() if sd.any() else (),
        (mean + sd).tolist() if sd.any() else (),
        [(x, float(v)) for x, values in kept if len(values) > 1 for v in values],
        line,
        hollow,
        method=method,
        guidance=guidance,
    )


def panel_of(
    marks: Iterable[Mark | None],
    title: str = "",
    x_title: str = "",
    y_title: str = "",
    *,
    logs: str = "",
    **more: Any,
) -> Panel | None:
    """Return a panel of the marks that could be made; None without any.

    `logs` names the axes, "x", "y" or "xy", that are logarithmic where the means span enough for it; `more` are other
    attributes of `Panel`.
    """
    kept = [mark for mark in marks if mark is not None]
    if not kept:
        return None
    x_log, y_log = (
        axis in logs and spans_decades(v for mark in kept for v in getattr(mark, axis)) for axis in "xy"
    )
    return Panel(title, x_title, y_title, kept, x_log, y_log, **more)


def seed_values(
    cell: CellResults, measure: Measure, series: str, scope: str = "overall", place: str = ""
) -> np.ndarray:
    """Return a series' values of one measure and place, a training seed each; (0,) where it was not measured."""
    wide = cell.by_seed(scope, measure, place)
    if series in wide:
        return wide[series].dropna().to_numpy(float)
    found = cell.means(scope, measure, place).get(series)  # of images from elsewhere, which state no seed
    return np.array([] if found is None else [found.mean])


def spans_decades(values: Iterable[float]) -> bool:
    """Tell whether values span enough for a logarithmic axis."""
    known = [v for v in values if v == v]
    return bool(known) and 0 < 5 * min(known) <= max(known)


def how_made(
    cell: CellResults,
    series: Sequence[Series],
    measure: Measure | None = None,
    scope: str = "class",
    drawn: str = "mean and standard deviation over training seeds, a point a seed",
) -> str:
    """Say in one paragraph how a figure's numbers were made; `drawn`: what is drawn where there are several seeds."""
    parts = [cell.label]
    if measure is not None:
        parts.append(
            f"{measure.plain} ({measure.definition}): "
            f"{integer(measure.n_generated)} generated against {integer(measure.n_reference)} real"
            f"{' a class' if scope == 'class' else ''} ({measure.reference})"
        )
    for name, show, most in (
        ("sampler", "sampler {}", 1),
        ("nfe", "{:g} NFE", MOST_PANELS),
        ("guidance", "guidance {:g}", MOST_PANELS),
        ("step", "step {:,.0f}", 1),
    ):
        values = [v for v in dict.fromkeys(getattr(one, name) for one in series) if v == v and v != ""]
        if 1 <= len(values) <= most:
            every = " or ".join(f"{v:g}" for v in values) if most > 1 else ""
            parts.append(
                show.format(values[0]).replace(f"{values[0]:g}", every) if every else show.format(values[0])
            )
    rules = [rule for rule in dict.fromkeys(one.rule for one in series) if rule]
    if 0 < len(rules) <= MOST_PANELS:
        plain = " for some" if any(one.rule == "" for one in series) else ""
        parts.append(f"guidance by {' or '.join(rules)}{plain}")
    kinds = {one.kind for one in series} - {"unknown"}
    if len(kinds) == 1:
        parts.append(f"{kinds.pop()} sampler")
    if len({one.train_seeds for one in series}) == 1:
        seeds = series[0].train_seeds
        parts.append(
            f"training seed {seeds[0]}" if len(seeds) == 1 else f"training seeds {seeds_text(seeds)}"
        )
    else:  # a method once for all guidances
        each = dict.fromkeys(f"{one.label} {seeds_text(one.train_seeds)}" for one in series)
        parts.append(f"training seeds {', '.join(each)}")
    if drawn and measure is not None and any(len(one.train_seeds) > 1 for one in series):
        parts.append(drawn)
    return "; ".join(parts) + "."


def left_out(cell: CellResults, shown: Sequence[Series]) -> str:
    """Say how many series a figure does not show, if any."""
    fewer = len(cell.series) - len({one.key for one in shown})
    return f" {fewer} of {len(cell.series)} settings are left out: see every setting." if fewer else ""


def shown_panels(cell: CellResults) -> list[list[Series]]:
    """Return the blocks that get a panel each: the main protocol and others of its guidances."""
    return main_protocols(cell)[:MOST_PANELS]
