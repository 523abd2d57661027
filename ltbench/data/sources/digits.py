"""digits_lt: scikit-learn's 1,797 handwritten digits of 8x8 pixels; nothing to download.

The file has no test split, so one is made: ``RandomState(0)`` shuffles each class, labels ascending, and
the first 120 are pool and reference, the others (54 to 63 a class, 597 in all) held out. Both keep file
order. A pixel counts the dark points of a 4x4 block, 0..16, and becomes ``(255 * v + 8) // 16``.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ltbench.data.images import ImageSet
from ltbench.data.longtail import select
from ltbench.data.source import Source, Splits, Status

POOL_PER_CLASS = 120


@dataclass(frozen=True)
class Digits(Source):
    """The 8x8 digits that scikit-learn ships."""

    def status(self, data_root: Path) -> Status:
        """Find the file inside the installed scikit-learn."""
        from importlib.util import find_spec

        package = find_spec("sklearn")
        if package is None or package.origin is None:
            return Status(False, ())
        path = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
        return Status(path.is_file(), (path,), path)

    def load(self, data_root: Path, image_size: int | None = None, content: str | None = None) -> Splits:
        """Read and split the digits; see the module for split and grey levels."""
        self.size(image_size)
        from sklearn.datasets import load_digits

        bunch = load_digits()
        images = ((bunch.images.astype(np.int64) * 255 + 8) // 16).astype(np.uint8)[:, None]
        labels = bunch.target.astype(np.int64)
        every = ImageSet(images, labels)
        inside = np.zeros(len(labels), bool)
        inside[select(labels, [POOL_PER_CLASS] * self.num_classes, split_seed=0)] = True
        pool = every.take(np.flatnonzero(inside))
        provenance = {"files": {"digits": every.sha256}, "split": f"RandomState(0), {POOL_PER_CLASS} a class"}
        return Splits(pool, pool, every.take(np.flatnonzero(~inside)), self.class_names, provenance)


DIGITS = Digits(
    name="digits_lt",
    title="Digits (scikit-learn), 8x8 grey",
    num_classes=10,
    class_names=tuple("0123456789"),
    pool=(POOL_PER_CLASS,) * 10,
    channels=1,
    default_size=8,
    sizes=(8,),
    flip_allowed=False,
    licence="CC BY 4.0 (UCI, Alpaydin and Kaynak)",
    how_to_get="it comes with scikit-learn: nothing to get",
)
SOURCE = DIGITS
