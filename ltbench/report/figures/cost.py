"""Cost against quality: what training and sampling took, as recorded, against the Frechet distance."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ltbench.report.aggregate import Cell, main_protocols, main_series
from ltbench.report.figures.per_class import how_made
from ltbench.report.figures.style import (
    COLUMN,
    PAGE,
    FigureFile,
    MethodStyle,
    footer,
    plain_log,
    save,
    seed_points,
    shared_legend,
)
from ltbench.report.load import Run
from ltbench.report.naming import method_title, metric_title
from ltbench.runs.provenance import processors, sampling_cost, training_cost
from ltbench.report.tables import slug

_TRAINING = "training, minutes"
_FLOPS = "training, FLOPs"
_SAMPLING = "sampling, s per 1,000 images"


def cost_quality(
    cell: Cell, runs: dict[str, Run], styles: dict[str, MethodStyle], folder: Path
) -> list[FigureFile]:
    """Draw Frechet distance against what it cost: training time, and sampling time for 1,000 images."""
    measures = cell.measures("overall")
    measures = measures[measures["metric"] == "frechet"]
    main = main_series(cell)
    one_protocol = cell.series[_alike(cell.series, main, ["sampler", "nfe", "guidance"])]
    shown = {
        _FLOPS: one_protocol,
        _TRAINING: one_protocol,
        _SAMPLING: cell.series[_alike(cell.series, pd.concat(main_protocols(cell)), ["step", "guidance"])],
    }
    costs = pd.DataFrame(
        [_cost(row, cell, runs) for _, row in cell.series.iterrows()], index=cell.series["series"]
    )
    panels = [c for c in shown if costs[c].reindex(shown[c]["series"]).notna().any()]
    if measures.empty or not panels:
        return []
    measure = measures.iloc[0]
    figure = Figure(figsize=(PAGE if len(panels) > 1 else COLUMN, 2.5))
    grid = figure.subplots(1, len(panels), squeeze=False, sharey=True).ravel()
    for axes, column in zip(grid, panels, strict=True):
        _panel(
            axes,
            cell,
            measure,
            shown[column].assign(cost=costs[column].reindex(shown[column]["series"]).array),
            styles,
        )
        axes.set_xlabel(column)
    grid[0].set_ylabel(metric_title(measure["metric"], measure["extractor"]))
    shared_legend(figure, list(grid))
    machines = ", ".join(processors(runs[name].provenance for name in cell.points["run"].unique()))
    what = (
        "Training: all steps at one sampling protocol; sampling: all samplers at one step and the guidances of the tables. "
        if len(panels) > 1
        else ""
    )
    made = how_made(cell, main, measure, "overall")
    caption = (
        f"{what}Medians over runs; time: CPU time where a CPU did the work ({machines}), else wall-clock. "
        f"Main protocol: {made}"
    )
    footer(figure, caption)
    return [save(figure, folder, f"cost-{slug(cell.label)}", f"Cost against quality, {cell.label}", caption)]


def _alike(series: pd.DataFrame, main: pd.DataFrame, columns: list[str]) -> pd.Series:
    """Choose the series that share these settings with any main series."""
    wanted = set(main[columns].map(str).agg("|".join, axis=1))
    return series[columns].map(str).agg("|".join, axis=1).isin(wanted)


def _panel(
    axes: Axes, cell: Cell, measure: pd.Series, series: pd.DataFrame, styles: dict[str, MethodStyle]
) -> None:
    summary = cell.summary_of("overall", measure).set_index("series")
    points = cell.points_of("overall", measure)
    series = series[series["series"].isin(summary.index) & series["cost"].notna()]
    for _, one in series.iterrows():
        style, found = styles[one["method"]], summary.loc[one["series"]]
        seeds = points[(points["series"] == one["series"]) & points["main"]]["value"]
        if len(seeds) > 1:
            seed_points(axes, np.full(len(seeds), one["cost"]), seeds, style.colour)
        axes.errorbar(
            one["cost"],
            found["mean"],
            found["sd"] if found["n"] > 1 else 0,
            fmt=style.marker,
            ms=4.5,
            color=style.colour,
            mec="white",
            mew=0.4,
            elinewidth=0.6,
            label=method_title(one["method"]),
        )
    plain_log(axes, "x", series["cost"].min(), series["cost"].max())


def _cost(series: pd.Series, cell: Cell, runs: dict[str, Run]) -> dict[str, float]:
    """Return a series' median training minutes and FLOPs up to its step, and seconds for 1,000 images."""
    spent = np.array([training_cost(runs[name].provenance, series["step"]) for name in series["runs"]])
    seconds = sampling_cost(cell.folders(series["series"]))
    return {
        _TRAINING: _median(spent[:, 0]) / 60,
        _FLOPS: _median(spent[:, 1]),
        _SAMPLING: _median(np.array(seconds)),
    }


def _median(values: np.ndarray) -> float:
    found = values[np.isfinite(values)]
    return float(np.median(found)) if len(found) else float("nan")
