"""One colour, marker and hatch a method, the same in every figure; sizes that fit a paper's columns.

Colours are Okabe and Ito's, which people with any common colour blindness can tell apart; markers and
hatches repeat the distinction for print in grey.
"""

import contextlib
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from ltbench.files import replacing
from ltbench.report.naming import method_rank

COLUMN = 3.3  # inches: one column of a paper
PAGE = 6.9  # inches: both columns
FLOOR_COLOUR = "#000000"
COUNT_COLOUR = "#BDBDBD"
SMALL_PRINT: dict[str, Any] = {"fontsize": 5.5, "color": "#555555"}
FLOOR_STYLE: dict[str, Any] = {"color": FLOOR_COLOUR, "linestyle": (0, (2, 1.2)), "linewidth": 1.0}


@dataclass(frozen=True)
class MethodStyle:
    """How a method is drawn."""

    colour: str
    marker: str
    hatch: str


_KNOWN = {
    "ddpm": MethodStyle("#7A7A7A", "o", ""),
    "cbdm": MethodStyle("#56B4E9", "s", "////"),
    "t2h": MethodStyle("#E69F00", "^", "...."),
    "coral": MethodStyle("#D55E00", "D", "\\\\\\\\"),
    "coral+t2h": MethodStyle("#CC79A7", "p", "xxxx"),
    "cbdm+coral": MethodStyle("#0072B2", "v", "----"),
    "cbdm+t2h": MethodStyle("#009E73", "h", "++++"),
}
_OTHERS = [
    MethodStyle("#009E73", "h", "++++"),
    MethodStyle("#F0E442", "*", "||||"),
    MethodStyle("#0072B2", "v", "----"),
    MethodStyle("#CC79A7", "p", "xxxx"),
    MethodStyle("#000000", "<", "oooo"),
    MethodStyle("#8C6D31", ">", "**"),
]


def method_styles(methods: Iterable[str]) -> dict[str, MethodStyle]:
    """Give every method its style: known names their own, others in order of name, shared by all figures.

    Pass all methods of a report at once: a plug-in's colour then depends on which plug-ins are there,
    not on which figure is drawn. Colours come again after six unknown methods.
    """
    names = sorted(set(methods), key=method_rank)
    styles = {name: _KNOWN[name] for name in names if name in _KNOWN}
    taken = {style.colour for style in styles.values()}
    free = [style for style in _OTHERS if style.colour not in taken] or _OTHERS
    others = [name for name in names if name not in _KNOWN]
    return styles | {name: free[i % len(free)] for i, name in enumerate(others)}


@dataclass(frozen=True)
class FigureFile:
    """A written figure.

    Attributes
    ----------
    name : file name without suffix.
    title : one line.
    caption : how it was made: data, metric, extractor, sizes, sampler, NFE, guidance, seeds.
    png, pdf : where it lies.
    """

    name: str
    title: str
    caption: str
    png: Path
    pdf: Path


@contextlib.contextmanager
def figure_style() -> Iterator[None]:
    """Draw without a screen and in the house style."""
    sheet = resources.files("ltbench.report") / "ltbench.mplstyle"
    with resources.as_file(sheet) as path, mpl.rc_context(fname=path):
        yield


def save(figure: Figure, folder: Path, name: str, title: str, caption: str) -> FigureFile:
    """Write a figure as PNG and PDF, without dates, so that the same scores give the same bytes."""
    paths = {suffix: folder / f"{name}.{suffix}" for suffix in ("png", "pdf")}
    metadata = {"png": {"Software": None}, "pdf": {"CreationDate": None, "Title": title}}
    for suffix, path in paths.items():
        with replacing(path) as temporary:
            figure.savefig(temporary, format=suffix, metadata=metadata[suffix])
        figure.set_layout_engine("none")  # keep the layout that the first file was given
    return FigureFile(name, title, caption, paths["png"], paths["pdf"])


def seed_points(axes: Axes, x: Any, y: Any, colour: str = "#222222") -> None:
    """Draw every seed's value, white with a rim, above bars and markers, so that none is hidden by the mean."""
    axes.plot(x, y, "o", ms=1.9, mfc="white", mec=colour, mew=0.5, ls="", zorder=4)


def footer(figure: Figure, text: str) -> None:
    """Print how the figure was made below it, small, wrapped to its width."""
    figure.supxlabel(wrapped(text, figure.get_figwidth()), x=0.01, ha="left", **SMALL_PRINT)


def wrapped(text: str, inches: float) -> str:
    """Break small print into lines that fill a width."""
    return "\n".join(textwrap.wrap(text, int(inches * 23)))


def dash(style: MethodStyle) -> str | tuple[int, tuple[float, ...]]:
    """Give each marker a dash pattern of its own, so that lines differ without colour."""
    dashes: dict[str, str | tuple[int, tuple[float, ...]]] = {
        "o": "-",
        "s": (0, (4, 1)),
        "^": (0, (1, 0.8)),
        "D": (0, (6, 1, 1, 1)),
    }
    return dashes.get(style.marker, (0, (3, 1, 1, 1, 1, 1)))


def plain_log(axes: Axes, which: Literal["x", "y"], low: float, high: float) -> None:
    """Make an axis logarithmic, with ticks written out, if its values span enough for that."""
    if not 0 < 5 * low <= high:
        return
    axes.set(**{f"{which}scale": "log"})
    axis: Axis = getattr(axes, f"{which}axis")
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 100 * low else (1.0,)))
    axis.set_major_formatter("{x:,g}" if high >= 1e6 or low < 1 else "{x:,.0f}")
    axis.set_minor_locator(NullLocator())


def legend_columns(labels: Sequence[str], inches: float) -> int:
    """Return how many columns of a legend fit a width: six at most, three in a paper's column."""
    most = min(len(labels), 6 if inches > COLUMN else 3)
    for columns in range(most, 1, -1):
        rows = -(-len(labels) // columns)
        widest = [max(map(len, labels[i : i + rows])) for i in range(0, len(labels), rows)]
        if sum(0.45 + 0.062 * letters for letters in widest) <= inches:
            return columns
    return 1


def shared_legend(figure: Figure, panels: Sequence[Axes]) -> None:
    """Put one legend above all panels, each label once."""
    found: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    found |= {label: found.pop(label) for label in list(found) if label.startswith("floor")}  # last
    handles, labels = list(found.values()), list(found)
    ncols = legend_columns(labels, figure.get_figwidth())
    figure.legend(handles=handles, labels=labels, loc="outside upper center", ncols=ncols, columnspacing=1)
