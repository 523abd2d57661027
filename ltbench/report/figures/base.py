"""What every figure of a data cell is made of: its scene, the registry of kinds, and the methods' styles.

A figure is data: a `Figure` of panels (marks or a matrix) or pictures, which `draw` turns into files and `html` into the
page. A kind of figure is a function of a `Scene`, registered by `figure`; `marks` has what they are put together from.
The registry knows what each kind needs and so which could not be drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from ltbench.analysis.cell_results import CellResults
from ltbench.analysis.names import method_rank
from ltbench.analysis.records import Runs
from ltbench.analysis.series import Series, grouped
from ltbench.report.figures.model import Figure, Panel, Style

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
    runs: Runs
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
# In what order a report speaks of the kinds, whichever module is imported first.
ORDER = (
    *(
        "noise",
        "entanglement",
        "tsne",
        "confusion",
        "forest",
        "heat",
        "class",
        "counts",
        "guidance",
        "budget",
    ),
    *("nfe", "hyper", "cost", "training", "samples", "nearest"),
)
Figures = Iterator[Figure | None]  # what a kind of several figures yields


def figure(name: str, shows: str, needs: str) -> Callable[[Maker], Maker]:
    """Register a figure function under a name, with what it shows and what it needs to be drawn."""

    def register(make: Maker) -> Maker:
        KINDS[name] = Kind(name, shows, needs, make)
        return make

    return register


def figures_of(scene: Scene, wanted: Iterable[str] | None = None) -> dict[str, list[Figure]]:
    """Return the figures of a data cell by kind, in `ORDER`; those that cannot be drawn are missing."""
    made = {name: KINDS[name].make(scene) for name in (ORDER if wanted is None else wanted)}
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
