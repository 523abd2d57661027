"""Pictures: samples by class and method as stored, and the generated images nearest to training images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from ltbench.analysis.names import integer
from ltbench.analysis.protocols import main_series
from ltbench.analysis.series import Series
from ltbench.report.figures.base import Scene, figure
from ltbench.report.figures.marks import how_made
from ltbench.report.figures.model import Figure, Image
from ltbench.runs.samples import first_of_each_class, load_pairs

_MOST_IMAGES = 8  # a class and method
_MOST_METHODS = 6
_MOST_ROWS = 12  # classes: head, tail and evenly between
_PAIRS = 3

Load = Callable[[Path, Sequence[str]], dict[str, np.ndarray] | None]  # a folder and classes -> images of each


@figure("samples", "sample sheet", "stored images and labels beside the scores")
def sample_sheet(scene: Scene) -> Figure | None:
    """Show each class's first stored images by method; nothing is picked.

    Image i has the same initial noise for every method with the same sampling seed.
    """

    def stored(folder: Path, names: Sequence[str]) -> dict[str, np.ndarray] | None:
        return first_of_each_class(folder, _MOST_IMAGES, names)

    words = "First images in stored order, none picked; classes head to tail"
    series, titles = main_series(scene.cell, _MOST_METHODS), ("samples", "Samples by class and method")
    return _sheet(scene, series, _MOST_ROWS, stored, *titles, words)


@figure("nearest", "memorisation pairs", "nearest.npz beside the scores")
def memorisation_pairs(scene: Scene) -> Figure | None:
    """Show the generated images nearest to a training image beside that image, by class and method."""

    def pairs(folder: Path, names: Sequence[str]) -> dict[str, np.ndarray] | None:
        found = load_pairs(folder)
        if found is None:
            return None
        both = np.stack([found["generated"], found["training"]], axis=1)
        at = {name: np.flatnonzero(found["labels"].astype(str) == name)[:_PAIRS] for name in names}
        return {name: both[rows].reshape(-1, *both.shape[2:]) for name, rows in at.items()}

    words = "In pairs: a generated image, then its nearest training image of the class, closest pairs first"
    series, titles = main_series(scene.cell, 4), ("nearest", "Nearest training images")
    return _sheet(scene, series, 6, pairs, *titles, words)


def _sheet(
    scene: Scene, series: Sequence[Series], most: int, load: Load, name: str, title: str, words: str
) -> Figure | None:
    """Return strips of images by class (row) and method (column), of each series' first training; None without any."""
    cell = scene.cell
    classes = cell.classes()
    shown = _spread(classes, most)
    names = [str(c) for c in shown["class_or_group"]]
    strips: dict[tuple[int, int], np.ndarray] = {}
    kept: list[Series] = []
    for one in series:
        folder = cell.main_folder(one.key)
        if folder is not None and (images := load(folder, names)):
            own = ((i, images[c]) for i, c in enumerate(names) if len(images.get(c, ())))
            strips |= {(i, len(kept)): _strip(each) for i, each in own}
            kept.append(replace(one, train_seeds=one.train_seeds[:1]))
    if not strips:
        return None
    some = f", {len(shown)} of {len(classes)}" if len(shown) < len(classes) else ""
    missing = len(series) - len(kept)
    without = f" {missing} methods have no stored images." if missing else ""
    rows = [(cell.class_name(str(c)), f"n = {integer(n)}") for c, n in shown.itertuples(index=False)]
    image = Image(rows, [(one.label, one.method) for one in kept], strips)
    caption = f"{words}{some}. {how_made(cell, kept)}{without}"
    return Figure(f"{cell.slug}-{name}", f"{title}, {cell.label}", caption, image=image)


def _spread(classes: pd.DataFrame, most: int) -> pd.DataFrame:
    """Take at most `most` classes, head and tail among them, evenly between."""
    if len(classes) <= most:
        return classes
    return classes.iloc[np.unique(np.linspace(0, len(classes) - 1, most).round().astype(int))]


def _strip(images: np.ndarray) -> np.ndarray:
    """Lay images (n,C,H,W) side by side as RGB (H, n (W + 1) - 1, 3), white between."""
    n, _, height, width = images.shape
    out = np.full((height, n * (width + 1) - 1, 3), 255, np.uint8)
    for i, image in enumerate(images):
        rgb = np.moveaxis(image, 0, -1)
        out[:, i * (width + 1) : i * (width + 1) + width] = rgb if rgb.shape[-1] == 3 else rgb[..., :1]
    return out
