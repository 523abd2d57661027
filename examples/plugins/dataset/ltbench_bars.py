"""Drawn bars: seeds to grey images 8x8 of four classes (horizontal, vertical and two diagonal bars).

Nothing is downloaded. Pool, reference and held-out images are drawn from streams of their own.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ltbench.data import ImageSet, Source, Splits, Status

PER_CLASS = 40
NAMES = ("horizontal", "vertical", "falling", "rising")


def draw(seed: int) -> ImageSet:
    """Return 40 images a class, (160,1,8,8) uint8: a bar at a random place on a noisy ground."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:8, :8]
    images = rng.integers(0, 60, (4 * PER_CLASS, 1, 8, 8))
    for i in range(4 * PER_CLASS):
        coordinate = (rows, columns, rows - columns, rows + columns - 7)[i // PER_CLASS]
        images[i, 0][np.abs(coordinate - rng.integers(2, 6) * (i < 2 * PER_CLASS)) <= 1] = rng.integers(
            180, 255
        )
    return ImageSet(images.astype(np.uint8), np.repeat(np.arange(4), PER_CLASS))


@dataclass(frozen=True)
class Bars(Source):
    """Four classes of drawn bars."""

    def status(self, data_root: Path) -> Status:
        """They are drawn: always there."""
        return Status(True, ())

    def load(self, data_root: Path, image_size: int | None = None, content: str | None = None) -> Splits:
        """Draw the three sets."""
        self.size(image_size)
        pool, reference, heldout = draw(0), draw(1), draw(2)
        return Splits(pool, reference, heldout, NAMES, {"drawn by": "ltbench-bars 1.0"})


BARS = Bars(
    name="bars_lt",
    title="Drawn bars, 8x8 grey",
    num_classes=4,
    class_names=NAMES,
    pool=(PER_CLASS,) * 4,
    channels=1,
    default_size=8,
    sizes=(8,),
    flip_allowed=False,
    licence="public domain",
    how_to_get="they are drawn: nothing to get",
)
