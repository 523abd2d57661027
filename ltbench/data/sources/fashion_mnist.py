"""fashion_mnist_lt: 60,000 training and 10,000 test images of clothes, 28x28 grey, in four idx.gz files.

They are padded to 32x32 with the background's black and, for smaller sizes, averaged by area.
"""

import gzip
import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ltbench.data.download import download
from ltbench.data.images import ImageSet
from ltbench.data.resample import area_resample, pad_square
from ltbench.data.source import Source, Splits, Status
from ltbench.errors import DataCorrupt

TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"
MD5 = {  # of the downloads, as torchvision.datasets.FashionMNIST.resources
    TRAIN_IMAGES: "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    TRAIN_LABELS: "25c81989df183df01b3e8a0aad5dffbe",
    TEST_IMAGES: "bef4ecab320f06d8554ea6380940ec79",
    TEST_LABELS: "bb300cfdad3c16e7a12a480ee83cd310",
}
CONTENT_MD5 = {  # of what they unpack to: Debian strips name and time from the gzip headers
    TRAIN_IMAGES: "f4a8712d7a061bf5bd6d2ca38dc4d50a",
    TRAIN_LABELS: "9018921c3c673c538a1fc5bad174d6f9",
    TEST_IMAGES: "8181f5470baa50b63fa0f6fddb340f0a",
    TEST_LABELS: "15d484375f8d13e6eb1aabb0c3f46965",
}


def read_idx(path: Path, dimensions: int, md5: str | None = None) -> NDArray[np.uint8]:
    """Read a gzipped idx file of unsigned bytes; `md5` is what the unpacked content must have.

    Layout: two zero bytes, the type (8 = uint8), the number of dimensions, each dimension as a
    big-endian uint32, the data.

    Raises
    ------
    DataCorrupt
        Not gzip, truncated, another type or number of dimensions, or of another length than it states.
    """
    try:
        with gzip.open(path) as handle:
            content = handle.read()
    except (OSError, EOFError, zlib.error) as error:
        raise DataCorrupt(f"{path} is truncated or not gzip ({error}): delete it and get it again") from error
    start = 4 + 4 * dimensions
    if content[:4] != bytes((0, 0, 8, dimensions)) or len(content) < start:
        raise DataCorrupt(
            f"{path} is no idx file of {dimensions}-dimensional bytes: delete it and get it again"
        )
    shape = np.frombuffer(content, ">u4", dimensions, 4).astype(np.int64)
    if len(content) != start + int(shape.prod()):
        stated = f"{len(content) - start} bytes, not the {shape.prod()} it states"
        raise DataCorrupt(f"{path} holds {stated}: delete it and get it again")
    if md5 is not None and hashlib.md5(content).hexdigest() != md5:
        raise DataCorrupt(f"{path} is not the original (unpacked md5 not {md5}): delete it and get it again")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


@dataclass(frozen=True)
class FashionMnist(Source):
    """Fashion-MNIST from its four idx.gz files.

    Attributes
    ----------
    md5, content_md5
        File name -> MD5 of the download, and of what it unpacks to.
    system_folders
        Where an operating system's package puts them, looked at after the data root.
    url
        The folder they are downloaded from.
    """

    md5: Mapping[str, str] = field(default_factory=lambda: MD5, hash=False)
    content_md5: Mapping[str, str] = field(default_factory=lambda: CONTENT_MD5, hash=False)
    system_folders: tuple[Path, ...] = (
        Path("/usr/local/share/datasets/fashion-mnist"),
        Path("/usr/share/datasets/fashion-mnist"),
    )
    url: str = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"

    def status(self, data_root: Path) -> Status:
        """Find the first folder that holds all four files."""
        under = ("FashionMNIST/raw", "fashion-mnist", "fashion_mnist", "")
        looked = (*(data_root / name for name in under), *self.system_folders)
        at = next((folder for folder in looked if all((folder / name).is_file() for name in self.md5)), None)
        return Status(at is not None, looked, at)

    def load(self, data_root: Path, image_size: int | None = None, content: str | None = None) -> Splits:
        """Read the images, downloading the files first where none are found."""
        size = self.size(image_size)
        folder = self.status(data_root).at
        if folder is None:
            folder = data_root / "FashionMNIST" / "raw"  # torchvision's layout
            for name, digest in self.md5.items():
                if not (folder / name).is_file():
                    download(f"{self.url}/{name}", folder / name, digest, self.advice(data_root))
        pool = self._read(folder, TRAIN_IMAGES, TRAIN_LABELS, size)
        heldout = self._read(folder, TEST_IMAGES, TEST_LABELS, size)
        provenance = {
            "files": dict(self.content_md5),
            "resampling": "padded 28 to 32 with 0" + ("" if size == 32 else f", area to {size}"),
        }
        return Splits(pool, pool, heldout, self.class_names, provenance)

    def _read(self, folder: Path, images: str, labels: str, size: int) -> ImageSet:
        pixels = read_idx(folder / images, 3, self.content_md5[images])[:, None]
        classes = read_idx(folder / labels, 1, self.content_md5[labels]).astype(np.int64)
        return ImageSet(area_resample(pad_square(pixels, 32), size), classes)


FASHION_MNIST = FashionMnist(
    name="fashion_mnist_lt",
    title="Fashion-MNIST, 28x28 grey padded to 32x32",
    num_classes=10,
    class_names=(
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    pool=(6000,) * 10,
    channels=1,
    default_size=32,
    sizes=tuple(range(8, 33)),
    flip_allowed=False,  # every shoe points the same way
    licence="MIT (Zalando SE)",
    how_to_get="install the Debian package dataset-fashion-mnist, or put the four idx.gz files of "
    "github.com/zalandoresearch/fashion-mnist into DATA_ROOT/FashionMNIST/raw",
)
SOURCE = FASHION_MNIST
