"""closed_form: ten Gaussian classes of 8x8 grey images whose distribution is known exactly; nothing to download.

Class k's pixels are N(m_k, s_k^2), independent of one another: m_k is a cosine pattern of its own and s_k rises
from .08 to .16 (values in [-1, 1]; rounding to 256 levels adds .0023, and a pixel is cut off once in 15,000).
Pool, reference and held-out images are three sets of independent draws, by a fixed seed.

For these data the perfect network is known (``model.size=exact``): with it, everything that a score differs from
its floor by is the sampler's or the measure's.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ltbench.data.images import ImageSet
from ltbench.data.source import Source, Splits, Status

NUM_CLASSES, SIZE, PER_CLASS = 10, 8, 300
_AMPLITUDE = 0.36


def class_means() -> NDArray[np.float64]:
    """Return m_k, (K, 1, 8, 8): the cosines of the discrete cosine transform, the first nine and a tenth."""
    at = np.cos(np.pi * np.outer(np.arange(4), np.arange(SIZE) + 0.5) / SIZE)
    pairs = [(i, j) for i in range(4) for j in range(4)][1 : NUM_CLASSES + 1]
    return np.stack([_AMPLITUDE * np.outer(at[i], at[j])[None] for i, j in pairs])


def class_sds() -> NDArray[np.float64]:
    """Return s_k, (K,)."""
    return np.linspace(0.08, 0.16, NUM_CLASSES)


def draw(per_class: int, seed: int) -> ImageSet:
    """Return `per_class` images of each class, labels ascending, by a stream that numpy never changes."""
    stream = np.random.RandomState(seed)
    labels = np.repeat(np.arange(NUM_CLASSES, dtype=np.int64), per_class)
    noise = stream.standard_normal((len(labels), 1, SIZE, SIZE))
    values = class_means()[labels] + class_sds()[labels, None, None, None] * noise
    return ImageSet(np.round((np.clip(values, -1, 1) + 1) * 127.5).astype(np.uint8), labels)


@dataclass(frozen=True)
class ClosedFormSource(Source):
    """Draws of the ten known classes."""

    def status(self, data_root: Path) -> Status:
        """They are computed: always there."""
        return Status(True, (), Path(__file__))

    def load(self, data_root: Path, image_size: int | None = None, content: str | None = None) -> Splits:
        """Draw pool, reference and held-out images."""
        self.size(image_size)
        pool, reference, heldout = (draw(PER_CLASS, seed) for seed in (0, 1, 2))
        provenance = {"files": {}, "draws": f"RandomState(0, 1, 2), {PER_CLASS} a class"}
        return Splits(pool, reference, heldout, self.class_names, provenance)


SOURCE = ClosedFormSource(
    name="closed_form",
    title="Ten Gaussian classes of a known distribution, 8x8 grey",
    num_classes=NUM_CLASSES,
    class_names=tuple(f"pattern {k}" for k in range(NUM_CLASSES)),
    pool=(PER_CLASS,) * NUM_CLASSES,
    channels=1,
    default_size=SIZE,
    sizes=(SIZE,),
    flip_allowed=False,
    licence="computed: nobody's",
    how_to_get="it is computed: nothing to get",
)
