"""Memorisation pairs: the generated images nearest to a training image, beside that image."""

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ltbench.errors import CheckpointError
from ltbench.report.aggregate import Cell, main_series
from ltbench.report.figures.per_class import how_made
from ltbench.report.figures.sheets import main_folder, spread
from ltbench.report.figures.style import COLUMN, PAGE, SMALL_PRINT, FigureFile, save, wrapped
from ltbench.report.naming import class_title, integer
from ltbench.report.tables import slug

_MOST_CLASSES = 6
_PAIRS = 3
_LEFT = 0.8  # inches for the class names
_TEXT = 0.13  # inches for the distance above an image


def load_pairs(folder: Path) -> dict[str, np.ndarray] | None:
    """Return a sample set's nearest pairs, or None where none are kept.

    ``nearest.npz`` holds ``labels`` (m,), ``generated`` and ``training`` (m,C,H,W) uint8 and ``distance`` (m,),
    closest first within a class.
    """
    path = folder / "nearest.npz"
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in ("labels", "generated", "training", "distance")}
    except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise CheckpointError(
            f"{path} cannot be read ({error}): delete it and evaluate that run again"
        ) from error


def memorisation_pairs(cell: Cell, folder: Path) -> list[FigureFile]:
    """Draw the nearest pairs of head, tail and classes between, by method; nothing where none are kept."""
    found = []
    for _, one in main_series(cell, limit=4).iterrows():
        place = main_folder(cell, one["series"])
        pairs = load_pairs(place) if place is not None else None
        if pairs is not None:
            found.append((one, pairs))
    if not found:
        return []
    shown = spread(cell.classes(), _MOST_CLASSES)
    size = found[0][1]["generated"].shape[-1]
    gap = max(1, size // 8)
    step = 2 * size + 1 + 2 * gap  # pixels from one pair to the next
    block = _PAIRS * step + 3 * gap
    wide = len(found) * block
    inches = min((PAGE - _LEFT) / wide, 1.0 / step)  # a pixel
    text_height = _TEXT / inches
    row_height = size + text_height
    high = len(shown) * row_height
    width = COLUMN if _LEFT + wide * inches <= COLUMN else PAGE
    series = pd.DataFrame([one for one, _ in found])
    series["train_seeds"] = series["train_seeds"].map(lambda seeds: seeds[:1])
    caption = (
        "Generated image (left) beside its nearest training image of the class (right), closest first, with their "
        f"feature distance; n: training images; {how_made(cell, series)}"
    )
    small_print = wrapped(caption, width)
    bottom = 0.12 + 0.1 * len(small_print.splitlines())
    figure = Figure(figsize=(width, bottom + high * inches + 0.25))
    figure.set_layout_engine("none")
    height = figure.get_figheight()
    axes = figure.add_axes((_LEFT / width, bottom / height, wide * inches / width, high * inches / height))
    axes.set_axis_off()
    for j, (one, pairs) in enumerate(found):
        axes.text(j * block + _PAIRS * step / 2, 0, one["label"], ha="center", va="bottom", fontsize=8)
        for i, (label, n_train) in enumerate(shown.itertuples(index=False)):
            top = i * row_height + text_height
            if j == 0:
                text = f"{class_title(cell.dataset, label)}\nn = {integer(n_train)}"
                axes.text(-gap, top + size / 2, text, ha="right", va="center", fontsize=6.5)
            for k, at in enumerate(np.flatnonzero(pairs["labels"] == int(label))[:_PAIRS]):
                left = j * block + k * step
                image = _side_by_side(pairs["generated"][at], pairs["training"][at])
                axes.imshow(
                    image,
                    extent=(left, left + 2 * size + 1, top + size, top),
                    interpolation="nearest",
                    aspect="auto",
                )
                axes.text(
                    left + size, top, f"{pairs['distance'][at]:#.2g}", ha="center", va="bottom", **SMALL_PRINT
                )
    axes.set_xlim(0, wide)
    axes.set_ylim(high, 0)
    figure.text(0.005, 0.03 / height, small_print, va="bottom", **SMALL_PRINT)
    return [
        save(figure, folder, f"nearest-{slug(cell.label)}", f"Nearest training images, {cell.label}", caption)
    ]


def _side_by_side(generated: np.ndarray, training: np.ndarray) -> np.ndarray:
    """Lay two images (C,H,W) side by side as RGB (H, 2 W + 1, 3) with a white line between."""
    gap = np.full((generated.shape[0], generated.shape[1], 1), 255, np.uint8)
    image = np.moveaxis(np.concatenate([generated, gap, training], axis=2), 0, -1)
    return image if image.shape[-1] == 3 else image.repeat(3, axis=-1)
