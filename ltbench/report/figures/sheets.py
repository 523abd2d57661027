"""Sample sheets: classes down, methods across, the first images of each as stored (figures 4 and 5)."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ltbench.errors import CheckpointError
from ltbench.report.aggregate import Cell, main_series
from ltbench.report.figures.per_class import how_made
from ltbench.report.figures.style import COLUMN, PAGE, SMALL_PRINT, FigureFile, save, wrapped
from ltbench.report.naming import class_title, integer, method_title
from ltbench.report.tables import slug

_MOST_ROWS = 12  # classes in the printed sheet: head, tail and evenly between


def load_samples(folder: Path, per_class: int, classes: list[str]) -> dict[str, np.ndarray] | None:
    """Return the first `per_class` stored images of each class, uint8 (n,C,H,W), or None where none are kept.

    The files are memory-mapped: only the images shown are read.
    """
    paths = folder / "images.npy", folder / "labels.npy"
    if not all(path.is_file() for path in paths):
        return None
    try:
        images = np.load(paths[0], mmap_mode="r", allow_pickle=False)
        labels = np.load(paths[1], allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise CheckpointError(
            f"{folder}: samples cannot be read ({error}): delete the folder and run again"
        ) from error
    if images.ndim != 4 or images.dtype != np.uint8 or len(images) != len(labels):
        raise CheckpointError(
            f"{folder}: images.npy is {images.dtype} {images.shape}, labels.npy {labels.shape}; "
            "expected uint8 (N,C,H,W) with N labels: delete the folder and run again"
        )
    wanted = {c: np.flatnonzero(labels == int(c))[:per_class] for c in classes if c.isdecimal()}
    return {c: np.asarray(images[index]) for c, index in wanted.items()}


def main_folder(cell: Cell, series: str) -> Path | None:
    """Return the folder that stands for a series: its first training seed at the main sampling seed."""
    rows = cell.points[(cell.points["series"] == series) & cell.points["main"]]
    return Path(rows.sort_values("train_seed")["folder"].iloc[0]) if len(rows) else None


def sample_sheet(cell: Cell, folder: Path, per_class: int = 0) -> list[FigureFile]:
    """Draw the sample sheet of one cell, or nothing where no samples are kept.

    Every method shows its first images in stored order: nothing is picked. Image i has the same initial
    noise for every method with the same sampling seed.
    """
    series = main_series(cell, limit=6)
    counts = cell.classes()
    shown = spread(counts, _MOST_ROWS)
    names = list(shown["class_or_group"])
    per_class = per_class or max(3, 24 // len(series))
    found = []
    for _, one in series.iterrows():
        place = main_folder(cell, one["series"])
        samples = load_samples(place, per_class, names) if place is not None else None
        if samples:
            found.append((one, samples))
    if not found:
        return []
    per_class = min(per_class, max(len(images) for _, samples in found for images in samples.values()))
    size = next(iter(found[0][1].values())).shape[-1]
    width = PAGE if len(found) > 1 else COLUMN
    label_width = 0.95
    block = (width - label_width) / len(found)
    row_height = block / per_class
    figure = Figure(figsize=(width, row_height * 0.97 * len(names) + 0.5))
    figure.set_layout_engine("none")
    height = figure.get_figheight()
    for j, (one, samples) in enumerate(found):
        strip = np.concatenate([_row(samples.get(c), per_class, size) for c in names])
        axes = figure.add_axes(
            (
                (label_width + j * block) / width,
                0.28 / height,
                block * 0.97 / width,
                row_height * 0.97 * len(names) / height,
            )
        )
        axes.imshow(strip, interpolation="nearest", aspect="auto")
        axes.set_axis_off()
        axes.set_title(
            one["label"] if len(one["label"]) < 8 + 60 // len(found) else method_title(one["method"]), pad=3
        )
        if j == 0:
            for i, (c, n) in enumerate(shown.itertuples(index=False)):
                y = (i + 0.5) / len(names)
                axes.annotate(
                    f"{class_title(cell.dataset, c)}\n",
                    (0, 1 - y),
                    (-5, -3),
                    xycoords="axes fraction",
                    textcoords="offset points",
                    ha="right",
                    va="center",
                )
                axes.annotate(
                    f"n = {integer(n)}",
                    (0, 1 - y),
                    (-5, -5),
                    xycoords="axes fraction",
                    textcoords="offset points",
                    ha="right",
                    va="center",
                    **SMALL_PRINT,
                )
    used = pd.DataFrame([one for one, _ in found])
    used["train_seeds"] = used["train_seeds"].map(lambda seeds: seeds[:1])
    caption = (
        f"First {per_class} generated images a class in stored order, none picked; n: training images; "
        + how_made(cell, used)
    )
    figure.text(0.005, 0.02 / height, wrapped(caption, width), va="bottom", **SMALL_PRINT)
    return [
        save(
            figure,
            folder,
            f"samples-{slug(cell.label)}",
            f"Samples by class and method, {cell.label}",
            caption,
        )
    ]


def spread(classes: pd.DataFrame, most: int) -> pd.DataFrame:
    """Take at most `most` classes, head and tail among them, evenly between."""
    if len(classes) <= most:
        return classes
    return classes.iloc[np.unique(np.linspace(0, len(classes) - 1, most).round().astype(int))]


def _row(images: np.ndarray | None, n: int, size: int) -> np.ndarray:
    """Lay images (m,C,H,W), m <= n, side by side as (H + 1, n (W + 1), 3), white where one is missing."""
    out = np.full((size + 1, n * (size + 1), 3), 255, np.uint8)
    for i, image in enumerate([] if images is None else images):
        rgb = np.moveaxis(image, 0, -1)
        out[:size, i * (size + 1) : i * (size + 1) + size] = rgb if rgb.shape[-1] == 3 else rgb[..., :1]
    return out
