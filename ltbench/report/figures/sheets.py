"""Sample sheets: classes down, methods across, the first images of each as stored (figures 4 and 5)."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ltbench.report.aggregate import Cell, main_series
from ltbench.report.figures.per_class import how_made
from ltbench.report.figures.style import COLUMN, PAGE, SMALL_PRINT, FigureFile, save, wrapped
from ltbench.report.naming import class_title, integer, method_title
from ltbench.report.tables import slug
from ltbench.runs.samples import first_of_each_class

_LABELS = 0.95  # inches left of the images
_LOWEST_ROW = 0.26  # inches: room for a class's name and count
_MOST_IMAGES = 12  # a class and method
_MOST_ROWS = 12  # classes in the printed sheet: head, tail and evenly between


def main_folder(cell: Cell, series: str) -> Path | None:
    """Return the folder that stands for a series: its first training seed at the main sampling seed."""
    rows = cell.points[(cell.points["series"] == series) & cell.points["main"]]
    return Path(rows.sort_values("train_seed")["folder"].iloc[0]) if len(rows) else None


def sample_sheet(cell: Cell, folder: Path) -> list[FigureFile]:
    """Draw the sample sheet of one cell, or nothing where no samples are kept.

    Every method shows its first images in stored order: nothing is picked. Image i has the same initial
    noise for every method with the same sampling seed.
    """
    series = main_series(cell, limit=6)
    counts = cell.classes()
    shown = spread(counts, _MOST_ROWS)
    names = list(shown["class_or_group"])
    found = []
    for _, one in series.iterrows():
        place = main_folder(cell, one["series"])
        samples = first_of_each_class(place, _MOST_IMAGES, names) if place is not None else None
        if samples:
            found.append((one, samples))
    if not found:
        return []
    width = PAGE if len(found) > 1 else COLUMN
    block = (width - _LABELS) / len(found)
    stored = max(len(images) for _, samples in found for images in samples.values())
    per_class = max(1, min(stored, int(block / _LOWEST_ROW)))
    used = pd.DataFrame([one for one, _ in found])
    used["train_seeds"] = used["train_seeds"].map(lambda seeds: seeds[:1])
    made = how_made(cell, used)
    caption = (
        f"First {per_class} generated images a class in stored order, none picked; n: training images; {made}"
    )
    small_print = wrapped(caption, width)
    bottom = 0.12 + 0.1 * len(small_print.splitlines())
    side = block * 0.97 / per_class  # inches of one image with its gap
    figure = Figure(figsize=(width, bottom + side * len(names) + 0.24))
    figure.set_layout_engine("none")
    height = figure.get_figheight()
    for j, (one, samples) in enumerate(found):
        left = (_LABELS + j * block) / width
        axes = figure.add_axes((left, bottom / height, block * 0.97 / width, side * len(names) / height))
        size = next(iter(samples.values())).shape[-1]
        strip = np.concatenate([_row(samples.get(c), per_class, size) for c in names])
        axes.imshow(strip, interpolation="nearest", aspect="auto")
        axes.set_axis_off()
        fits = len(one["label"]) * 0.065 < block
        axes.set_title(one["label"] if fits else method_title(one["method"]), pad=3)
        if j == 0:
            _label_rows(axes, cell, shown)
    figure.text(0.005, 0.03 / height, small_print, va="bottom", **SMALL_PRINT)
    title = f"Samples by class and method, {cell.label}"
    return [save(figure, folder, f"samples-{slug(cell.label)}", title, caption)]


def _label_rows(axes: Axes, cell: Cell, shown: pd.DataFrame) -> None:
    """Write each row's class and training count to the left of it."""
    place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "ha": "right"}
    for i, (c, n) in enumerate(shown.itertuples(index=False)):
        middle = (0, 1 - (i + 0.5) / len(shown))
        axes.annotate(class_title(cell.dataset, c), middle, (-5, 0), va="bottom", fontsize=7, **place)
        axes.annotate(f"n = {integer(n)}", middle, (-5, -1), va="top", **place, **SMALL_PRINT)


def spread(classes: pd.DataFrame, most: int) -> pd.DataFrame:
    """Take at most `most` classes, head and tail among them, evenly between."""
    if len(classes) <= most:
        return classes
    return classes.iloc[np.unique(np.linspace(0, len(classes) - 1, most).round().astype(int))]


def _row(images: np.ndarray | None, n: int, size: int) -> np.ndarray:
    """Lay the first n images (m,C,H,W) side by side as (H + 1, n (W + 1), 3), white where one is missing."""
    out = np.full((size + 1, n * (size + 1), 3), 255, np.uint8)
    for i, image in enumerate([] if images is None else images[:n]):
        rgb = np.moveaxis(image, 0, -1)
        out[:size, i * (size + 1) : i * (size + 1) + size] = rgb if rgb.shape[-1] == 3 else rgb[..., :1]
    return out
