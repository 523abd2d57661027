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


@figure("samples", "sample sheet", "stored images and labels beside the scores")
def sample_sheet(scene: Scene) -> Figure | None:
    """Show each class's first stored images by method; nothing is picked.

    Image i has the same initial noise for every method with the same sampling seed.
    """
    series, shown = main_series(scene.cell, _MOST_METHODS), _spread(scene.cell.classes())

    def stored(folder: Path, names: Sequence[str]) -> dict[str, np.ndarray] | None:
        return first_of_each_class(folder, _MOST_IMAGES, names)

    words = f"First images in stored order, none picked; classes head to tail{_some(scene, shown)}."
    return _sheet(scene, series, shown, stored, "samples", "Samples by class and method", words)


@figure("nearest", "memorisation pairs", "nearest.npz beside the scores")
def memorisation_pairs(scene: Scene) -> Figure | None:
    """Show the generated images nearest to a training image beside that image, by class and method."""
    series, shown = main_series(scene.cell, limit=4), _spread(scene.cell.classes(), 6)

    def pairs(folder: Path, names: Sequence[str]) -> dict[str, np.ndarray] | None:
        found = load_pairs(folder)
        if found is None:
            return None
        both = np.stack([found["generated"], found["training"]], axis=1)
        at = {name: np.flatnonzero(found["labels"].astype(str) == name)[:_PAIRS] for name in names}
        return {name: both[rows].reshape(-1, *both.shape[2:]) for name, rows in at.items()}

    words = (
        "In pairs: a generated image, then its nearest training image of the class, closest pairs first"
        f"{_some(scene, shown)}."
    )
    return _sheet(scene, series, shown, pairs, "nearest", "Nearest training images", words)


def _sheet(
    scene: Scene,
    series: Sequence[Series],
    shown: pd.DataFrame,
    load: Callable[[Path, Sequence[str]], dict[str, np.ndarray] | None],
    name: str,
    title: str,
    words: str,
) -> Figure | None:
    """Return strips of images by class (row) and method (column), of each series' first training; None without any."""
    cell = scene.cell
    names = [str(c) for c in shown["class_or_group"]]
    strips: dict[tuple[int, int], np.ndarray] = {}
    kept: list[Series] = []
    for one in series:
        folder = cell.main_folder(one.key)
        images = load(folder, names) if folder is not None else None
        if images:
            strips |= {
                (i, len(kept)): _strip(images[c]) for i, c in enumerate(names) if len(images.get(c, ()))
            }
            kept.append(replace(one, train_seeds=one.train_seeds[:1]))
    if not strips:
        return None
    missing = len(series) - len(kept)
    caption = f"{words} {how_made(cell, kept)}" + (
        f" {missing} methods have no stored images." if missing else ""
    )
    rows = [(cell.class_name(str(c)), f"n = {integer(n)}") for c, n in shown.itertuples(index=False)]
    image = Image(rows, [(one.label, one.method) for one in kept], strips)
    return Figure(f"{cell.slug}-{name}", f"{title}, {cell.label}", caption, image=image)


def _spread(classes: pd.DataFrame, most: int = _MOST_ROWS) -> pd.DataFrame:
    """Take at most `most` classes, head and tail among them, evenly between."""
    if len(classes) <= most:
        return classes
    return classes.iloc[np.unique(np.linspace(0, len(classes) - 1, most).round().astype(int))]


def _some(scene: Scene, shown: pd.DataFrame) -> str:
    every = len(scene.cell.classes())
    return f", {len(shown)} of {every}" if len(shown) < every else ""


def _strip(images: np.ndarray) -> np.ndarray:
    """Lay images (n,C,H,W) side by side as RGB (H, n (W + 1) - 1, 3), white between."""
    n, _, height, width = images.shape
    out = np.full((height, n * (width + 1) - 1, 3), 255, np.uint8)
    for i, image in enumerate(images):
        rgb = np.moveaxis(image, 0, -1)
        out[:, i * (width + 1) : i * (width + 1) + width] = rgb if rgb.shape[-1] == 3 else rgb[..., :1]
    return out
