"""Per-class scores: bars by method with floors and training counts; class count against score."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from ltbench.report.aggregate import Cell, main_protocols
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
    seed_points,
    shared_legend,
)
from ltbench.report.naming import class_title, integer, metric_style, metric_title
from ltbench.report.tables import seeds_text, slug

_MOST_PANELS = 3  # guidances in one figure
_MOST_BARS = 20  # classes; above, points joined by lines are drawn instead


def per_class_bars(cell: Cell, styles: dict[str, MethodStyle], folder: Path) -> list[FigureFile]:
    """Draw Frechet distances a class, head to tail, by method, under the training counts (figure 3).

    A panel a guidance, since what guidance does to a class depends on the method.
    """
    measures = cell.measures("class")
    classes = cell.classes()
    out = []
    for _, measure in measures[measures["metric"] == "frechet"].iterrows():
        scored = set(cell.summary_of("class", measure)["series"])
        blocks = [b[b["series"].isin(scored)] for b in main_protocols(cell)][:_MOST_PANELS]
        blocks = [b for b in blocks if len(b)]
        if not blocks:  # a side question's sample size, which none of the settings shown has
            continue
        figure = Figure(figsize=(PAGE, 1.1 + 1.9 * len(blocks)))
        top, *panels = figure.subplots(
            1 + len(blocks), 1, sharex=True, height_ratios=[0.5] + [1.9] * len(blocks)
        )
        _draw_counts(top, classes)
        for axes, block in zip(panels, blocks, strict=True):
            _class_panel(axes, cell, measure, block, styles, classes)
            if len(blocks) > 1:
                axes.set_title(f"guidance {block['guidance'].iloc[0]:g}", loc="left", pad=2)
        if len(classes) <= _MOST_BARS:
            names = [class_title(cell.dataset, c) for c in classes["class_or_group"]]
            names = [name.replace(" ", "\n").replace("/", "/\n") for name in names]
            long = len(names) * max(len(line) for name in names for line in name.split("\n")) > 95
            panels[-1].set_xticks(
                np.arange(len(names)), names, rotation=35 if long else 0, ha="right" if long else "center"
            )
        else:
            panels[-1].set_xlabel("class, head to tail")
        shared_legend(figure, panels)
        drawn = "mean and standard deviation over training seeds, a point a seed"
        if len(classes) > _MOST_BARS:
            drawn = "a point a class (mean over training seeds), lines: their running mean over a twelfth of the classes"
        caption = how_made(cell, pd.concat(blocks), measure, drawn=drawn)
        footer(figure, caption)
        name = f"per-class-frechet-{slug(measure['extractor'])}-{slug(cell.label)}"
        title = f"{metric_title('frechet', measure['extractor'], arrow=False)} per class, {cell.label}"
        out.append(save(figure, folder, name, title, caption))
    return out


def _class_panel(
    axes: Axes,
    cell: Cell,
    measure: pd.Series,
    series: pd.DataFrame,
    styles: dict[str, MethodStyle],
    classes: pd.DataFrame,
) -> None:
    draw = _draw_bars if len(classes) <= _MOST_BARS else _draw_lines
    draw(axes, cell, measure, series, styles, classes)
    x, floors = np.arange(len(classes)), _floors(cell, measure, classes)
    if np.isfinite(floors).any():
        axes.hlines(floors, x - 0.46, x + 0.46, label="floor: real vs real", **FLOOR_STYLE)
    axes.set_xlim(-0.6, len(classes) - 0.4)
    axes.set_ylim(bottom=0)
    axes.set_ylabel(metric_title(measure["metric"], measure["extractor"]))


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
            seed_points(axes, place, seeds["value"])
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
        elif name in ("nfe", "guidance") and 1 < len(values) <= _MOST_PANELS:
            parts.append(
                show.format(values[0]).replace(f"{values[0]:g}", " or ".join(f"{v:g}" for v in values))
            )
    seeds = series["train_seeds"].map(seeds_text)
    if len(set(seeds)) == 1:
        one = len(series["train_seeds"].iloc[0]) == 1
        parts.append(
            f"training seed {series['train_seeds'].iloc[0][0]}" if one else f"training seeds {seeds.iloc[0]}"
        )
    else:
        told = (f"{label} {text}" for label, text in zip(series["label"], seeds, strict=True))
        parts.append("training seeds " + ", ".join(dict.fromkeys(told)))  # a method once for all guidances
    if measure is not None and (series["train_seeds"].map(len) > 1).any():
        parts.append(drawn)
    return "; ".join(parts) + "."


def count_against_score(cell: Cell, styles: dict[str, MethodStyle], folder: Path) -> list[FigureFile]:
    """Draw training images of a class against its scores with their floors: a column a measure, a row a guidance."""
    classes = cell.classes()
    measures = cell.measures("class")
    measures = measures[measures["metric"].isin(("frechet", "recall", "agreement"))]
    measures = measures.drop_duplicates("metric")
    if measures.empty or cell.is_balanced or not np.isfinite(classes["n_train"]).all():
        return []
    blocks = main_protocols(cell)[:_MOST_PANELS]
    width = COLUMN if len(measures) == 1 else PAGE
    figure = Figure(figsize=(width, 0.8 + 1.75 * len(blocks)))
    grid = figure.subplots(len(blocks), len(measures), squeeze=False, sharex=True)
    for row, block in zip(grid, blocks, strict=True):
        for axes, (_, measure) in zip(row, measures.iterrows(), strict=True):
            _count_panel(axes, cell, measure, block, styles, classes)
        if len(blocks) > 1:
            row[0].set_title(f"guidance {block['guidance'].iloc[0]:g}", loc="left", pad=2)
    for axes in grid[-1]:
        axes.set_xlabel("training images of the class")
    grid[0, 0].invert_xaxis()
    shared_legend(figure, list(grid.ravel()))
    told = "; ".join(
        f"{metric_title(m['metric'], m['extractor'], False)} ({m['definition']})"
        for _, m in measures.iterrows()
    )
    first = measures.iloc[0]
    sizes = f"{integer(first['n_generated'])} generated against {integer(first['n_reference'])} real a class"
    caption = (
        f"Head left; methods of a class side by side. {told}: {sizes} ({first['reference']}); "
        f"{how_made(cell, pd.concat(blocks))} Mean and standard deviation over training seeds, a point a seed."
    )
    footer(figure, caption)
    return [
        save(figure, folder, f"count-{slug(cell.label)}", f"Class count against score, {cell.label}", caption)
    ]


def _count_panel(
    axes: Axes,
    cell: Cell,
    measure: pd.Series,
    series: pd.DataFrame,
    styles: dict[str, MethodStyle],
    classes: pd.DataFrame,
) -> None:
    counts = classes["n_train"].to_numpy(float)
    points = cell.points_of("class", measure)
    span = np.log(counts.max() / counts.min()) / max(1, len(counts) - 1)
    for i, (_, one) in enumerate(series.iterrows()):
        style = styles[one["method"]]
        step = min(0.8 * span / max(4, len(series)), 0.2)  # no method stands among the next class's
        aside = np.exp(-(i - (len(series) - 1) / 2) * step)  # side by side, head left
        mean, sd = class_means(cell, measure, one["series"], classes)
        axes.errorbar(counts * aside, mean, sd, fmt=style.marker, color=style.colour, label=one["label"],
                      elinewidth=0.6, ms=3.2, mec="white", mew=0.3)  # fmt: skip
        seeds = points[(points["series"] == one["series"]) & points["main"]]
        if len(seeds["train_seed"].unique()) > 1 and len(classes) <= _MOST_BARS:
            seed_points(axes, seeds["n_train"] * aside, seeds["value"], style.colour)
    floors = _floors(cell, measure, classes)
    if np.isfinite(floors).any():
        axes.plot(counts, floors, "_", color=FLOOR_COLOUR, ms=9, mew=1.0, label="floor", zorder=1)
    plain_log(axes, "x", counts.min(), counts.max())
    axes.set_ylabel(metric_title(measure["metric"], measure["extractor"]))
    if metric_style(measure["metric"]).better == "lower":
        axes.set_ylim(bottom=0)
