"""The bottleneck: how far apart the classes lie over noise level and over training, and what t-SNE makes of it."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from ltbench.report.aggregate import Cell, main_series
from ltbench.report.figures.style import (
    PAGE,
    FigureFile,
    MethodStyle,
    dash,
    footer,
    save,
    seed_points,
    shared_legend,
)
from ltbench.report.load import Run
from ltbench.report.naming import class_title, method_title, metric_style
from ltbench.report.runs_tables import PROBE_TITLES, nearest_level, stored_probes
from ltbench.report.tables import seeds_text, slug

_POINTS_PER_CLASS = 30
_PERPLEXITY = 30
_MOST_PANELS = 5
_MOST_NUMBERED = 12  # classes whose clusters carry their number
_ITERATIONS = 500


def entanglement_curves(
    cell: Cell, runs: dict[str, Run], styles: dict[str, MethodStyle], folder: Path
) -> list[FigureFile]:
    """Draw the entanglement figures over noise level, and over training where several steps are stored."""
    series = main_series(cell)
    probes = stored_probes(series, runs)
    if probes.empty:
        return []
    noised = probes[probes["protocol"] == "noised"]
    last = noised[noised["step"] == noised.groupby("run")["step"].transform("max")]
    what = "Pooled bottleneck features of balanced held-out real images, noised, null label"
    out = []
    if len(last["t"].unique()) > 1:
        caption = f"{what}; after training. {_said(cell, series, probes)}"
        figure = _panels(last, "t", "noise level t (of 1000)", series, styles, caption)
        title = f"Entanglement over noise level, {cell.label}"
        out.append(save(figure, folder, f"entanglement-noise-{slug(cell.label)}", title, caption))
    if len(noised["step"].unique()) > 1:
        level = nearest_level(noised["t"].unique())
        caption = f"{what}; at t = {level:g}. {_said(cell, series, probes)}"
        figure = _panels(noised[noised["t"] == level], "step", "training step", series, styles, caption)
        title = f"Entanglement over training, {cell.label}"
        out.append(save(figure, folder, f"entanglement-training-{slug(cell.label)}", title, caption))
    return out


def _said(cell: Cell, series: pd.DataFrame, probes: pd.DataFrame) -> str:
    images = f"{int(probes['n_images'].iloc[0])} images; " if "n_images" in probes else ""
    seeds = "; ".join(f"{s['label']} {seeds_text(s['train_seeds'])}" for _, s in series.iterrows())
    return f"{cell.label}; {images}training seeds: {seeds}; mean and standard deviation over them."


def _panels(
    rows: pd.DataFrame,
    x: str,
    x_title: str,
    series: pd.DataFrame,
    styles: dict[str, MethodStyle],
    caption: str,
) -> Figure:
    metrics = [m for m in PROBE_TITLES if m in set(rows["metric"])]
    metrics += sorted(set(rows["metric"]) - set(metrics))
    columns = min(3, len(metrics))
    lines = -(-len(metrics) // columns)
    figure = Figure(figsize=(PAGE, 0.55 + 1.7 * lines))
    grid = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes, metric in zip(grid, metrics, strict=False):
        for _, one in series.iterrows():
            found = rows[(rows["series"] == one["series"]) & (rows["metric"] == metric)]
            if found.empty:
                continue
            style = styles[one["method"]]
            if len(found["run"].unique()) > 1:
                seed_points(axes, found[x], found["value"], style.colour)
            at = found.groupby(x)["value"].agg(["mean", "std"])
            axes.errorbar(at.index, at["mean"], at["std"].fillna(0), color=style.colour, marker=style.marker,
                          ls=dash(style), elinewidth=0.6, label=one["label"])  # fmt: skip
        axes.set_title(PROBE_TITLES.get(metric, metric) + metric_style(metric).arrow)
        axes.set_xlabel(x_title)
    for axes in grid[len(metrics) :]:
        axes.set_axis_off()
    shared_legend(figure, list(grid[: len(metrics)]))
    footer(figure, caption)
    return figure


def tsne_panels(
    cell: Cell, balanced: Cell | None, runs: dict[str, Run], folder: Path, baseline: str
) -> list[FigureFile]:
    """Draw t-SNE of the bottleneck (figure 1): the baseline on balanced data, on the long tail, other methods.

    Both protocols of the probes are shown: noised images with the null label, and clean images with
    their true label, which tells the network the class that the picture then shows.
    """
    panels = _with_features(balanced, runs, {baseline}, "balanced data")[:1] if balanced is not None else []
    panels += _with_features(cell, runs, None, "")[: _MOST_PANELS - len(panels)]
    if not panels:
        return []
    stored = [set(features) - {"labels"} for _, features in panels]
    names = set.intersection(*stored)
    levels = np.array([float(n.split("_")[1]) for n in names if n.startswith("noised_")])
    protocols = [f"noised_{nearest_level(levels):g}"] if len(levels) else []
    protocols += sorted(n for n in names if n.startswith("clean_"))
    if not protocols:
        return []
    classes = list(cell.classes()["class_or_group"])
    side = PAGE / _MOST_PANELS
    figure = Figure(figsize=(side * len(panels), (side + 0.1) * len(protocols) + 0.5))
    grid = figure.subplots(len(protocols), len(panels), squeeze=False)
    for i, protocol in enumerate(protocols):
        for j, (name, features) in enumerate(panels):
            _scatter(grid[i, j], features[protocol], features["labels"], classes)
            if i == 0:
                grid[i, j].set_title(name)
        kind, t = protocol.split("_")
        grid[i, 0].set_ylabel(
            f"noised to t = {t}, null label" if kind == "noised" else f"clean (t = {t}), true label"
        )
    lacking = balanced is None and cell.imbalance_ratio != 1
    without = " Missing: the network trained on balanced data (imbalance ratio 1)." if lacking else ""
    titles = {k: class_title(cell.dataset, k) for k in classes} if len(classes) <= _MOST_NUMBERED else {}
    key = ", ".join(f"{k} {name}" for k, name in titles.items() if name != k)
    caption = (
        f"t-SNE (perplexity {_PERPLEXITY}, PCA start, seed 0) of the pooled bottleneck of "
        f"{_POINTS_PER_CLASS} or fewer held-out real images a class, the same in all panels; {cell.label}; "
        "first training seed of each. Dark: head, bright: tail. Distances between clusters mean nothing in "
        f"t-SNE; the measured figures are beside it.{f' Classes: {key}.' if key else ''}{without}"
    )
    footer(figure, caption)
    return [
        save(figure, folder, f"tsne-{slug(cell.label)}", f"t-SNE of the bottleneck, {cell.label}", caption)
    ]


def _with_features(
    cell: Cell, runs: dict[str, Run], methods: set[str] | None, note: str
) -> list[tuple[str, dict[str, np.ndarray]]]:
    found = []
    for _, one in main_series(cell).iterrows():
        if methods is None or one["method"] in methods:
            for name in one["runs"][:1]:
                features = runs[name].probe_features(one["step"])
                if "labels" in features and len(features) > 1:
                    found.append(
                        (f"{method_title(one['method'])}, {note}" if note else one["label"], features)
                    )
    return found


def _scatter(axes: Axes, features: np.ndarray, labels: np.ndarray, classes: list[str]) -> None:
    keep = np.concatenate([np.flatnonzero(labels == k)[:_POINTS_PER_CLASS] for k in np.unique(labels)])
    x, y = features[keep].astype(np.float32), labels[keep]
    perplexity = min(_PERPLEXITY, (len(x) - 1) // 3)
    with threadpool_limits(1):  # the same picture on any number of cores
        place = TSNE(perplexity=perplexity, max_iter=_ITERATIONS, init="pca", random_state=0).fit_transform(x)
    rank = {c: i for i, c in enumerate(classes)}
    order = np.array([rank.get(str(k), len(classes)) for k in y])
    shades = mpl.colormaps["viridis"](order / max(1, len(classes) - 1) * 0.93)
    axes.scatter(place[:, 0], place[:, 1], s=3, c=shades, linewidths=0)
    if len(classes) <= _MOST_NUMBERED:
        for k in np.unique(y):  # numbers: names would cover the points
            centre = np.median(place[y == k], axis=0)
            halo = [withStroke(linewidth=1.2, foreground="white")]
            axes.annotate(
                str(k), centre, ha="center", va="center", fontsize=6, weight="bold", path_effects=halo
            )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    axes.spines[:].set_visible(True)
    axes.spines[:].set_color("#BBBBBB")
