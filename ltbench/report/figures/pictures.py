"""Pictures: samples by class and method as stored, and the generated images nearest to training images."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ltbench.report.cells import main_series
from ltbench.report.figures.base import Figure, Image, Scene, figure, how_made
from ltbench.report.names import integer
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
    series = main_series(scene.cell, _MOST_METHODS)
    shown = _spread(scene.cell.classes())
    names = [str(c) for c in shown["class_or_group"]]
    strips: dict[tuple[int, int], np.ndarray] = {}
    kept: list[pd.Series] = []
    for _, one in series.iterrows():
        folder = scene.cell.main_folder(one["series"])
        samples = first_of_each_class(folder, _MOST_IMAGES, names) if folder is not None else None
        if samples:
            column = len(kept)
            kept.append(one)
            strips |= {
                (i, column): _strip(samples[c]) for i, c in enumerate(names) if len(samples.get(c, ()))
            }
    if not strips:
        return None
    found = pd.DataFrame(kept)
    found["train_seeds"] = found["train_seeds"].map(lambda seeds: seeds[:1])
    missing = len(series) - len(kept)
    caption = (
        f"First images in stored order, none picked; classes head to tail{_some(scene, shown)}. "
        f"{how_made(scene.cell, found)}" + (f" {missing} methods have no stored images." if missing else "")
    )
    columns = [(one["label"], one["method"]) for one in kept]
    image = Image(_rows(scene, shown), columns, strips)
    return Figure(
        f"{scene.cell.slug}-samples", f"Samples by class and method, {scene.cell.label}", caption, image=image
    )


@figure("nearest", "memorisation pairs", "nearest.npz beside the scores")
def memorisation_pairs(scene: Scene) -> Figure | None:
    """Show the generated images nearest to a training image beside that image, by class and method."""
    shown = _spread(scene.cell.classes(), 6)
    strips: dict[tuple[int, int], np.ndarray] = {}
    kept: list[pd.Series] = []
    for _, one in main_series(scene.cell, limit=4).iterrows():
        folder = scene.cell.main_folder(one["series"])
        pairs = load_pairs(folder) if folder is not None else None
        if pairs is None:
            continue
        column = len(kept)
        kept.append(one)
        for i, label in enumerate(shown["class_or_group"]):
            at = np.flatnonzero(pairs["labels"].astype(str) == str(label))[:_PAIRS]
            both = [image for k in at for image in (pairs["generated"][k], pairs["training"][k])]
            if both:
                strips[i, column] = _strip(np.stack(both))
    if not strips:
        return None
    found = pd.DataFrame(kept)
    found["train_seeds"] = found["train_seeds"].map(lambda seeds: seeds[:1])
    caption = (
        "In pairs: a generated image, then its nearest training image of the class, closest pairs first"
        f"{_some(scene, shown)}. {how_made(scene.cell, found)}"
    )
    columns = [(one["label"], one["method"]) for one in kept]
    image = Image(_rows(scene, shown), columns, strips)
    return Figure(
        f"{scene.cell.slug}-nearest", f"Nearest training images, {scene.cell.label}", caption, image=image
    )


def _spread(classes: pd.DataFrame, most: int = _MOST_ROWS) -> pd.DataFrame:
    """Take at most `most` classes, head and tail among them, evenly between."""
    if len(classes) <= most:
        return classes
    return classes.iloc[np.unique(np.linspace(0, len(classes) - 1, most).round().astype(int))]


def _some(scene: Scene, shown: pd.DataFrame) -> str:
    every = len(scene.cell.classes())
    return f", {len(shown)} of {every}" if len(shown) < every else ""


def _rows(scene: Scene, shown: pd.DataFrame) -> list[tuple[str, str]]:
    return [(scene.cell.class_name(str(c)), f"n = {integer(n)}") for c, n in shown.itertuples(index=False)]


def _strip(images: np.ndarray) -> np.ndarray:
    """Lay images (n,C,H,W) side by side as RGB (H, n (W + 1) - 1, 3), white between."""
    n, _, height, width = images.shape
    out = np.full((height, n * (width + 1) - 1, 3), 255, np.uint8)
    for i, image in enumerate(images):
        rgb = np.moveaxis(image, 0, -1)
        out[:, i * (width + 1) : i * (width + 1) + width] = rgb if rgb.shape[-1] == 3 else rgb[..., :1]
    return out
