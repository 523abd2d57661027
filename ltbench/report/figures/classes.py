"""Classes side by side: the heat map of their distances, their scores by method, count against score."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ltbench.analysis.cell_results import CellResults
from ltbench.analysis.columns import Column
from ltbench.analysis.controls import balanced_controls, change, class_points, reordered
from ltbench.analysis.names import Measure, integer, number
from ltbench.analysis.protocols import block_title, main_protocols
from ltbench.analysis.series import Series, joined, row_labels
from ltbench.report.figures.base import Figures, Scene, figure, mixed, styled
from ltbench.report.figures.marks import (
    draw_series,
    floor_size,
    how_made,
    left_out,
    panel_of,
    shown_panels,
    spans_decades,
)
from ltbench.report.figures.model import Figure, Mark, Panel, Style

_MOST_BARS = 20  # classes with names along an axis; above, a running mean
_MOST_CLASSES = 20  # classes with a colour of their own
_MOST_METHODS = 4
_MOST_CELLS = 100  # classes of a heat map
_ALONG = "class (training images), head to tail"


def _class_titles(cell: CellResults) -> list[str]:
    return [f"{cell.class_name(c)} ({integer(n)})" for c, n in cell.classes().itertuples(index=False)]


@figure("heat", "per-class heat map", "per-class Frechet distances")
def per_class_heat(scene: Scene) -> Figure | None:
    """Draw each class's Frechet distance relative to its floor, classes head to tail, a row a method."""
    cell, measure = scene.cell, scene.cell.frechet("class")
    names = list(cell.classes()["class_or_group"])
    if measure is None or len(names) > _MOST_CELLS:
        return None
    series = joined(main_protocols(cell))

    def table(columns: Sequence[Column | None]) -> np.ndarray:
        means = [column.means(cell) if column is not None else {} for column in columns]
        return np.array([[m[one.key].mean if one.key in m else np.nan for m in means] for one in series])

    plain = [Column("", measure, "class", c) for c in names]
    alike = [c.at_floor(cell) for c in plain]
    values = table(plain)
    at_floors = table([c if c.role or not c.at_another_n(cell) else None for c in alike])
    floors = np.array([cell.floor("class", measure, c)[0] for c in names])
    keep = np.isfinite(values).any(axis=1)
    if not keep.any():
        return None
    relative = bool(np.isfinite(floors).all() and (floors > 0).all())
    relative = relative and bool((np.isfinite(at_floors) >= np.isfinite(values)).all())
    shade = (np.log2(at_floors / floors) if relative else np.log10(values))[keep]
    few, decimals = len(names) <= _MOST_BARS, measure.decimals if len(names) <= 10 else 1
    kept = [(one, label) for one, label, yes in zip(series, row_labels(series), keep, strict=True) if yes]
    panel = Panel(
        x_title=_ALONG,
        categories=_class_titles(cell),
        matrix=shade.tolist(),
        row_names=[label for _, label in kept],
        row_methods=[one.method for one, _ in kept],
        row_guidances=[one.scale for one, _ in kept],
        matrix_text=[[number(v, decimals) if few else "" for v in row] for row in values[keep]],
        matrix_range=(0.0 if relative else float(np.nanmin(shade)), float(np.nanmax(shade))),
    )
    size = floor_size(cell, measure)
    at = f" at the floor's n ({size})" if size else ""
    colour = f"how often the distance{at} doubles its floor" if relative else "logarithm of the distance"
    made = how_made(cell, series, measure, drawn="mean over training seeds")
    caption = f"Colour: {colour}; in the fields the mean over seeds. {made}{left_out(cell, series)}"
    return scene.figure("heat", f"{measure.plain} per class", caption, [panel], 1)


@figure("class", "per-class scores by method", "per-class Frechet distances")
def per_class(scene: Scene) -> Figures:
    """Draw scores a class, head to tail, by method, with floors: Frechet distance, recall and agreement."""
    cell, blocks = scene.cell, shown_panels(scene.cell)
    drawn = (
        "a class's mean over seeds, smoothed over a twelfth of the classes"
        if len(cell.classes()) > _MOST_BARS
        else "mean and sd over training seeds, a point a seed"
    )
    for metric in ("frechet", "recall", "agreement"):
        if (measure := cell.leading(metric, "class")) is not None:
            made = how_made(cell, joined(blocks), measure, drawn=drawn)
            size = floor_size(cell, measure)
            strokes = f"Black strokes: floor, real against real{f', {size}' if size else ''}."
            caption = f"{strokes} {made}{left_out(cell, joined(blocks))}"
            panels = [_class_panel(scene, measure, block) for block in blocks]
            yield scene.figure(f"class-{metric}", f"{measure.plain} per class", caption, panels, 1)


def _class_panel(scene: Scene, measure: Measure, block: Sequence[Series]) -> Panel | None:
    cell = scene.cell
    names = list(cell.classes()["class_or_group"])
    many = len(names) > _MOST_BARS
    marks = []
    for i, (one, style) in enumerate(styled(scene, block)):
        values = [cell.seed_values(measure, one.key, "class", c) for c in names]
        x = np.arange(len(names)) + (0 if many else 0.8 * ((i + 0.5) / len(block) - 0.5))
        if many:
            mean = pd.Series([v.mean() if len(v) else np.nan for v in values])
            smooth = mean.rolling(max(3, len(names) // 12), center=True, min_periods=1).mean()
            values = [np.array([v]) if v == v else np.array([]) for v in smooth]
        at = zip(x, values, strict=True)
        marks.append(draw_series(one.label, at, style, line=many, method=one.method, guidance=one.scale))
    floors = [(float(i), cell.floor("class", measure, c)[0]) for i, c in enumerate(names)]
    return panel_of(
        marks,
        block_title(block),
        _ALONG,
        measure.title,
        logs="y" if measure.metric == "frechet" else "",
        categories=_class_titles(cell),
        floor=[(x, y) for x, y in floors if y == y],
        guidance=block[0].scale,
    )


@figure(
    "counts", "the same classes at other training counts", "other class orders, splits or balanced controls"
)
def class_counts(scene: Scene) -> Figure | None:
    """Draw each class's Frechet distance against its training images in a long tail, its other orders and splits,
    and balanced controls: a panel a method, a line a class through the long tails, an open mark a control."""
    cell, measure = scene.cell, scene.cell.frechet("class")
    others, controls = reordered(cell, scene.found), balanced_controls(cell, scene.found)
    classes = list(cell.classes()["class_or_group"])
    if not cell.published or measure is None or not (others or controls) or len(classes) > _MOST_CLASSES:
        return None
    series = shown_panels(cell)[0][:_MOST_METHODS]
    panels = []
    for one in series:
        tails, even = ([_means(c, one) for c in some] for some in ((cell, *others), controls))
        marks: list[Mark] = []
        for rank, name in enumerate(classes):
            title, colour = cell.class_name(name), _class_colour(rank, len(classes))
            if own := sorted(f[name] for f in tails if name in f):
                x, y = zip(*own, strict=True)
                marks.append(Mark(title, x, y, Style(colour, "o"), line=len(own) > 1))
            for n, value in (f[name] for f in even if name in f):
                marks.append(Mark(title, [n], [value], Style(colour, "D"), hollow=True))
        titles = one.label, "training images of the class", measure.title
        y_log = spans_decades(v for m in marks for v in m.y)
        panels.append(Panel(*titles, marks, True, y_log, True, guidance=one.scale))
    parts = [f"joined: published split{', ' if others else ''}{', '.join(change(cell, c) for c in others)}"]
    if controls:
        counts = " and ".join(integer(c.classes()["n_train"].max()) for c in controls)
        parts.append(f"open: balanced, {counts} images a class")
    caption = (
        f"A colour a class; {'; '.join(parts)}; mean over training seeds. "
        f"{how_made(cell, series, measure, drawn='mean over training seeds')}{left_out(cell, series)}"
    )
    return scene.figure("counts", "The same classes at other training counts", caption, panels, 2)


def _means(cell: CellResults, like: Series) -> dict[str, tuple[float, float]]:
    """Return class -> its training images and its mean score over training seeds."""
    means = class_points(cell, like).groupby("class_or_group")[["n_train", "value"]].mean()
    return {str(k): (float(n), float(v)) for k, n, v in means.itertuples()}


_TEN = str.split("#1F77B4 #FF7F0E #2CA02C #D62728 #9467BD #8C564B #E377C2 #7F7F7F #BCBD22 #17BECF")


def _class_colour(rank: int, count: int) -> str:
    """Return a class's colour: of ten, each one of its own; of more, from dark blue (head) to orange (tail)."""
    return _TEN[rank] if count <= len(_TEN) else mixed("#14288C", "#F09614", rank / (count - 1))
