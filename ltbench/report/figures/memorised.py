"""Memorisation pairs: the generated images nearest to a training image, beside that image."""

import zipfile
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ltbench.errors import CheckpointError
from ltbench.report.aggregate import Cell, main_series
from ltbench.report.figures.per_class import how_made
from ltbench.report.figures.sheets import main_folder, spread
from ltbench.report.figures.style import PAGE, SMALL_PRINT, FigureFile, footer, save
from ltbench.report.naming import class_title, integer
from ltbench.report.tables import slug

_MOST_CLASSES = 6
_PAIRS = 3


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
    pair = min(1.0, (PAGE - 0.7) / (len(found) * _PAIRS))  # inches across two images
    width = 0.7 + pair * len(found) * _PAIRS
    figure = Figure(figsize=(width, len(shown) * (pair / 2 + 0.16) + 0.7))
    outer = figure.subplots(len(shown), len(found) * _PAIRS, squeeze=False)
    for row, (label, n_train) in enumerate(shown.itertuples(index=False)):
        for block, (one, pairs) in enumerate(found):
            here = np.flatnonzero(pairs["labels"] == int(label))[:_PAIRS]
            for i in range(_PAIRS):
                axes = outer[row, block * _PAIRS + i]
                axes.set_axis_off()
                if i < len(here):
                    axes.imshow(_side_by_side(pairs["generated"][here[i]], pairs["training"][here[i]]))
                    axes.set_title(f"{pairs['distance'][here[i]]:#.2g}", pad=1, **SMALL_PRINT)
                if row == 0 and i == _PAIRS // 2:
                    axes.annotate(one["label"], (0.5, 1), (0, 9), xycoords="axes fraction",
                                  textcoords="offset points", ha="center", fontsize=8)  # fmt: skip
        text = f"{class_title(cell.dataset, label)}\nn = {integer(n_train)}"
        outer[row, 0].annotate(text, (0, 0.5), (-3, 0), xycoords="axes fraction",
                               textcoords="offset points", ha="right", va="center", fontsize=6.5)  # fmt: skip
    series = main_series(cell, limit=4)
    caption = (
        "Generated image (left) beside its nearest training image of the class (right), closest first, "
        f"with their feature distance; n: training images; first training seed; {how_made(cell, series)}"
    )
    footer(figure, caption)
    return [
        save(figure, folder, f"nearest-{slug(cell.label)}", f"Nearest training images, {cell.label}", caption)
    ]


def _side_by_side(generated: np.ndarray, training: np.ndarray) -> np.ndarray:
    """Lay two images (C,H,W) side by side as RGB (H, 2 W + 1, 3) with a white line between."""
    gap = np.full((generated.shape[0], generated.shape[1], 1), 255, np.uint8)
    image = np.moveaxis(np.concatenate([generated, gap, training], axis=2), 0, -1)
    return image if image.shape[-1] == 3 else image.repeat(3, axis=-1)
