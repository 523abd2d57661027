"""Curves: loss terms over training; scores over steps and FLOPs, guidance, sampler steps, hyper-parameters."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ltbench.errors import UsageError
from ltbench.report.aggregate import Cell, main_series
from ltbench.report.figures.per_class import how_made
from ltbench.report.figures.style import (
    COLUMN,
    FLOOR_STYLE,
    PAGE,
    FigureFile,
    MethodStyle,
    dash,
    footer,
    plain_log,
    save,
    seed_points,
    shared_legend,
)
from ltbench.report.load import Run
from ltbench.report.naming import describe_series, forward_passes, is_hyperparameter, metric_title
from ltbench.runs.provenance import training_cost
from ltbench.report.statistics_tables import headline
from ltbench.report.tables import slug

_MOST_LINES = 8  # curves in a panel
_NOT_A_TERM = ("step", "learning_rate", "images_per_second")
_FACTOR_TITLES = {
    "step": "training steps",
    "flops": "training FLOPs",
    "guidance": "guidance ω",
    "nfe": "network evaluations an image",
}


# What changes with a factor: FLOPs with steps; guidance 0 needs no unconditional pass (and `passes` has NFE without it).
_FOLLOWS = {"flops": ["step"], "guidance": ["nfe"], "nfe": ["passes"]}


def training_curves(
    cell: Cell, runs: dict[str, Run], styles: dict[str, MethodStyle], folder: Path
) -> list[FigureFile]:
    """Draw every loss term of ``train.csv``: thin lines a seed, thick their mean, smoothed over 2 % of the steps."""
    series = main_series(cell)
    logs = {row["series"]: _logs(row["runs"], runs) for _, row in series.iterrows()}
    found = {str(column) for frames in logs.values() for frame in frames for column in frame}
    terms = sorted(found - set(_NOT_A_TERM), key=_term_rank)
    if not terms:
        return []
    columns = min(3, len(terms))
    rows = -(-len(terms) // columns)
    figure = Figure(figsize=(PAGE if columns > 1 else COLUMN, 0.55 + 1.75 * rows))
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, term in zip(grid, terms, strict=False):
        for _, one in series.iterrows():
            frames = [f.set_index("step")[term].dropna() for f in logs[one["series"]] if term in f]
            style = styles[one["method"]]
            smooth = [f.rolling(max(1, len(f) // 50), min_periods=1).mean() for f in frames if len(f)]
            for line in smooth if len(smooth) > 1 else []:
                axes.plot(line.index, line, color=style.colour, lw=0.4, alpha=0.5)
            if smooth:
                mean = pd.concat(smooth, axis=1).mean(axis=1)
                axes.plot(mean.index, mean, color=style.colour, ls=dash(style), label=one["label"])
        axes.set_title(term)
        axes.set_xlabel("step")
        drawn = np.concatenate([np.asarray(line.get_ydata(), float) for line in axes.get_lines()])
        plain_log(axes, "y", drawn.min(), drawn.max())
    for axes in grid[len(terms) :]:
        axes.set_axis_off()
    shared_legend(figure, list(grid[: len(terms)]))
    caption = f"What training logged; {how_made(cell, series)} Thin: a seed; thick: their mean."
    footer(figure, caption)
    return [save(figure, folder, f"training-{slug(cell.label)}", f"Training curves, {cell.label}", caption)]


def _logs(names: tuple[str, ...], runs: dict[str, Run]) -> list[pd.DataFrame]:
    logs = (runs[name].train_log() for name in names)
    return [log for log in logs if log is not None]


def _term_rank(term: str) -> tuple[int, str]:
    order = ("loss", "denoising")
    return (order.index(term) if term in order else len(order)), term


def factor_curves(
    cell: Cell, runs: dict[str, Run], styles: dict[str, MethodStyle], folder: Path
) -> list[FigureFile]:
    """Draw overall scores against every factor that was varied with all else equal: steps and FLOPs, guidance,
    network evaluations, numeric hyper-parameters."""
    measures = headline(cell)
    if measures.empty:
        return []
    series = cell.series.assign(flops=[_flops(row, runs) for _, row in cell.series.iterrows()])
    out = []
    for factor, every in _varied(series):
        lines = _at_most(every.drop(columns=["label", "differs"]))
        figure = Figure(figsize=(COLUMN if len(measures) == 1 else PAGE, 2.5))
        grid = figure.subplots(1, len(measures), squeeze=False).ravel()
        for axes, (_, measure) in zip(grid, measures.iterrows(), strict=True):
            _factor_panel(axes, cell, measure, factor, lines, styles)
        shared_legend(figure, list(grid))
        told = _FACTOR_TITLES.get(factor, factor)
        made = how_made(cell, _lines(_with_all_seeds(lines), factor))
        drawn = "mean and SD over seeds, a small point a seed"
        left_out = " A method's shorter curves are in summary.csv." * (len(lines) < len(every))
        caption = f"Score against {told}, all else equal; {drawn}; {made}{_fewer(lines)}{left_out}"
        footer(figure, caption)
        title = f"Score against {told}, {cell.label}"
        out.append(save(figure, folder, f"factor-{slug(factor)}-{slug(cell.label)}", title, caption))
    return out


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
    kept = size.sort_values(["points", "seeds"], ascending=False, kind="stable").drop_duplicates("method")[
        "line"
    ]
    return lines[lines["line"].isin(kept)]


def _with_all_seeds(lines: pd.DataFrame) -> pd.DataFrame:
    """Give every point of a curve the seeds that any of its points has."""
    seeds = {line: tuple(sorted(set().union(*own))) for line, own in lines.groupby("line")["train_seeds"]}
    return lines.assign(train_seeds=lines["line"].map(lambda line: seeds[line]))


def _fewer(lines: pd.DataFrame) -> str:
    """Say where not every point of a curve has all its seeds."""
    whole = _with_all_seeds(lines)["train_seeds"]
    return " Some points have fewer seeds." if (whole != lines["train_seeds"]).any() else ""


def _varied(series: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield each factor with the series of its curves: ``x`` and ``line`` (key of all else) added."""
    settings = pd.DataFrame([json.loads(text) for text in series["settings"]], index=series.index)
    columns = ["method", "variant", "step", "sampler", "nfe", "guidance", "origin"]
    fixed = pd.concat([series[columns], forward_passes(series).rename("passes"), settings], axis=1).map(str)
    hyper = [str(c) for c in settings if is_hyperparameter(str(c))]
    for factor in ["step", "flops", "guidance", "nfe", *hyper]:
        values = (
            series[factor] if factor in series else [_resolved(row, factor) for _, row in series.iterrows()]
        )
        x = pd.to_numeric(pd.Series(values, index=series.index), errors="coerce")
        follow = ["variant"] if factor in hyper else _FOLLOWS.get(factor, [])  # a changed variant is "custom"
        keys = fixed.drop(columns=[c for c in [factor, *follow] if c in fixed]).agg("|".join, axis=1)
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
    from ltbench.method.registry import create_method  # imports torch: only where a hyper-parameter was varied

    try:
        return getattr(create_method(part).hp, name, None)
    except UsageError:  # a method of a package that is not installed here
        return None


def _factor_panel(
    axes: Axes,
    cell: Cell,
    measure: pd.Series,
    factor: str,
    lines: pd.DataFrame,
    styles: dict[str, MethodStyle],
) -> None:
    summary = cell.summary_of("overall", measure).set_index("series")
    points = cell.points_of("overall", measure)
    names = _lines(lines, factor)
    label = dict(zip(names["line"], names["label"], strict=True))
    drawn: dict[str, int] = {}
    for line, rows in lines.groupby("line", sort=False):
        rows = rows[rows["series"].isin(summary.index)].sort_values("x")
        if rows.empty:
            continue
        style = styles[rows["method"].iloc[0]]
        found = summary.loc[rows["series"]]
        method = str(rows["method"].iloc[0])
        again = drawn[method] = drawn.get(method, -1) + 1  # another line of the method: hollow, then paler
        seeds = points[points["series"].isin(rows["series"]) & points["main"]]
        if len(seeds["train_seed"].unique()) > 1:
            at = dict(zip(rows["series"], rows["x"], strict=True))
            seed_points(axes, seeds["series"].map(at), seeds["value"], style.colour)
        axes.errorbar(rows["x"], found["mean"], found["sd"].fillna(0), color=style.colour, ls=dash(style),
                      marker=style.marker, elinewidth=0.6, label=label[str(line)],
                      mfc="white" if again else style.colour, alpha=1 - 0.25 * min(2, again))  # fmt: skip
    floor = cell.points_of("overall", measure, "floor")["value"].mean()
    if np.isfinite(floor):
        axes.axhline(floor, label="floor", **FLOOR_STYLE)
    plain_log(axes, "x", lines["x"].min(), lines["x"].max())
    axes.set_xlabel(_FACTOR_TITLES.get(factor, factor))
    axes.set_ylabel(metric_title(measure["metric"], measure["extractor"]))


def _lines(lines: pd.DataFrame, factor: str) -> pd.DataFrame:
    """Name each curve by what tells it from the others; the factor and what follows it do not."""
    names = [name for name in (factor, *_FOLLOWS.get(factor, [])) if name in ("step", "guidance", "nfe")]
    if "." in factor:
        names.append("variant")
    settings = [
        json.dumps({k: v for k, v in json.loads(text).items() if k != factor}, sort_keys=True)
        for text in lines["settings"]
    ]
    blank = dict.fromkeys(names, float("nan"))
    return describe_series(lines.assign(settings=settings, **blank).drop_duplicates("line"))


def _flops(series: pd.Series, runs: dict[str, Run]) -> float:
    """Return the FLOPs of training up to the series' step, as recorded, or nan."""
    counted = (training_cost(runs[name].provenance, series["step"])[1] for name in series["runs"])
    return next((flops for flops in counted if np.isfinite(flops)), float("nan"))
