"""Per-class scores: bars by method with floors and training counts; class count against score."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from ltbench.report.aggregate import Cell, main_series
from ltbench.report.figures.style import (
    COLUMN,
    COUNT_COLOUR,
    FLOOR_COLOUR,
    FLOOR_STYLE,
    PAGE,
    FigureFile,
    MethodStyle,
    footer,
    plain_log,
    save,
    shared_legend,
)
from ltbench.report.naming import class_title, integer, metric_style, metric_title
from ltbench.report.tables import seeds_text, slug

_MOST_BARS = 20  # classes; above, points joined by lines are drawn instead


def per_class_bars(cell: Cell, styles: dict[str, MethodStyle], folder: Path) -> list[FigureFile]:
    """Draw Frechet distances a class, head to tail, by method, under the training counts (figure 3)."""
    measures = cell.measures("class")
    out = []
    for _, measure in measures[measures["metric"] == "frechet"].iterrows():
        series = main_series(cell)
        summary = cell.summary_of("class", measure)
        series = series[series["series"].isin(summary["series"])]
        classes = cell.classes()
        figure = Figure(figsize=(PAGE, 3.0))
        top, axes = figure.subplots(2, 1, sharex=True, height_ratios=[1, 4])
        _draw_counts(top, classes)
        x = np.arange(len(classes), dtype=float)
        if len(classes) <= _MOST_BARS:
            _draw_bars(axes, cell, measure, series, styles, classes)
            names = [class_title(cell.dataset, c) for c in classes["class_or_group"]]
            names = [name.replace(" ", "\n").replace("/", "/\n") for name in names]
            long = len(names) * max(len(line) for name in names for line in name.split("\n")) > 95
            axes.set_xticks(x, names, rotation=35 if long else 0, ha="right" if long else "center")
        else:
            _draw_lines(axes, cell, measure, series, styles, classes)
            axes.set_xlabel("class, head to tail")
        floors = _floors(cell, measure, classes)
        if np.isfinite(floors).any():
            axes.hlines(floors, x - 0.46, x + 0.46, label="floor: real vs real", **FLOOR_STYLE)
        axes.set_xlim(-0.6, len(classes) - 0.4)
        axes.set_ylim(bottom=0)
        axes.set_ylabel(metric_title(measure["metric"], measure["extractor"]))
        shared_legend(figure, [axes])
        caption = how_made(cell, series, measure)
        if len(classes) > _MOST_BARS:
            lines = "a point a class (mean over training seeds), lines: their running mean over a twelfth of the classes"
            caption = how_made(cell, series, measure, drawn=lines)
        footer(figure, caption)
        name = f"per-class-frechet-{slug(measure['extractor'])}-{slug(cell.label)}"
        title = f"{metric_title('frechet', measure['extractor'], arrow=False)} per class, {cell.label}"
        out.append(save(figure, folder, name, title, caption))
    return out


def _draw_counts(axes: Axes, classes: pd.DataFrame) -> None:
    x = np.arange(len(classes))
    axes.bar(x, classes["n_train"], width=0.92, color=COUNT_COLOUR)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_ylim(bottom=max(0.7, classes["n_train"].min() / 4), top=classes["n_train"].max() * 6)
    axes.set_ylabel("training\nimages")
    axes.tick_params(axis="x", length=0)
    axes.yaxis.set_minor_locator(NullLocator())
    if len(classes) <= _MOST_BARS:
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        for i, n in enumerate(classes["n_train"]):
            axes.annotate(integer(n), (i, n), (0, 1), textcoords="offset points", ha="center", fontsize=6)


def _draw_bars(
    axes: Axes,
    cell: Cell,
    measure: pd.Series,
    series: pd.DataFrame,
    styles: dict[str, MethodStyle],
    classes: pd.DataFrame,
) -> None:
    width = 0.84 / max(1, len(series))
    points = cell.points_of("class", measure)
    repeats = series.groupby("method").cumcount()
    for i, (_, one) in enumerate(series.iterrows()):
        style = styles[one["method"]]
        mean, sd = class_means(cell, measure, one["series"], classes)
        x = np.arange(len(classes)) + (i - (len(series) - 1) / 2) * width
        axes.bar(
            x,
            mean,
            width * 0.94,
            color=style.colour,
            alpha=1 - 0.3 * min(2, repeats.iloc[i]),
            hatch=style.hatch,
            edgecolor="white",
            linewidth=0.3,
            label=one["label"],
        )
        axes.errorbar(x, mean, sd, fmt="none", ecolor="#222222", elinewidth=0.7, capsize=0)
        seeds = points[(points["series"] == one["series"]) & points["main"]]
        place = seeds["class_or_group"].map(dict(zip(classes["class_or_group"], x, strict=True)))
        if len(seeds["train_seed"].unique()) > 1:
            axes.plot(place, seeds["value"], "o", ms=1.7, mfc="white", mec="#222222", mew=0.4, zorder=3)
        for missing in x[~np.isfinite(mean)]:
            axes.annotate(
                "n/a", (missing, 0), (0, 2), textcoords="offset points", ha="center", rotation=90, fontsize=5
            )


def _draw_lines(
    axes: Axes,
    cell: Cell,
    measure: pd.Series,
    series: pd.DataFrame,
    styles: dict[str, MethodStyle],
    classes: pd.DataFrame,
) -> None:
    x = np.arange(len(classes))
    for i, (_, one) in enumerate(series.iterrows()):
        style = styles[one["method"]]
        mean, _ = class_means(cell, measure, one["series"], classes)
        axes.plot(x, mean, style.marker, color=style.colour, ms=2, alpha=0.55)
        smooth = pd.Series(mean).rolling(max(3, len(x) // 12), center=True, min_periods=1).mean()
        axes.plot(x, smooth, color=style.colour, label=one["label"], lw=1.4, zorder=3 + i)


def class_means(
    cell: Cell, measure: pd.Series, series: str, classes: pd.DataFrame
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and sd (K,) over training seeds, classes in the given order, nan where not measured."""
    rows = cell.summary_of("class", measure)
    rows = rows[rows["series"] == series].set_index("class_or_group")
    rows = rows.reindex(classes["class_or_group"])
    return rows["mean"].to_numpy(), rows["sd"].fillna(0).to_numpy()


def _floors(cell: Cell, measure: pd.Series, classes: pd.DataFrame) -> np.ndarray:
    rows = cell.points_of("class", measure, "floor").groupby("class_or_group")["value"].mean()
    return rows.reindex(classes["class_or_group"]).to_numpy(dtype=float)


def how_made(
    cell: Cell,
    series: pd.DataFrame,
    measure: pd.Series | None = None,
    scope: str = "class",
    drawn: str = "mean and standard deviation over training seeds, a point a seed",
) -> str:
    """Say in one paragraph how a figure's numbers were made; `drawn`: what is drawn where there are several seeds."""
    parts = [cell.label]
    if measure is not None:
        parts.append(
            f"{metric_title(measure['metric'], measure['extractor'], False)} ({measure['definition']}): "
            f"{integer(measure['n_generated'])} generated against {integer(measure['n_reference'])} real"
            f"{' a class' if scope == 'class' else ''} ({measure['reference']})"
        )
    for name, show in (
        ("sampler", "sampler {}"),
        ("nfe", "{:g} NFE"),
        ("guidance", "guidance {:g}"),
        ("step", "step {:,.0f}"),
    ):
        values = [v for v in series[name].unique() if v == v and v != ""]
        if len(values) == 1:
            parts.append(show.format(values[0]))
    seeds = series["train_seeds"].map(seeds_text)
    if len(set(seeds)) == 1:
        one = len(series["train_seeds"].iloc[0]) == 1
        parts.append(
            f"training seed {series['train_seeds'].iloc[0][0]}" if one else f"training seeds {seeds.iloc[0]}"
        )
    else:
        told = (f"{label} {text}" for label, text in zip(series["label"], seeds, strict=True))
        parts.append("training seeds " + ", ".join(told))
    if measure is not None and (series["train_seeds"].map(len) > 1).any():
        parts.append(drawn)
    return "; ".join(parts) + "."


def count_against_score(cell: Cell, styles: dict[str, MethodStyle], folder: Path) -> list[FigureFile]:
    """Draw training images of a class against its score with the floor, a figure a measure."""
    out = []
    classes = cell.classes()
    for _, measure in cell.measures("class").iterrows():
        series = main_series(cell)
        series = series[series["series"].isin(cell.summary_of("class", measure)["series"])]
        if measure["metric"] not in ("frechet", "recall", "agreement") or series.empty:
            continue
        figure = Figure(figsize=(COLUMN, 2.5))
        axes = figure.subplots()
        for _, one in series.iterrows():
            style = styles[one["method"]]
            mean, sd = class_means(cell, measure, one["series"], classes)
            seeds = cell.points_of("class", measure)
            seeds = seeds[(seeds["series"] == one["series"]) & seeds["main"]]
            axes.plot(seeds["n_train"], seeds["value"], ".", color=style.colour, ms=1.5, alpha=0.7, mew=0)
            axes.errorbar(
                classes["n_train"],
                mean,
                sd,
                fmt=style.marker,
                color=style.colour,
                label=one["label"],
                elinewidth=0.6,
                ms=3.2,
                mec="white",
                mew=0.3,
            )
        floors = _floors(cell, measure, classes)
        handles, labels = axes.get_legend_handles_labels()
        if np.isfinite(floors).any():
            axes.plot(classes["n_train"], floors, "_", color=FLOOR_COLOUR, ms=6, mew=1.0)
            handles.append(Line2D([], [], ls="", marker="_", color=FLOOR_COLOUR, ms=6))
            labels.append("floor")
        plain_log(axes, "x", classes["n_train"].min(), classes["n_train"].max())
        axes.invert_xaxis()
        axes.set_xlabel("training images of the class (head left)")
        axes.set_ylabel(metric_title(measure["metric"], measure["extractor"]))
        if metric_style(measure["metric"]).better == "lower":
            axes.set_ylim(bottom=0)
        figure.legend(
            handles, labels, loc="outside upper center", ncols=3, columnspacing=1, handletextpad=0.4
        )
        caption = how_made(cell, series, measure)
        footer(figure, caption)
        named = metric_title(measure["metric"], measure["extractor"], arrow=False)
        title = f"{named} against class count, {cell.label}"
        name = f"count-{slug(measure['metric'])}-{slug(measure['extractor'] or 'none')}-{slug(cell.label)}"
        out.append(save(figure, folder, name, title, caption))
    return out
