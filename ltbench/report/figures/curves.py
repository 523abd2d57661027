"""Curves: scores over guidance, steps, FLOPs, sampler steps and hyper-parameters; cost; loss terms over training."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from ltbench.diffusion.registry import kind
from ltbench.errors import UsageError
from ltbench.report.cells import CellResults, main_protocols, main_series
from ltbench.report.figures.base import (
    Figure,
    Mark,
    Panel,
    Scene,
    faded,
    figure,
    how_made,
    seed_mark,
    spans_decades,
)
from ltbench.report.names import describe_series, forward_passes, is_hyperparameter, metric_title
from ltbench.runs.provenance import processors, sampling_cost, training_cost

_MOST_LINES = 8  # curves in a panel
_NOT_A_TERM = ("step", "learning_rate", "images_per_second")
_TITLES = {
    "step": "training steps",
    "flops": "training FLOPs",
    "guidance": "guidance ω",
    "nfe": "network evaluations an image",
}
# What changes with a factor: FLOPs with steps; guidance 0 needs no unconditional pass (and `passes` has NFE without it).
_FOLLOWS = {"flops": ["step"], "guidance": ["nfe"], "nfe": ["passes"]}
_LOGGED = 200  # points of a training curve


@figure("guidance", "guidance curve", "sample sets at several guidances")
def guidance_curve(scene: Scene) -> list[Figure] | None:
    """Draw scores over the scale of guidance: deterministic and stochastic samplers in figures of their own."""
    return _curves(scene, ["guidance"])


@figure("budget", "score at equal steps and FLOPs", "sample sets at several steps (train.snapshots)")
def budget_curve(scene: Scene) -> list[Figure] | None:
    """Draw scores over training steps and over FLOPs."""
    return _curves(scene, ["step", "flops"])


@figure("nfe", "sampler curve", "sample sets at several numbers of sampler steps")
def sampler_curve(scene: Scene) -> list[Figure] | None:
    """Draw scores over network evaluations an image."""
    return _curves(scene, ["nfe"])


@figure("hyper", "temperature and other hyper-parameter curves", "trainings at several values")
def hyperparameter_curves(scene: Scene) -> list[Figure] | None:
    """Draw scores over every numeric hyper-parameter that was varied."""
    return _curves(scene, None)


def _curves(scene: Scene, factors: list[str] | None) -> list[Figure] | None:
    measures = scene.cell.headline()
    out = []
    for factor, every in varied(_with_flops(scene), factors) if len(measures) else []:
        for sampler_kind, lines in every.groupby(every["sampler"].map(kind), sort=False):
            shown = _at_most(lines.drop(columns=["label", "differs"]))
            panels = [
                p for _, m in measures.iterrows() if (p := _curve_panel(scene, m, factor, shown)) is not None
            ]
            if not panels:
                continue
            several = len(set(every["sampler"].map(kind))) > 1
            told = _TITLES.get(factor, factor)
            about = f" ({sampler_kind} samplers)" if factor == "guidance" or several else ""
            fewer = every["line"].nunique() - shown["line"].nunique()
            caption = (
                f"Score against {told}{about}, all else equal; mean and SD over seeds, a small point a seed; "
                f"{how_made(scene.cell, _lines(_with_all_seeds(shown), factor))}{_fewer(shown)}"
                + (f" {fewer} shorter curves are left out: see every setting." if fewer > 0 else "")
            )
            name = f"{scene.cell.slug}-{factor}" + (f"-{sampler_kind}" if several else "")
            out.append(
                Figure(name, f"Score against {told}{about}, {scene.cell.label}", caption, panels, len(panels))
            )
    return out or None


def _with_flops(scene: Scene) -> pd.DataFrame:
    series = scene.cell.series
    flops = []
    for _, one in series.iterrows():
        counted = (training_cost(scene.runs[name].provenance, one["step"])[1] for name in one["runs"])
        flops.append(next((f for f in counted if np.isfinite(f)), float("nan")))
    return series.assign(flops=flops)


def _at_most(lines: pd.DataFrame) -> pd.DataFrame:
    """Keep what a figure can hold: of many curves each method's longest, then the one of most trainings."""
    if lines["line"].nunique() <= _MOST_LINES:
        return lines
    size = pd.DataFrame(
        {"method": lines["method"], "line": lines["line"], "seeds": lines["train_seeds"].map(len)}
    )
    size = size.groupby(["method", "line"], as_index=False).agg(
        points=("seeds", "size"), seeds=("seeds", "sum")
    )
    kept = size.sort_values(["points", "seeds"], ascending=False, kind="stable").drop_duplicates("method")
    return lines[lines["line"].isin(kept["line"])]


def _with_all_seeds(lines: pd.DataFrame) -> pd.DataFrame:
    """Give every point of a curve the seeds that any of its points has."""
    seeds = {line: tuple(sorted(set().union(*own))) for line, own in lines.groupby("line")["train_seeds"]}
    return lines.assign(train_seeds=lines["line"].map(lambda line: seeds[line]))


def _fewer(lines: pd.DataFrame) -> str:
    """Say where not every point of a curve has all its seeds."""
    whole = _with_all_seeds(lines)["train_seeds"]
    return " Some points have fewer seeds." if (whole != lines["train_seeds"]).any() else ""


def varied(series: pd.DataFrame, factors: list[str] | None) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield each factor with the series of its curves: ``x`` and ``line`` (key of all else) added.

    Parameters
    ----------
    series
        One row a series, its settings as columns.
    factors
        Columns to look at; None: the methods' numeric hyper-parameters.
    """
    settings = pd.DataFrame([json.loads(text) for text in series["settings"]], index=series.index)
    columns = ["method", "variant", "step", "sampler", "nfe", "guidance", "origin"]
    fixed = pd.concat([series[columns], forward_passes(series).rename("passes"), settings], axis=1).map(str)
    hyper = [str(c) for c in settings if is_hyperparameter(str(c))]
    for factor in hyper if factors is None else factors:
        values = (
            series[factor] if factor in series else [_resolved(row, factor) for _, row in series.iterrows()]
        )
        x = pd.to_numeric(pd.Series(values, index=series.index), errors="coerce")
        follow = ["variant"] if factors is None else _FOLLOWS.get(factor, [])  # a changed variant is "custom"
        rest = fixed.drop(columns=[c for c in [factor, *follow] if c in fixed])
        keys = ["|".join(row) for row in rest.itertuples(index=False)]
        lines = series.assign(x=x, line=keys).dropna(subset=["x"])
        lines = lines[lines.groupby("line")["x"].transform("nunique") > 1]
        if len(lines):
            yield factor, lines


def _resolved(series: pd.Series, factor: str) -> Any:
    """Return a hyper-parameter's value, the method's default where the spec does not set it."""
    settings = json.loads(series["settings"])
    part, _, name = factor.partition(".")
    if factor in settings or part not in series["method"].split("+"):
        return settings.get(factor)
    from ltbench.method.registry import (
        create_method,  # imports torch: only where a hyper-parameter was varied
    )

    try:
        return getattr(create_method(part).hp, name, None)
    except UsageError:  # a method of a package that is not installed here
        return None


def _curve_panel(scene: Scene, measure: pd.Series, factor: str, lines: pd.DataFrame) -> Panel | None:
    names = _lines(lines, factor)
    label = dict(zip(names["line"], names["label"], strict=True))
    marks: list[Mark] = []
    drawn: dict[str, int] = {}
    for line, rows in lines.groupby("line", sort=False):
        rows = rows.sort_values("x")
        method = str(rows["method"].iloc[0])
        again = drawn.get(method, -1) + 1
        style = faded(scene.styles[method], again)
        mark = seed_mark(
            scene.cell, "overall", measure, rows, list(rows["x"]), style, label=label[str(line)], line=True, hollow=again > 0
        )  # fmt: skip
        if mark is not None:
            drawn[method] = again
            marks.append(mark)
    if not marks:
        return None
    floor = scene.cell.floor("overall", measure)[0]
    values = [v for m in marks for v in m.y]
    return Panel(
        "",
        _TITLES.get(factor, factor),
        metric_title(measure["metric"], measure["extractor"]),
        marks,
        spans_decades([v for m in marks for v in m.x]),
        measure["metric"] == "frechet" and spans_decades(values),
        floor=[(float("nan"), floor)] if floor == floor else (),
    )


def _lines(lines: pd.DataFrame, factor: str) -> pd.DataFrame:
    """Name each curve by what tells it from the others; the factor and what follows it do not."""
    names = [name for name in (factor, *_FOLLOWS.get(factor, [])) if name in ("step", "guidance", "nfe")]
    if "." in factor:
        names.append("variant")
    settings = [
        json.dumps({k: v for k, v in json.loads(text).items() if k != factor}, sort_keys=True)
        for text in lines["settings"]
    ]
    blank = {name: "" if name == "variant" else float("nan") for name in names}
    return describe_series(lines.assign(settings=settings, **blank).drop_duplicates("line"))


# -- cost -----------------------------------------------------------------------------------------------------


@figure("cost", "cost against quality", "provenance with times or FLOPs")
def cost_quality(scene: Scene) -> Figure | None:
    """Draw Frechet distance against training FLOPs and time, and sampling time for 1,000 images."""
    cell, main = scene.cell, main_series(scene.cell)
    measure = cell.frechet("overall")
    if measure is None:
        return None
    one_protocol = _alike(cell.series, main, ["sampler", "nfe", "guidance"])
    sampled = _alike(cell.series, pd.concat(main_protocols(cell)), ["step", "guidance", "sampler"])
    panels = []
    kinds: tuple[tuple[str, pd.DataFrame, Callable[[pd.Series], float]], ...] = (
        ("training FLOPs", one_protocol, lambda s: _training(scene, s)[1]),
        ("training, minutes", one_protocol, lambda s: _training(scene, s)[0] / 60),
        (
            "sampling, s per 1,000 images",
            sampled,
            lambda s: _median(sampling_cost(cell.folders(s["series"]))),
        ),
    )
    for title, rows, cost in kinds:
        costs = [cost(one) for _, one in rows.iterrows()]
        if np.isfinite(costs).any():
            panels.append(_cost_panel(scene, measure, rows, costs, title))
    if not panels:
        return None
    machines = ", ".join(processors(scene.runs[str(n)].provenance for n in cell.points["run"].unique()))
    caption = (
        "Training: all steps at one sampling protocol; sampling: the guidances of the tables. Medians over runs; time: "
        f"CPU time where a CPU did the work ({machines}), else wall-clock. Main protocol: "
        f"{how_made(cell, main, measure, 'overall')}"
    )
    return Figure(f"{cell.slug}-cost", f"Cost against quality, {cell.label}", caption, panels, len(panels))


def _alike(series: pd.DataFrame, main: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Choose the series that share these settings with any main series."""
    wanted = set(map(tuple, main[columns].map(str).to_numpy().tolist()))
    return series[[tuple(row) in wanted for row in series[columns].map(str).to_numpy().tolist()]]


def _cost_panel(
    scene: Scene, measure: pd.Series, rows: pd.DataFrame, costs: list[float], title: str
) -> Panel:
    marks = []
    rows = rows.assign(cost=costs)
    rows = rows[np.isfinite(rows["cost"])]
    rows = describe_series(rows.drop(columns=["label", "differs"])) if len(rows) else rows
    again: dict[str, int] = {}
    for _, one in rows.iterrows():
        again[one["method"]] = again.get(one["method"], -1) + 1
        style = faded(scene.styles[one["method"]], again[one["method"]])
        mark = seed_mark(
            scene.cell, "overall", measure, one.to_frame().T, [one["cost"]], style, label=one["label"]
        )
        marks += [mark] if mark is not None else []
    values = [v for m in marks for v in m.x]
    y = [v for m in marks for v in m.y]
    return Panel(
        "",
        title,
        metric_title(measure["metric"], measure["extractor"]),
        marks,
        spans_decades(values),
        spans_decades(y),
    )


def _training(scene: Scene, series: pd.Series) -> tuple[float, float]:
    spent = [training_cost(scene.runs[name].provenance, series["step"]) for name in series["runs"]]
    return _median([s for s, _ in spent]), _median([f for _, f in spent])


def _median(values: list[float]) -> float:
    found = [v for v in values if np.isfinite(v)]
    return float(np.median(found)) if found else float("nan")


# -- training -------------------------------------------------------------------------------------------------


@figure("training", "training curves", "training logs of the main series' runs")
def training_curves(scene: Scene) -> Figure | None:
    """Draw every loss term of the training log: the mean over seeds, smoothed over 2 % of the steps."""
    series = main_series(scene.cell)
    logs = {
        one["series"]: [log for name in one["runs"] if (log := scene.runs[name].train_log()) is not None]
        for _, one in series.iterrows()
    }
    columns = {str(column) for frames in logs.values() for frame in frames for column in frame}
    terms = sorted(columns - set(_NOT_A_TERM), key=lambda t: (t not in ("loss", "denoising"), t != "loss", t))
    panels = []
    for term in terms:
        marks = []
        for _, one in series.iterrows():
            frames = [f.set_index("step")[term].dropna() for f in logs[one["series"]] if term in f]
            smooth = [f.rolling(max(1, len(f) // 50), min_periods=1).mean() for f in frames if len(f)]
            if smooth:
                mean = pd.concat(smooth, axis=1).mean(axis=1)
                mean = mean.iloc[:: max(1, len(mean) // _LOGGED)]
                x, y = mean.index.astype(float).tolist(), mean.astype(float).tolist()
                marks.append(
                    Mark(one["label"], x, y, scene.styles[one["method"]], line=True, method=one["method"])
                )
        values = [v for m in marks for v in m.y]
        if marks:
            panels.append(
                Panel(
                    term, "step", "", marks, y_log=bool(values) and min(values) > 0 and spans_decades(values)
                )
            )
    if not panels:
        return None
    made = how_made(scene.cell, series)
    caption = f"What training logged, mean over training seeds, smoothed over 2 % of the steps; {made}"
    return Figure(f"{scene.cell.slug}-training", f"Training curves, {scene.cell.label}", caption, panels)


__all__ = ["CellResults", "budget_curve", "cost_quality", "guidance_curve", "training_curves", "varied"]
