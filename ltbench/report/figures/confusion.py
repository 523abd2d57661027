"""Confusion: which class the images asked for as one class look like, head to tail, by method."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.cm import ScalarMappable
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from ltbench.errors import CheckpointError
from ltbench.report.aggregate import Cell, main_protocols
from ltbench.report.figures.per_class import how_made
from ltbench.report.figures.style import COLUMN, PAGE, FigureFile, footer, save
from ltbench.report.naming import class_title
from ltbench.report.tables import slug

_MOST_CLASSES = 20  # more do not print
_MOST_ROWS = 2  # guidances


def load_confusion(folder: Path) -> pd.DataFrame | None:
    """Return a sample set's ``confusion.csv``, or None where none is kept.

    Counts, asked-for class x class seen, both indexed by label ("0", "1", ...): the file has the classes' names,
    in label order.
    """
    path = folder / "confusion.csv"
    if not path.is_file():
        return None
    try:
        frame = pd.read_csv(path, dtype={"label": str}).set_index("label")
        labels = [str(i) for i in range(len(frame))]
        return pd.DataFrame(frame.to_numpy(float), labels, labels)
    except (KeyError, ValueError, OSError) as error:
        raise CheckpointError(
            f"{path} cannot be read ({error}): delete it and evaluate that run again"
        ) from error


def confusion_matrices(cell: Cell, folder: Path) -> list[FigureFile]:
    """Draw the share of each class's images that the classifier gives each class, mean over training seeds."""
    classes = list(cell.classes()["class_or_group"])
    blocks = [b for b in main_protocols(cell, limit=5)[:_MOST_ROWS] if len(b)]
    every = [[(one, _mean(cell, one["series"], classes)) for _, one in b.iterrows()] for b in blocks]
    found = [[(one, share) for one, share in row if share is not None] for row in every]
    found = [row for row in found if row]
    if not found or not 1 < len(classes) <= _MOST_CLASSES:
        return []
    columns = max(map(len, found))
    side = min(1.6, (PAGE - 0.9) / columns)
    figure = Figure(
        figsize=(PAGE if columns * side > COLUMN - 1 else COLUMN, (side + 0.1) * len(found) + 0.65)
    )
    grid = figure.subplots(len(found), columns, squeeze=False)
    picture = ScalarMappable(PowerNorm(0.5, 0, 1), "cividis")
    names = [class_title(cell.dataset, c)[:11] for c in classes]
    for axes, row in zip(grid, found, strict=True):
        for i, panel in enumerate(axes):
            panel.set_axis_off()
            if i >= len(row):
                continue
            one, share = row[i]
            panel.set_axis_on()
            panel.imshow(share, norm=picture.norm, cmap=picture.cmap, interpolation="nearest")
            panel.grid(False)
            guidance = f", ω = {one['guidance']:g}" if len(found) > 1 else ""
            panel.set_title(f"{one['label']}{guidance}: {np.nanmean(np.diag(share)):.2f}", pad=3)
            short = all(len(name) <= 2 for name in names)
            panel.set_xticks(range(len(names)), names if short else [""] * len(names), fontsize=5.5)
            panel.set_yticks(range(len(names)), names if i == 0 else [""] * len(names), fontsize=5.5)
            panel.tick_params(length=0, pad=1)
    grid[0, 0].set_ylabel("asked for, head to tail")
    grid[-1, 0].set_xlabel("looks like")
    figure.colorbar(picture, ax=grid, fraction=0.02, pad=0.01, label="share of images (square-root scale)")
    used = pd.concat([pd.DataFrame([one for one, _ in row]) for row in found])
    caption = (
        "Rows: the class that was asked for, head to tail; columns: the class that a classifier of real images sees, in "
        f"the same order; in the titles the mean diagonal. Means over training seeds. {how_made(cell, used)}"
    )
    footer(figure, caption)
    title = f"Confusion of classes, {cell.label}"
    return [save(figure, folder, f"confusion-{slug(cell.label)}", title, caption)]


def _mean(cell: Cell, series: str, classes: list[str]) -> np.ndarray | None:
    points = cell.points[(cell.points["series"] == series) & cell.points["main"]]
    tables = [load_confusion(Path(folder)) for folder in points["folder"].unique()]
    shares = [
        t.reindex(index=classes, columns=classes).div(t.sum(axis=1).reindex(classes), axis=0).to_numpy()
        for t in tables
        if t is not None
    ]
    return np.mean(shares, axis=0) if shares else None
