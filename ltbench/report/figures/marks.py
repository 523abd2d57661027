"""From numbers to marks, panels and captions: the parts that every figure function is put together from.

`draw_series` and `panel_of` return None where what they show is not stored; `Scene.figure` leaves those out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ltbench.analysis.cell_results import CellResults
from ltbench.analysis.names import MISSING, Measure, range_text, seeds_text
from ltbench.analysis.protocols import main_protocols
from ltbench.analysis.series import Series
from ltbench.report.figures.model import Mark, Panel, Style

MOST_PANELS = 3  # guidances in one figure
# How a caption tells an attribute of series, its values, and how many of them at most.
_SETTINGS = (
    ("sampler", "sampler {}", "{}", 1),
    ("nfe", "{} NFE", "{:g}", MOST_PANELS),
    ("guidance", "guidance {}", "{:g}", MOST_PANELS),
    ("step", "step {}", "{:,.0f}", 1),
)


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
        generated, real = (cell.images(measure, size) for size in ("n_generated", "n_reference"))
        per = " a class" if scope == "class" else ""
        sizes = f"{generated} generated against {real} real{per} ({measure.reference})"
        parts.append(f"{measure.plain} ({measure.definition}): {sizes}")
    for name, show, unit, most in _SETTINGS:
        values = [v for v in dict.fromkeys(getattr(one, name) for one in series) if v == v and v != ""]
        if 1 <= len(values) <= most:
            parts.append(show.format(" or ".join(map(unit.format, values))))
    rules = [rule for rule in dict.fromkeys(one.rule for one in series) if rule]
    if 0 < len(rules) <= MOST_PANELS:
        plain = " for some" if any(one.rule == "" for one in series) else ""
        parts.append(f"guidance by {' or '.join(rules)}{plain}")
    kinds = {one.kind for one in series} - {"unknown"}
    if len(kinds) == 1:
        parts.append(f"{kinds.pop()} sampler")
    seeds = dict.fromkeys(one.train_seeds for one in series)
    each = dict.fromkeys(f"{one.label} {seeds_text(one.train_seeds)}" for one in series)
    if len(seeds) == 1:
        own = next(iter(seeds))
        parts.append(f"training seed {own[0]}" if len(own) == 1 else f"training seeds {seeds_text(own)}")
    else:  # a method once for all guidances
        parts.append(f"training seeds {', '.join(each)}")
    if drawn and measure is not None and any(len(one.train_seeds) > 1 for one in series):
        parts.append(drawn)
    return "; ".join(parts) + "."


def floor_size(cell: CellResults, measure: Measure, scope: str = "class") -> str:
    """Say how many images a measure's floors have, where that is another number than its scores'."""
    places = cell.classes()["class_or_group"] if scope == "class" else [""]
    floors = (cell.floor(scope, measure, place)[2] for place in places)
    made, own = range_text(n for n in floors if n == n), cell.images(measure, "n_generated")
    if made in (MISSING, own):
        return ""
    return f"{made} images{' a class' if scope == 'class' else ''} where the scores have {own}"


def left_out(cell: CellResults, shown: Sequence[Series]) -> str:
    """Say how many series a figure does not show, if any."""
    fewer = len(cell.series) - len({one.key for one in shown})
    return f" {fewer} of {len(cell.series)} settings are left out: see every setting." if fewer else ""


def shown_panels(cell: CellResults) -> list[list[Series]]:
    """Return the blocks that get a panel each: the main protocol and others of its guidances."""
    return main_protocols(cell)[:MOST_PANELS]
