"""Curves: scores over guidance, steps, FLOPs, sampler steps and hyper-parameters; cost; loss terms over training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from ltbench.report.cells import main_series
from ltbench.report.figures.base import (
    Figure,
    Panel,
    Scene,
    draw_series,
    figure,
    how_made,
    seed_values,
    spans_decades,
    styled,
)
from ltbench.report.names import Measure
from ltbench.report.series import Series, grouped, labelled
from ltbench.runs.provenance import processors, sampling_cost, training_cost
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
def guidance_curve(scene: Scene) -> list[Figure]:
    """Draw scores over the scale of guidance: deterministic and stochastic samplers in figures of their own."""
    return _curves(scene, ["guidance"])


@figure("budget", "score at equal steps and FLOPs", "sample sets at several steps (train.snapshots)")
def budget_curve(scene: Scene) -> list[Figure]:
    """Draw scores over training steps and over FLOPs."""
    return _curves(scene, ["step", "flops"])


@figure("nfe", "sampler curve", "sample sets at several numbers of sampler steps")
def sampler_curve(scene: Scene) -> list[Figure]:
    """Draw scores over network evaluations an image."""
    return _curves(scene, ["nfe"])


@figure("hyper", "temperature and other hyper-parameter curves", "trainings at several values")
def hyperparameter_curves(scene: Scene) -> list[Figure]:
    """Draw scores over every numeric hyper-parameter that was varied."""
    return _curves(scene, sorted({key for one in scene.cell.series for key in one.hyperparameters}))


@dataclass(frozen=True)
class Curve:
    """Series that differ in one factor alone, by rising x, with the name that tells the curve from the others."""

    x: list[float]
    series: list[Series]
    label: str = ""

    @property
    def seeds(self) -> tuple[int, ...]:
        """The training seeds that any of its points has."""
        return tuple(sorted({seed for one in self.series for seed in one.train_seeds}))


def _curves(scene: Scene, factors: Sequence[str]) -> list[Figure]:
    cell, measures = scene.cell, scene.cell.headline()
    out = []
    for factor in factors if measures else ():
        kinds = grouped_by_kind(varied(scene, factor))
        for sampler_kind, every in kinds.items():
            curves = named(at_most(every), factor)
            panels = [p for m in measures if (p := _curve_panel(scene, m, factor, curves)) is not None]
            if not panels:
                continue
            title = _TITLES.get(factor, factor)
            about = f" ({sampler_kind} samplers)" if factor == "guidance" or len(kinds) > 1 else ""
            fewer = any(one.train_seeds != curve.seeds for curve in curves for one in curve.series)
            more = len(every) - len(curves)
            caption = (
                f"Score against {title}{about}, all else equal; mean and SD over seeds, a small point a seed; "
                f"{how_made(cell, [_without(curve, factor) for curve in curves])}{' Some points have fewer seeds.' * fewer}"
                + (f" {more} shorter curves are left out: see every setting." if more > 0 else "")
            )
            name = f"{cell.slug}-{factor}" + (f"-{sampler_kind}" if len(kinds) > 1 else "")
            out.append(
                Figure(name, f"Score against {title}{about}, {cell.label}", caption, panels, len(panels))
            )
    return out


def _without(curve: Curve, factor: str) -> Series:
    """Return a curve as one series, without what the x axis tells."""
    nan = float("nan")
    blank: dict[str, Any] = {
        n: nan for n in (factor, *_FOLLOWS.get(factor, ())) if n in ("step", "guidance", "nfe")
    }
    return replace(curve.series[0], label=curve.label, train_seeds=curve.seeds, **blank)


def grouped_by_kind(curves: Sequence[Curve]) -> dict[str, list[Curve]]:
    """Return curves by the kind of their sampler, the papers' kind first."""
    out: dict[str, list[Curve]] = {}
    for curve in sorted(curves, key=lambda one: one.series[0].kind != "stochastic"):
        out.setdefault(curve.series[0].kind, []).append(curve)
    return out


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
    out = []
    for line in lines:
        if len({known[one.key] for one in line}) > 1:
            rising = sorted(line, key=lambda one: known[one.key])
            out.append(Curve([known[one.key] for one in rising], rising))
    return out


def _x(scene: Scene, one: Series, factor: str) -> float:
    """Return a series' value of a factor, a hyper-parameter's default where it is not set; nan where it has none."""
    value: Any
    if factor == "flops":
        counted = (training_cost(scene.runs[name].provenance, one.step)[1] for name in one.runs)
        value = next((flops for flops in counted if np.isfinite(flops)), None)
    elif "." in factor:
        part, _, name = factor.partition(".")
        value = one.flat.get(factor)
        if factor not in one.flat and part in one.method.split("+"):
            value = current_default(part, name)
    else:
        value = getattr(one, factor)
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

    best: dict[str, Curve] = {}
    for curve in curves:
        method = curve.series[0].method
        if method not in best or size(curve) > size(best[method]):
            best[method] = curve
    return [curve for curve in curves if best[curve.series[0].method] is curve]


def named(curves: Sequence[Curve], factor: str) -> list[Curve]:
    """Name each curve by what tells it from the others; the factor and what follows it do not."""
    without = {factor, *_FOLLOWS.get(factor, ()), *(("variant",) if "." in factor else ())}
    names = labelled([curve.series[0] for curve in curves], without)
    return [replace(curve, label=one.label) for curve, one in zip(curves, names, strict=True)]


def _curve_panel(scene: Scene, measure: Measure, factor: str, curves: Sequence[Curve]) -> Panel | None:
    marks = []
    for curve, (first, style) in zip(curves, styled(scene, [c.series[0] for c in curves]), strict=True):
        at = (
            (x, seed_values(scene.cell, measure, one.key))
            for x, one in zip(curve.x, curve.series, strict=True)
        )
        hollow = style != scene.styles[first.method]
        mark = draw_series(curve.label, at, style, line=True, hollow=hollow, method=first.method)
        marks += [mark] if mark is not None else []
    if not marks:
        return None
    floor = scene.cell.floor("overall", measure)[0]
    return Panel(
        "",
        _TITLES.get(factor, factor),
        measure.title,
        marks,
        spans_decades(v for m in marks for v in m.x),
        measure.metric == "frechet" and spans_decades(v for m in marks for v in m.y),
        floor=[(float("nan"), floor)] if floor == floor else (),
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
        ("training FLOPs", "step", lambda one: _training(scene, one)[1]),
        ("training, minutes", "step", lambda one: _training(scene, one)[0] / 60),
        ("sampling, s per 1,000 images", "nfe", lambda one: _median(sampling_cost(cell.folders(one.key)))),
    )
    panels = [p for title, factor, cost in kinds if (p := _cost_panel(scene, measure, factor, cost, title))]
    if not panels:
        return None
    machines = ", ".join(processors(scene.runs[str(n)].provenance for n in cell.points["run"].unique()))
    caption = (
        "Joined: the same training at several steps, or the same network at several numbers of sampler steps, all else "
        "equal. Medians over runs; time: CPU time where a CPU did the work "
        f"({machines}), else wall-clock. Main protocol: {how_made(cell, main, measure, 'overall')}"
    )
    return Figure(f"{cell.slug}-cost", f"Cost against quality, {cell.label}", caption, panels, len(panels))


def _cost_panel(
    scene: Scene, measure: Measure, factor: str, cost: Callable[[Series], float], title: str
) -> Panel | None:
    fixed = [
        n
        for n in ("method", "variant", "settings", "step", "sampler", "nfe", "guidance", "origin")
        if n != factor
    ]
    marks = []
    for one, style in styled(scene, main_series(scene.cell)):
        same = [
            s for s in scene.cell.series if all(str(getattr(s, n)) == str(getattr(one, n)) for n in fixed)
        ]
        costs = sorted(((c, s.key) for s in same if np.isfinite(c := cost(s))), key=lambda pair: pair[0])
        at = ((c, seed_values(scene.cell, measure, key)) for c, key in costs)
        mark = draw_series(one.label, at, style, line=len(costs) > 1, method=one.method, guidance=one.scale)
        marks += [mark] if mark is not None else []
    if not marks:
        return None
    x, y = ([v for m in marks for v in getattr(m, name)] for name in ("x", "y"))
    return Panel("", title, measure.title, marks, spans_decades(x), spans_decades(y))


def _training(scene: Scene, one: Series) -> tuple[float, float]:
    spent = [training_cost(scene.runs[name].provenance, one.step) for name in one.runs]
    return _median([s for s, _ in spent]), _median([f for _, f in spent])


def _median(values: Sequence[float]) -> float:
    found = [v for v in values if np.isfinite(v)]
    return float(np.median(found)) if found else float("nan")


# -- training -------------------------------------------------------------------------------------------------


@figure("training", "training curves", "training logs of the main series' runs")
def training_curves(scene: Scene) -> Figure | None:
    """Draw every loss term of the training log: the mean over seeds, smoothed over 2 % of the steps."""
    series = main_series(scene.cell)
    logs = {
        one.key: [log for name in one.runs if (log := scene.runs[name].train_log()) is not None]
        for one in series
    }
    columns = {str(column) for frames in logs.values() for frame in frames for column in frame}
    terms = sorted(columns - set(_NOT_A_TERM), key=lambda t: (t not in ("loss", "denoising"), t != "loss", t))
    panels = []
    for term in terms:
        marks = []
        for one, style in styled(scene, series):
            at = ((x, np.array([y])) for x, y in _logged(logs[one.key], term))
            mark = draw_series(one.label, at, style, line=True, method=one.method)
            marks += [mark] if mark is not None else []
        values = [v for m in marks for v in m.y]
        if marks:
            panels.append(Panel(term, "step", "", marks, y_log=min(values) > 0 and spans_decades(values)))
    if not panels:
        return None
    made = how_made(scene.cell, series)
    caption = f"What training logged, mean over training seeds, smoothed over 2 % of the steps; {made}"
    return Figure(f"{scene.cell.slug}-training", f"Training curves, {scene.cell.label}", caption, panels)


def _logged(logs: Sequence[pd.DataFrame], term: str) -> Iterator[tuple[float, float]]:
    """Yield step and value of a logged term, smoothed, the mean over trainings, at most some hundred points."""
    terms = [log.set_index("step")[term].dropna() for log in logs if term in log]
    smooth = [f.rolling(max(1, len(f) // 50), min_periods=1).mean() for f in terms if len(f)]
    if smooth:
        mean = pd.concat(smooth, axis=1).mean(axis=1)
        thinned = mean.iloc[:: max(1, len(mean) // _LOGGED)]
        yield from zip(thinned.index.astype(float), thinned.astype(float), strict=True)
