"""Curves: loss terms over training; scores over steps and FLOPs, guidance, sampler steps, hyper-parameters; cost."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

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
    save,
    shared_legend,
)
from ltbench.report.load import Run, read_provenance
from ltbench.report.naming import describe_series, metric_rank, metric_title
from ltbench.report.tables import slug

_NOT_A_TERM = ("step", "learning_rate", "images_per_second")
_FACTOR_TITLES = {
    "step": "training steps",
    "flops": "training FLOPs",
    "guidance": "guidance ω",
    "nfe": "network evaluations an image",
}


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
        if all(line.get_ydata().min() > 0 for line in axes.get_lines()):  # type: ignore[union-attr]
            axes.set_yscale("log")
    for axes in grid[len(terms) :]:
        axes.set_axis_off()
    shared_legend(figure, list(grid[: len(terms)]))
    caption = f"Terms of the training loss, {how_made(cell, series)} Thin: a seed; thick: their mean."
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
    measures = _headline(cell)
    if measures.empty:
        return []
    series = cell.series.assign(flops=[_flops(row, runs) for _, row in cell.series.iterrows()])
    out = []
    for factor, lines in _varied(series):
        lines = lines.drop(columns=["label", "differs"])
        figure = Figure(figsize=(COLUMN if len(measures) == 1 else PAGE, 2.5))
        grid = figure.subplots(1, len(measures), squeeze=False).ravel()
        for axes, (_, measure) in zip(grid, measures.iterrows(), strict=True):
            _factor_panel(axes, cell, measure, factor, lines, styles)
        shared_legend(figure, list(grid))
        named = describe_series(
            lines.assign(**({factor: 0} if factor in lines else {})).drop_duplicates("line")
        )
        caption = f"Score against {_FACTOR_TITLES.get(factor, factor)}, all else equal; {how_made(cell, named, None)}"
        footer(figure, caption)
        title = f"Score against {_FACTOR_TITLES.get(factor, factor)}, {cell.label}"
        out.append(save(figure, folder, f"factor-{slug(factor)}-{slug(cell.label)}", title, caption))
    return out


def _headline(cell: Cell, most: int = 3) -> pd.DataFrame:
    """Choose up to three overall measures: one Frechet distance, one recall, one other."""
    measures = cell.measures("overall")
    wanted = measures[measures["metric"].str.match("frechet|recall|agreement")]
    wanted = wanted.assign(
        kind=wanted["metric"].str.split("_").str[0], rank=wanted["metric"].map(metric_rank)
    )
    return wanted.sort_values("rank", kind="stable").drop_duplicates("kind").head(most)


def _varied(series: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield each factor with the series of its curves: ``x`` and ``line`` (key of all else) added."""
    settings = pd.DataFrame([json.loads(text) for text in series["settings"]], index=series.index)
    fixed = pd.concat(
        [series[["method", "variant", "step", "sampler", "nfe", "guidance", "origin"]], settings], axis=1
    )
    fixed = fixed.map(str)
    hyper = [str(c) for c in settings if str(c).split(".")[0] not in ("model", "train", "sample")]
    for factor in ["step", "flops", "guidance", "nfe", *hyper]:
        x = pd.to_numeric(series[factor] if factor in series else settings[factor], errors="coerce")
        # guidance 0 needs no unconditional pass, so NFE goes with guidance; a variant goes with its parameters
        follow = {"flops": ["step"], "guidance": ["nfe"]}
        keys = fixed.drop(columns=[c for c in [factor, *follow.get(factor, [])] if c in fixed]).agg(
            "|".join, axis=1
        )
        lines = series.assign(x=x, line=keys).dropna(subset=["x"])
        lines = lines[lines.groupby("line")["x"].transform("nunique") > 1]
        if len(lines):
            yield factor, lines


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
    names = describe_series(lines.assign(**({factor: 0} if factor in lines else {})).drop_duplicates("line"))
    label = dict(zip(names["line"], names["label"], strict=True))
    for line, rows in lines.groupby("line", sort=False):
        rows = rows[rows["series"].isin(summary.index)].sort_values("x")
        if rows.empty:
            continue
        style = styles[rows["method"].iloc[0]]
        found = summary.loc[rows["series"]]
        seeds = points[points["series"].isin(rows["series"]) & points["main"]]
        axes.plot(seeds["series"].map(dict(zip(rows["series"], rows["x"], strict=True))), seeds["value"], style.marker,
                  ms=1.6, color=style.colour, alpha=0.6, mew=0)  # fmt: skip
        axes.errorbar(rows["x"], found["mean"], found["sd"].fillna(0), color=style.colour, ls=dash(style),
                      marker=style.marker, elinewidth=0.6, label=label[str(line)])  # fmt: skip
    floor = cell.points_of("overall", measure, "floor")["value"].mean()
    if np.isfinite(floor):
        axes.axhline(floor, label="floor", **FLOOR_STYLE)
    if factor in ("step", "flops", "nfe") or lines["x"].max() > 20 * max(lines["x"].min(), 1e-12) > 0:
        axes.set_xscale("log")
    axes.set_xlabel(_FACTOR_TITLES.get(factor, factor))
    axes.set_ylabel(metric_title(measure["metric"], measure["extractor"]))


def _flops(series: pd.Series, runs: dict[str, Run]) -> float:
    """Return the FLOPs of training up to the series' step, as recorded, or nan."""
    for name in series["runs"]:
        stages = [
            s for s in runs[name].provenance.get("stages", []) if s.get("stage") == "train" and s.get("flops")
        ]
        if stages:
            return float(stages[-1]["flops"]) * float(series["step"]) / float(stages[-1]["steps"])
    return float("nan")


def cost_quality(
    cell: Cell, runs: dict[str, Run], styles: dict[str, MethodStyle], folder: Path
) -> list[FigureFile]:
    """Draw Frechet distance against what it cost: training time, and sampling time for 1,000 images."""
    measures = cell.measures("overall")
    measures = measures[measures["metric"] == "frechet"]
    costs = pd.DataFrame(
        [_cost(row, cell, runs) for _, row in cell.series.iterrows()], index=cell.series["series"]
    )
    panels = [
        c for c in ("training, wall-clock hours", "sampling, s per 1,000 images") if costs[c].notna().any()
    ]
    if measures.empty or not panels:
        return []
    measure = measures.iloc[0]
    summary = cell.summary_of("overall", measure).set_index("series")
    figure = Figure(figsize=(PAGE if len(panels) > 1 else COLUMN, 2.5))
    grid = figure.subplots(1, len(panels), squeeze=False, sharey=True).ravel()
    for axes, column in zip(grid, panels, strict=True):
        for _, one in cell.series.iterrows():
            if one["series"] in summary.index and np.isfinite(costs.loc[one["series"], column]):
                style, found = styles[one["method"]], summary.loc[one["series"]]
                axes.errorbar(costs.loc[one["series"], column], found["mean"], found["sd"] if found["n"] > 1 else 0,
                              fmt=style.marker, color=style.colour, mec="white", mew=0.4, ms=4.5, elinewidth=0.6,
                              label=one["label"])  # fmt: skip
        axes.set_xscale("log")
        axes.set_xlabel(column)
    grid[0].set_ylabel(metric_title(measure["metric"], measure["extractor"]))
    shared_legend(figure, list(grid))
    used = [runs[name].provenance.get("machine", {}) for name in cell.points["run"].unique()]
    machines = ", ".join(sorted({machine.get("processor", "?") for machine in used}))
    made = how_made(cell, cell.series, measure, "overall")
    caption = f"Cost as recorded on {machines} (other work there slows it); {made}"
    footer(figure, caption)
    return [save(figure, folder, f"cost-{slug(cell.label)}", f"Cost against quality, {cell.label}", caption)]


def _cost(series: pd.Series, cell: Cell, runs: dict[str, Run]) -> dict[str, float]:
    """Return mean training hours up to the series' step and mean sampling seconds for 1,000 images."""
    hours, seconds = [], []
    for name in series["runs"]:
        stages = [s for s in runs[name].provenance.get("stages", []) if s.get("stage") == "train"]
        trained = max((s.get("steps", 0) for s in stages), default=0)
        if trained:
            wall = sum(s["wall_seconds"] for s in stages) / 3600
            hours.append(wall * min(1.0, series["step"] / trained))
    rows = cell.points[cell.points["series"] == series["series"]]
    for place in rows["folder"].unique():
        stages = [s for s in read_provenance(Path(place)).get("stages", []) if s.get("stage") == "sample"]
        images = sum(s.get("images", 0) for s in stages[-1:])
        if images:
            seconds.append(1000 * sum(s["wall_seconds"] for s in stages) / images)
    nan = float("nan")
    return {
        "training, wall-clock hours": float(np.mean(hours)) if hours else nan,
        "sampling, s per 1,000 images": float(np.mean(seconds)) if seconds else nan,
    }
