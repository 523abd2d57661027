"""The bottleneck: how far apart the classes lie over noise level and training, their t-SNE, and the classes' confusion."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ltbench.analysis.cell_results import CellResults
from ltbench.analysis.controls import balanced_controls
from ltbench.analysis.names import arrow_of, method_title, output_of, seeds_text
from ltbench.analysis.protocols import main_protocols, main_series
from ltbench.analysis.records import mean_confusion, nearest_level, noised_probes
from ltbench.analysis.series import Series, joined
from ltbench.report.figures.base import Scene, figure, mixed, styled
from ltbench.report.figures.marks import draw_series, how_made, left_out, panel_of
from ltbench.report.figures.model import Figure, Mark, Panel, Style
from ltbench.report.tables.cost import PROBE_TITLES

_MOST_PANELS = 6
_MOST_CLASSES = 20  # in a confusion matrix


@figure("noise", "entanglement over noise level", "probes at several levels (score.probes)")
def entanglement_over_noise(scene: Scene) -> Figure | None:
    """Draw the entanglement figures over noise level, after training."""
    probes = noised_probes(scene.probes)
    if probes.empty:
        return None
    last = probes[probes["step"] == probes.groupby("run")["step"].transform("max")]
    if last["t"].nunique() < 2:
        return None
    return _entanglement(scene, last, "t", "noise level t (of 1000)", "noise level", "after training")


@figure("entanglement", "entanglement over training", "probes at several steps (train.snapshots)")
def entanglement_over_training(scene: Scene) -> Figure | None:
    """Draw the entanglement figures over training, at one noise level."""
    probes = noised_probes(scene.probes)
    if probes.empty or probes["step"].nunique() < 2:
        return None
    level = nearest_level(probes["t"].unique())
    rows = probes[probes["t"] == level]
    return _entanglement(scene, rows, "step", "training step", "training", f"at t = {level:g}")


def _entanglement(
    scene: Scene, rows: pd.DataFrame, x: str, x_title: str, over: str, when: str
) -> Figure | None:
    series = main_series(scene.cell)
    metrics = [m for m in PROBE_TITLES if m in set(rows["metric"])]
    metrics += sorted(set(rows["metric"]) - set(metrics))

    def mark(one: Series, style: Style, metric: str) -> Mark | None:
        own = rows[(rows["series"] == one.key) & (rows["metric"] == metric)]
        at = ((float(str(level)), values.to_numpy(float)) for level, values in own.groupby(x)["value"])
        return draw_series(one.label, at, style, line=True, method=one.method)

    panels = []
    for metric in metrics:
        title = PROBE_TITLES.get(metric, output_of(metric).title) + arrow_of(metric)
        panels.append(
            panel_of((mark(one, style, metric) for one, style in styled(scene, series)), title, x_title)
        )
    images = f"{int(rows['n_images'].iloc[0])} images; " if "n_images" in rows else ""
    seeds = "; ".join(f"{one.label} {seeds_text(one.train_seeds)}" for one in series)
    caption = (
        f"Pooled bottleneck features of balanced held-out real images, noised, null label; {when}. {scene.cell.label}; "
        f"{images}training seeds: {seeds}; mean and standard deviation over them."
    )
    name = "entanglement-noise" if x == "t" else "entanglement-steps"
    return scene.figure(name, f"Entanglement over {over}", caption, panels)


@figure(
    "tsne",
    "t-SNE of the bottleneck",
    "t-SNE beside the probes (score.probes, or `report --all-figures` once)",
)
def tsne_panels(scene: Scene) -> Figure | None:
    """Draw t-SNE of the bottleneck: the baseline on balanced data, then methods on the long tail.

    Both protocols of the probes are shown: noised images with the null label, and clean images with
    their true label, which tells the network the class that the picture then shows.
    """
    cell = scene.cell
    balanced = next(iter(balanced_controls(cell, scene.found)), None)
    chosen = [] if balanced is None else _embeddings(scene, balanced, {scene.baseline}, "balanced data")[:1]
    chosen += _embeddings(scene, cell, None, "")[: _MOST_PANELS - len(chosen)]
    if not chosen:
        return None
    names = set.intersection(*(set(places) - {"labels"} for _, _, places in chosen))
    levels = np.array([float(n.split("_")[1]) for n in names if n.startswith("noised_")])
    protocols = [f"noised_{nearest_level(levels):g}"] if len(levels) else []
    protocols += sorted(n for n in names if n.startswith("clean_"))
    classes = [str(c) for c in cell.classes()["class_or_group"]]
    panels = []
    for protocol in protocols:
        told = "{}, t = {}".format(*protocol.split("_"))
        for name, method, places in chosen:
            marks = _scatter(cell, places[protocol], places["labels"], classes, method)
            panels.append(Panel(name, "", told if name == chosen[0][0] else "", marks))
    lacking = balanced is None and cell.imbalance_ratio != 1
    without = " Missing: the network trained on balanced data (imbalance ratio 1)." if lacking else ""
    shown = {method for _, method, _ in chosen}
    others = ", ".join(one.label for one in main_series(cell) if one.method not in shown)
    caption = (
        "t-SNE (PCA start, seed 0) of the pooled bottleneck of held-out real images, the same in all panels: noised, with "
        "the null label, and clean, with the true one; "
        f"{cell.label}; first training seed of each. Dark: head, bright: tail. Distances between clusters mean nothing in "
        f"t-SNE; the measured figures are beside it.{without}"
        f"{f' Not shown, or not kept: {others}.' if others else ''}"
    )
    return scene.figure("tsne", "t-SNE of the bottleneck", caption, panels, len(chosen))


def _embeddings(
    scene: Scene, cell: CellResults, methods: set[str] | None, note: str
) -> list[tuple[str, str, dict[str, np.ndarray]]]:
    """Return (name, method, places) of each main series' first run whose t-SNE is kept."""
    out = []
    for one in main_series(cell):
        for name in one.runs[:1] if methods is None or one.method in methods else ():
            places = scene.runs[name].embedding(one.step)
            if "labels" in places and len(places) > 1:
                title = f"{method_title(one.method)}, {note}" if note else one.label
                out.append((title, one.method, places))
    return out


_VIRIDIS = ("#440154", "#21918C", "#E9C81E")  # dark to bright, in three


def _scatter(
    cell: CellResults, places: np.ndarray, labels: np.ndarray, classes: list[str], method: str
) -> list[Mark]:
    marks = []
    for rank, name in enumerate(classes):
        own = places[labels.astype(str) == name]
        share = 2 * rank / max(1, len(classes) - 1)
        low, high = _VIRIDIS[int(share >= 1) :][:2]
        if len(own):
            x, y = own.astype(float).T.tolist()
            style = Style(mixed(low, high, share % 1 if share < 2 else 1.0), ".")
            marks.append(Mark(cell.class_name(name), x, y, style, method=method))
    return marks


# -- confusion ------------------------------------------------------------------------------------------------


@figure("confusion", "confusion of classes", "confusion.csv beside the scores")
def confusion_matrices(scene: Scene) -> Figure | None:
    """Draw the share of each class's images that the classifier gives each class, mean over training seeds."""
    cell = scene.cell
    classes = [str(c) for c in cell.classes()["class_or_group"]]
    if not 1 < len(classes) <= _MOST_CLASSES:
        return None
    names = [cell.class_name(c)[:11] for c in classes]
    blocks = main_protocols(cell)[:2]
    shares = [(one, mean_confusion(cell, one.key, classes)) for one in joined(blocks)]
    kept = [(one, share) for one, share in shares if share is not None]
    panels = [
        Panel(
            f"{one.label}{f', ω={one.scale}' * (len(blocks) > 1)}: {np.nanmean(np.diag(share)):.2f}",
            "looks like",
            "asked for",
            categories=names,
            matrix=share.tolist(),
            row_names=names,
            row_methods=[one.method] * len(names),
            guidance=one.scale,
        )
        for one, share in kept
    ]
    used = [one for one, _ in kept]
    across = min(max(map(len, blocks)), 6 if max(map(len, names)) < 4 else 4)
    caption = (
        "Rows: the class that was asked for, head to tail; columns: the class that a classifier of real images sees, in "
        f"the same order; in the titles the mean diagonal. Means over training seeds. {how_made(cell, used)}"
        f"{left_out(cell, used)}"
    )
    return scene.figure("confusion", "Confusion of classes", caption, panels, across)
