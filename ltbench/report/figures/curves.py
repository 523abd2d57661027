"""Curves: scores over guidance, steps, FLOPs, sampler steps and hyper-parameters; cost; loss terms over training."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence

from ltbench.analysis.curves import Curve, curves_that_fit, label_curves, varied
from ltbench.analysis.names import Measure
from ltbench.analysis.protocols import main_series
from ltbench.analysis.records import known_median, smoothed, training_costs, training_logs
from ltbench.analysis.series import Series, agree, grouped
from ltbench.report.figures.base import Figures, Scene, figure, styled
from ltbench.report.figures.marks import draw_series, floor_size, how_made, panel_of
from ltbench.report.figures.model import Figure, Mark, Panel, Style
from ltbench.runs.provenance import processors, sampling_cost

_NOT_A_TERM = {"step", "learning_rate", "images_per_second"}
_TITLES = {
    "step": "training steps",
    "flops": "training FLOPs",
    "guidance": "guidance ω",
    "nfe": "network evaluations an image",
}


def score_curves(scene: Scene, factors: Sequence[str]) -> Figures:
    """Draw scores over each factor, all else equal: a figure a kind of sampler, a row of panels a rule of guidance."""
    cell, measures = scene.cell, scene.cell.headline()
    sizes = [size for measure in measures if (size := floor_size(cell, measure, "overall"))]
    for factor in factors:
        # The papers' kind of sampler first; plain guidance first of its rules, which are compared downwards.
        lines = varied(cell.series, factor, scene.runs)
        lines.sort(key=lambda curve: (curve.kind != "stochastic", curve.rule != ""))
        kinds = grouped(lines, lambda curve: curve.kind)
        for kind, every in kinds.items():
            rules = [
                label_curves(curves_that_fit(alike), factor)
                for alike in grouped(every, lambda c: c.rule).values()
            ]
            curves = list(itertools.chain(*rules))
            about = f" ({kind} samplers)" if factor == "guidance" or len(kinds) > 1 else ""
            title = f"Score against {_TITLES.get(factor, factor)}{about}"
            fewer = any(one.train_seeds != curve.seeds for curve in curves for one in curve.series)
            more = len(every) - len(curves)
            caption = (
                f"{title}, all else equal; mean and SD over seeds, a small point a seed; "
                f"{how_made(cell, [curve.without(factor) for curve in curves])}{' Some points have fewer seeds.' * fewer}"
                + (f" Floor: {sizes[0]}." if sizes else "")
                + (f" {more} shorter curves are left out: see every setting." if more > 0 else "")
            )
            several = len(rules) > 1
            panels = [
                _curve_panel(scene, m, factor, alike, (alike[0].rule or "plain guidance") if several else "")
                for alike in rules
                for m in measures
            ]
            name = f"{factor}-{kind}" if len(kinds) > 1 else factor
            yield scene.figure(name, title, caption, panels, len(measures) if several else 0)


def _curve_panel(
    scene: Scene, measure: Measure, factor: str, curves: Sequence[Curve], title: str
) -> Panel | None:
    def mark(curve: Curve, first: Series, style: Style) -> Mark | None:
        values = (scene.cell.seed_values(measure, one.key) for one in curve.series)
        at, hollow = zip(curve.x, values, strict=True), style != scene.styles[first.method]
        return draw_series(curve.label, at, style, line=True, hollow=hollow, method=first.method)

    firsts = styled(scene, [curve.series[0] for curve in curves])
    marks = [mark(curve, *first) for curve, first in zip(curves, firsts, strict=True)]
    floor, logs = scene.cell.floor("overall", measure)[0], "xy" if measure.metric == "frechet" else "x"
    strokes = [(math.nan, floor)] if floor == floor else ()
    return panel_of(marks, title, _TITLES.get(factor, factor), measure.title, logs=logs, floor=strokes)


@figure("hyper", "temperature and other hyper-parameter curves", "trainings at several values")
def hyperparameter_curves(scene: Scene) -> Figures:
    """Draw scores over every numeric hyper-parameter that was varied."""
    return score_curves(scene, sorted({key for one in scene.cell.series for key in one.hyperparameters}))


figure("guidance", "guidance curve", "sample sets at several guidances")(
    functools.partial(score_curves, factors=["guidance"])
)
figure("nfe", "sampler curve", "sample sets at several numbers of sampler steps")(
    functools.partial(score_curves, factors=["nfe"])
)
figure("budget", "score at equal steps and FLOPs", "sample sets at several steps (train.snapshots)")(
    functools.partial(score_curves, factors=["step", "flops"])
)


# -- cost -----------------------------------------------------------------------------------------------------


@figure("cost", "cost against quality", "provenance with times or FLOPs")
def cost_quality(scene: Scene) -> Figure | None:
    """Draw Frechet distance against training FLOPs and time, and sampling time for 1,000 images."""
    cell, main = scene.cell, main_series(scene.cell)
    measure = cell.frechet("overall")
    if measure is None:
        return None
    kinds: tuple[tuple[str, str, Callable[[Series], float]], ...] = (
        ("training FLOPs", "step", lambda one: known_median(training_costs(one, scene.runs)[1])),
        ("training, minutes", "step", lambda one: known_median(training_costs(one, scene.runs)[0]) / 60),
        (
            "sampling, s per 1,000 images",
            "nfe",
            lambda one: known_median(sampling_cost(cell.folders(one.key))),
        ),
    )
    panels = [_cost_panel(scene, measure, *kind) for kind in kinds]
    machines = ", ".join(processors(scene.runs[str(n)].provenance for n in cell.points["run"].unique()))
    caption = (
        "Joined: the same training at several steps, or the same network at several numbers of sampler steps, all else "
        "equal. Medians over runs; time: CPU time where a CPU did the work "
        f"({machines}), else wall-clock. Main protocol: {how_made(cell, main, measure, 'overall')}"
    )
    return scene.figure("cost", "Cost against quality", caption, panels, 0)


def _cost_panel(
    scene: Scene, measure: Measure, title: str, factor: str, cost: Callable[[Series], float]
) -> Panel | None:
    columns = {"method", "variant", "settings", "step", "sampler", "nfe", "guidance", "origin"} - {factor}

    def mark(one: Series, style: Style) -> Mark | None:
        same = [s for s in scene.cell.series if agree(s, one, *columns)]
        costs = sorted((c, s.key) for s in same if (c := cost(s)) == c)
        at = ((c, scene.cell.seed_values(measure, key)) for c, key in costs)
        return draw_series(one.label, at, style, line=len(costs) > 1, method=one.method, guidance=one.scale)

    marks = [mark(one, style) for one, style in styled(scene, main_series(scene.cell))]
    return panel_of(marks, "", title, measure.title, logs="xy")


# -- training -------------------------------------------------------------------------------------------------


@figure("training", "training curves", "training logs of the main series' runs")
def training_curves(scene: Scene) -> Figure | None:
    """Draw every loss term of the training log: the mean over seeds, smoothed over 2 % of the steps."""
    series = main_series(scene.cell)
    kept = {one.key: training_logs(one, scene.runs) for one in series}
    columns = {str(column) for logs in kept.values() for log in logs for column in log}
    terms = sorted(columns - _NOT_A_TERM, key=lambda t: (t not in ("loss", "denoising"), t != "loss", t))
    panels = []
    for term in terms:
        marks = [
            draw_series(one.label, smoothed(kept[one.key], term), style, line=True, method=one.method)
            for one, style in styled(scene, series)
        ]
        panels.append(panel_of(marks, term, "step", logs="y"))
    made = how_made(scene.cell, series)
    caption = f"What training logged, mean over training seeds, smoothed over 2 % of the steps; {made}"
    return scene.figure("training", "Training curves", caption, panels)
