"""Curves: scores over guidance, steps, FLOPs, sampler steps and hyper-parameters; cost; loss terms over training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from ltbench.analysis.names import Measure
from ltbench.analysis.protocols import main_series
from ltbench.analysis.series import Series, grouped, labelled
from ltbench.report.figures.base import Figures, Scene, figure, styled
from ltbench.report.figures.marks import draw_series, floor_size, how_made, panel_of, seed_values
from ltbench.report.figures.model import Figure, Mark, Panel, Style
from ltbench.report.tables.cost import median, training_costs, training_flops
from ltbench.runs.provenance import processors, sampling_cost
from ltbench.runs.variants import current_default

_MOST_LINES = 14  # curves in a panel
_NOT_A_TERM = ("step", "learning_rate", "images_per_second")
_TITLES = {
    "step": "training steps",
    "flops": "training FLOPs",
    "guidance": "guidance ω",
    "nfe": "network evaluations an image",
}
# What changes with a factor: FLOPs with steps; guidance 0 needs no unconditional pass (and `passes` has NFE without it).
_FOLLOWS = {"flops": ("step",), "guidance": ("nfe",), "nfe": ("passes", "sample.steps")}
_LOGGED = 200  # points of a training curve


@figure("guidance", "guidance curve", "sample sets at several guidances")
def guidance_curve(scene: Scene) -> Figures:
    """Draw scores over the scale of guidance: deterministic and stochastic samplers in figures of their own."""
    return _curves(scene, "guidance")


@figure("budget", "score at equal steps and FLOPs", "sample sets at several steps (train.snapshots)")
def budget_curve(scene: Scene) -> Figures:
    """Draw scores over training steps and over FLOPs."""
    return _curves(scene, "step", "flops")


@figure("nfe", "sampler curve", "sample sets at several numbers of sampler steps")
def sampler_curve(scene: Scene) -> Figures:
    """Draw scores over network evaluations an image."""
    return _curves(scene, "nfe")


@figure("hyper", "temperature and other hyper-parameter curves", "trainings at several values")
def hyperparameter_curves(scene: Scene) -> Figures:
    """Draw scores over every numeric hyper-parameter that was varied."""
    return _curves(scene, *sorted({key for one in scene.cell.series for key in one.hyperparameters}))


@dataclass(frozen=True)
class Curve:
    """Series that differ in one factor alone, by rising x, with the name that tells the curve from the others."""

    x: list[float]
    series: list[Series]
    label: str = ""

    @property
    def kind(self) -> str:
        """The kind of sampler of all its points."""
        return self.series[0].kind

    @property
    def rule(self) -> str:
        """The rule of guidance of all its points."""
        return self.series[0].rule

    @property
    def seeds(self) -> tuple[int, ...]:
        """The training seeds that any of its points has."""
        return tuple(sorted({seed for one in self.series for seed in one.train_seeds}))


def _curves(scene: Scene, *factors: str) -> Figures:
    cell, measures = scene.cell, scene.cell.headline()
    sizes = [size for measure in measures if (size := floor_size(cell, measure, "overall"))]
    for factor in factors:
        # The papers' kind of sampler first; plain guidance first of its rules, which are compared downwards.
        lines = sorted(
            varied(scene, factor), key=lambda curve: (curve.kind != "stochastic", curve.rule != "")
        )
        kinds = grouped(lines, lambda curve: curve.kind)
        for sampler_kind, every in kinds.items():
            rules = [named(at_most(alike), factor) for alike in grouped(every, lambda c: c.rule).values()]
            curves = [curve for alike in rules for curve in alike]
            about = f" ({sampler_kind} samplers)" if factor == "guidance" or len(kinds) > 1 else ""
            title = f"Score against {_TITLES.get(factor, factor)}{about}"
            fewer = any(one.train_seeds != curve.seeds for curve in curves for one in curve.series)
            more = len(every) - len(curves)
            caption = (
                f"{title}, all else equal; mean and SD over seeds, a small point a seed; "
                f"{how_made(cell, [_without(curve, factor) for curve in curves])}{' Some points have fewer seeds.' * fewer}"
                + (f" Floor: {sizes[0]}." if sizes else "")
                + (f" {more} shorter curves are left out: see every setting." if more > 0 else "")
            )
            titles = [alike[0].rule or "plain guidance" if len(rules) > 1 else "" for alike in rules]
            panels = [
                _curve_panel(scene, measure, factor, alike, rule)
                for alike, rule in zip(rules, titles, strict=True)
                for measure in measures
            ]
            name = f"{factor}-{sampler_kind}" if len(kinds) > 1 else factor
            yield scene.figure(name, title, caption, panels, len(measures) if len(rules) > 1 else 0)


def _without(curve: Curve, factor: str) -> Series:
    """Return a curve as one series, without what the x axis tells."""
    nan = float("nan")
    blank: dict[str, Any] = {
        n: nan for n in (factor, *_FOLLOWS.get(factor, ())) if n in ("step", "guidance", "nfe")
    }
    return replace(curve.series[0], label=curve.label, train_seeds=curve.seeds, **blank)


def varied(scene: Scene, factor: str) -> list[Curve]:
    """Return the curves over a factor: of series that are alike in all else, the guidance's rule included."""
    follow = {
        factor,
        *_FOLLOWS.get(factor, ()),
        *(("variant",) if "." in factor else ()),
    }  # a changed one is "custom"
    columns = ("method", "variant", "step", "sampler", "nfe", "guidance", "origin", "passes")
    fixed = [name for name in columns if name not in follow]

    def rest(one: Series) -> tuple[object, ...]:
        settings = sorted((k, str(v)) for k, v in one.flat.items() if k not in follow)
        return *(str(getattr(one, name)) for name in fixed), *settings

    known = {one.key: x for one in scene.cell.series if (x := _x(scene, one, factor)) == x}
    lines = grouped((one for one in scene.cell.series if one.key in known), rest).values()
    rising = [sorted(line, key=lambda one: known[one.key]) for line in lines]
    curves = [Curve([known[one.key] for one in line], line) for line in rising]
    return [curve for curve in curves if len(set(curve.x)) > 1]


def _x(scene: Scene, one: Series, factor: str) -> float:
    """Return a series' value of a factor, a hyper-parameter's default where it is not set; nan where it has none."""
    if factor == "flops":
        return training_flops(one, scene.runs)
    part, dot, name = factor.partition(".")
    value: Any = one.flat.get(factor) if dot else getattr(one, factor)
    if dot and factor not in one.flat and part in one.method.split("+"):
        value = current_default(part, name)
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


def at_most(curves: Sequence[Curve]) -> list[Curve]:
    """Keep what a figure can hold: of many curves each method's longest, then the one of most trainings."""
    if len(curves) <= _MOST_LINES:
        return list(curves)

    def size(curve: Curve) -> tuple[int, int]:
        return len(curve.series), sum(len(one.train_seeds) for one in curve.series)

    methods = grouped(curves, lambda curve: curve.series[0].method)
    best = {method: max(rows, key=size) for method, rows in methods.items()}  # the first of equals
    return [curve for curve in curves if best[curve.series[0].method] is curve]


def named(curves: Sequence[Curve], factor: str) -> list[Curve]:
    """Name each curve by what tells it from the others; the factor and what follows it do not."""
    without = {factor, *_FOLLOWS.get(factor, ()), *(("variant",) if "." in factor else ())}
    names = labelled([curve.series[0] for curve in curves], without)
    return [replace(curve, label=one.label) for curve, one in zip(curves, names, strict=True)]


def _curve_panel(
    scene: Scene, measure: Measure, factor: str, curves: Sequence[Curve], title: str = ""
) -> Panel | None:
    def mark(curve: Curve, method: str, style: Style) -> Mark | None:
        values = [seed_values(scene.cell, measure, one.key) for one in curve.series]
        hollow = style != scene.styles[method]
        return draw_series(
            curve.label, zip(curve.x, values, strict=True), style, line=True, hollow=hollow, method=method
        )

    firsts = styled(scene, [curve.series[0] for curve in curves])
    marks = [mark(curve, first.method, style) for curve, (first, style) in zip(curves, firsts, strict=True)]
    floor, logs = scene.cell.floor("overall", measure)[0], "xy" if measure.metric == "frechet" else "x"
    strokes = [(float("nan"), floor)] if floor == floor else ()
    return panel_of(marks, title, _TITLES.get(factor, factor), measure.title, logs=logs, floor=strokes)


# -- cost -----------------------------------------------------------------------------------------------------


@figure("cost", "cost against quality", "provenance with times or FLOPs")
def cost_quality(scene: Scene) -> Figure | None:
    """Draw Frechet distance against training FLOPs and time, and sampling time for 1,000 images."""
    cell, main = scene.cell, main_series(scene.cell)
    measure = cell.frechet("overall")
    if measure is None:
        return None
    kinds: tuple[tuple[str, str, Callable[[Series], float]], ...] = (
        ("training FLOPs", "step", lambda one: median(training_costs(one, scene.runs)[1])),
        ("training, minutes", "step", lambda one: median(training_costs(one, scene.runs)[0]) / 60),
        ("sampling, s per 1,000 images", "nfe", lambda one: median(sampling_cost(cell.folders(one.key)))),
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
    columns = ("method", "variant", "settings", "step", "sampler", "nfe", "guidance", "origin")

    def rest(one: Series) -> list[str]:
        return [str(getattr(one, name)) for name in columns if name != factor]

    def mark(one: Series, style: Style) -> Mark | None:
        same = [(cost(s), s.key) for s in scene.cell.series if rest(s) == rest(one)]
        costs = sorted(((c, key) for c, key in same if c == c), key=lambda pair: pair[0])
        at = ((c, seed_values(scene.cell, measure, key)) for c, key in costs)
        return draw_series(one.label, at, style, line=len(costs) > 1, method=one.method, guidance=one.scale)

    marks = [mark(one, style) for one, style in styled(scene, main_series(scene.cell))]
    return panel_of(marks, "", title, measure.title, logs="xy")


# -- training -------------------------------------------------------------------------------------------------


@figure("training", "training curves", "training logs of the main series' runs")
def training_curves(scene: Scene) -> Figure | None:
    """Draw every loss term of the training log: the mean over seeds, smoothed over 2 % of the steps."""
    series = main_series(scene.cell)
    logs = {
        one.key: [log for name in one.runs if (log := scene.runs[name].train_log()) is not None]
        for one in series
    }
    numbers = [frame.select_dtypes("number") for frames in logs.values() for frame in frames]
    columns = {str(column) for frame in numbers for column in frame}
    terms = sorted(columns - set(_NOT_A_TERM), key=lambda t: (t not in ("loss", "denoising"), t != "loss", t))
    panels = []
    for term in terms:
        marks = [
            draw_series(one.label, _logged(logs[one.key], term), style, line=True, method=one.method)
            for one, style in styled(scene, series)
        ]
        panels.append(panel_of(marks, term, "step", logs="y"))
    made = how_made(scene.cell, series)
    caption = f"What training logged, mean over training seeds, smoothed over 2 % of the steps; {made}"
    return scene.figure("training", "Training curves", caption, panels)


def _logged(logs: Sequence[pd.DataFrame], term: str) -> Iterator[tuple[float, np.ndarray]]:
    """Yield step and value (1,) of a logged term, smoothed, the mean over trainings, at most some hundred points."""
    terms = [log.set_index("step")[term].dropna() for log in logs if term in log.select_dtypes("number")]
    smooth = [f.rolling(max(1, len(f) // 50), min_periods=1).mean() for f in terms if len(f)]
    if smooth:
        mean = pd.concat(smooth, axis=1).mean(axis=1)
        thinned = mean.iloc[:: max(1, len(mean) // _LOGGED)]
        yield from zip(thinned.index.astype(float), thinned.to_numpy(float)[:, None], strict=True)
