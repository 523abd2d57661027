"""The forest plot: each method's paired difference with the baseline, overall and in the tail."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ltbench.analysis.cell_results import CellResults
from ltbench.analysis.differences import PLACES, Difference, of_measure, seed_differences
from ltbench.analysis.names import group_title, method_title
from ltbench.analysis.protocols import block_title, long_tails, main_protocols
from ltbench.analysis.series import Series, joined
from ltbench.report.figures.base import Scene, figure, styled
from ltbench.report.figures.marks import how_made
from ltbench.report.figures.model import Figure, Mark, Panel, Style

_MOST_ROWS = 6  # rows of the first forest plot
_OFF_SCALE = 10.0  # baselines: a larger difference is that of a training that diverged


@figure("forest", "forest plot of paired differences", "two methods with a training seed in common")
def forest(scene: Scene) -> Figure | None:
    """Draw each method's paired difference with the baseline, overall and in the tail, a row of panels a guidance."""
    measure, blocks = scene.cell.frechet("overall"), main_protocols(scene.cell)
    panels = [panel for block in blocks for panel in forest_panels(scene, block)]
    if measure is None:
        return None
    title, caption = _forest_words(scene.baseline)
    made = how_made(scene.cell, joined(blocks), measure, "overall", "")
    return scene.figure("forest", title, f"{caption} {made}", panels, 2)


def _forest_words(baseline: str) -> tuple[str, str]:
    """Return a forest plot's title, and what its marks are."""
    name = method_title(baseline)
    caption = (
        f"Frechet distance minus {name}'s, seed by seed; left of 0 is better. Mean, 95 % t interval (of one "
        "comparison alone; one seed has none) and every seed's difference."
    )
    return f"Paired differences with {name}", caption


def forest_panels(scene: Scene, block: Sequence[Series], prefix: str = "") -> list[Panel]:
    """Return a block's panels: overall and, in a long tail, the tail."""
    cell, measure = scene.cell, scene.cell.frechet("overall")
    if measure is None or scene.differences.empty:
        return []
    rows = of_measure(scene.differences, measure, block, PLACES)
    compared = {row.series for row in rows}
    members = [one for one in block if one.key in compared]
    if not members:
        return []
    panels = []
    for place in PLACES if "tail" in cell.groups() else PLACES[:1]:
        here = {row.series: row for row in reversed(rows) if row.place == place}
        typical = float(np.median([abs(row.mean) for row in here.values()])) if here else 0.0
        hidden = {key for key, row in here.items() if off_scale(*_furthest(cell, row), typical)}
        marks = [
            _difference(cell, here[one.key], one, rank, style)
            for rank, (one, style) in enumerate(styled(scene, members))
            if one.key in here and one.key not in hidden
        ]
        far = {key: f": {here[key].mean:+.3g}, off the axis" for key in hidden}
        panels.append(
            Panel(
                f"{prefix}{block_title(block)}: {group_title(place)}",
                f"{measure.plain} difference",
                marks=marks,
                categories=[one.label + far.get(one.key, "") for one in members],
                row_methods=[one.method for one in members],
                sideways=True,
                zero=True,
                guidance=block[0].scale,
            )
        )
    return panels


def off_scale(difference: float, baseline: float, typical: float = math.inf) -> bool:
    """Tell whether a difference is that of a training that diverged: an axis that held it would hide all others.

    It is over ten times the baseline's score; or over three times, and five times what is `typical` of the others.
    """
    far = difference > _OFF_SCALE * baseline or difference > max(3 * baseline, 5 * typical)
    return far and baseline > 0


def _furthest(cell: CellResults, row: Difference) -> tuple[float, float]:
    """Return the largest difference of a seed, and the baseline's score: one diverged training stretches an axis."""
    scores = cell.by_seed(row.scope, row.measure, row.place)[row.baseline]
    return float(seed_differences(cell, row).max()), float(scores.mean())


def _difference(cell: CellResults, row: Difference, one: Series, at: int, style: Style) -> Mark:
    low, high = ([row.low], [row.high]) if row.low == row.low else ((), ())
    points = [(float(v), float(at)) for v in seed_differences(cell, row)] if row.n > 1 else ()
    text, method, scale = [row.text], one.method, one.scale
    return Mark(
        one.label, [row.mean], [at], style, low, high, points, text=text, method=method, guidance=scale
    )


def overall_forest(scenes: Sequence[Scene]) -> Figure | None:
    """Draw the report's first figure: the forest plots of the leading data cells under one another."""
    leading = long_tails([s.cell for s in scenes])
    chosen = [(s, main_protocols(s.cell)) for s in scenes if s.cell in leading]
    panels: list[Panel] = []
    more = 0
    for rank in range(max((len(blocks) for _, blocks in chosen), default=0)):
        for scene, blocks in chosen:
            prefix = f"{scene.cell.label.replace(', ratio', '')}, "
            new = [p for block in blocks[rank : rank + 1] for p in forest_panels(scene, block, prefix)]
            if len(panels) + len(new) > 2 * _MOST_ROWS:
                more += 1
            else:
                panels += new if len(new) != 1 else [*new, Panel()]
    if not panels:
        return None
    title, caption = _forest_words(scenes[0].baseline)
    caption += " Left: all images, right: mean of the tail's classes."
    caption += f" {more} more guidances are in the data cells' own figures." if more else ""
    return Figure("forest", f"Who is ahead: {title[0].lower()}{title[1:]}", caption, panels, 2)
