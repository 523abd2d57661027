"""A figure as data: marks in panels, or pictures in a grid, before it is drawn as a file or on the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


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
    row_methods, row_guidances : what a filter knows of the rows, also of a panel on its side.
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
    row_guidances: Sequence[str] = ()
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
