"""cifar10_lt and cifar100_lt: 32x32 colour, 50,000 training and 10,000 test images, read by torchvision.

Addresses, file names and MD5s are torchvision's. The batches are pickles: they are opened only after their
MD5 has been found to be the original's.
"""

import contextlib
import shutil
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ltbench.data.download import download
from ltbench.data.images import ImageSet
from ltbench.data.resample import area_resample
from ltbench.data.source import Source, Splits, Status, check_md5, writing
from ltbench.errors import DataCorrupt, DataMissing


@dataclass(frozen=True)
class Cifar(Source):
    """CIFAR-10 or CIFAR-100.

    Attributes
    ----------
    folder, archive : what the tar.gz unpacks to, and its name.
    """

    folder: str = ""
    archive: str = ""

    def dataset_class(self) -> Any:
        """Return torchvision's class, which states address, files and MD5s."""
        from torchvision import datasets

        return {"cifar-10-batches-py": datasets.CIFAR10, "cifar-100-python": datasets.CIFAR100}[self.folder]

    def status(self, data_root: Path) -> Status:
        """Find the unpacked folder, else the archive, in the data root or in a folder of the set's name."""
        roots = (data_root, data_root / self.name.removesuffix("_lt"))
        looked = (*(root / self.folder for root in roots), *(root / self.archive for root in roots))
        if data_root.resolve().name == self.folder:  # the folder itself was given
            return Status(data_root.is_dir(), (data_root,), data_root)
        at = next((path for path in looked if path.is_dir() or path.is_file()), None)
        return Status(at is not None, looked, at)

    def load(self, data_root: Path, image_size: int | None = None, content: str | None = None) -> Splits:
        """Read the images, downloading or unpacking the archive first where need be."""
        size, dataset = self.size(image_size), self.dataset_class()
        at = self.status(data_root).at
        if at is None:
            at = data_root / self.archive
            download(dataset.url, at, dataset.tgz_md5, self.advice(data_root))
        if at.name == self.archive:
            check_md5(at, dataset.tgz_md5)
            at = self._unpack(at)
        digests = {name: md5 for name, md5 in (*dataset.train_list, *dataset.test_list)}
        digests[dataset.meta["filename"]] = dataset.meta["md5"]
        for name, md5 in digests.items():
            if not (at / name).is_file():
                raise DataMissing(f"{at / name} is missing: {self.advice(data_root)}")
            check_md5(at / name, md5)
        sets = []
        for train in (True, False):
            files = dataset(str(at.resolve().parent), train=train)
            pixels = np.ascontiguousarray(np.asarray(files.data).transpose(0, 3, 1, 2))
            sets.append(ImageSet(area_resample(pixels, size), np.asarray(files.targets, np.int64)))
        names = tuple(name.replace("_", " ") for name in files.classes)
        provenance = {"files": digests, "resampling": "none" if size == 32 else f"area to {size}"}
        return Splits(sets[0], sets[0], sets[1], names, provenance)

    def _unpack(self, archive: Path) -> Path:
        """Unpack beside the archive, under a temporary name first, and return the folder."""
        target = archive.parent / self.folder
        with writing(target):
            scratch = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=archive.parent))
            try:
                with tarfile.open(archive) as tar:
                    tar.extractall(scratch, filter="data")
                unpacked = scratch / self.folder
                if not unpacked.is_dir():
                    raise tarfile.ReadError(f"no {self.folder} in it")
                with contextlib.suppress(FileExistsError):  # another worker was faster
                    unpacked.rename(target)
            except (tarfile.TarError, EOFError) as error:
                raise DataCorrupt(
                    f"{archive} cannot be unpacked ({error}): delete it and get it again"
                ) from error
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
        return target


def _how_to_get(archive: str, md5: str) -> str:
    return f"download https://www.cs.toronto.edu/~kriz/{archive} (md5 {md5}) and put it into DATA_ROOT"


CIFAR10 = Cifar(
    name="cifar10_lt",
    title="CIFAR-10, 32x32 colour",
    num_classes=10,
    class_names=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    pool=(5000,) * 10,
    channels=3,
    default_size=32,
    sizes=tuple(range(8, 33)),
    flip_allowed=True,
    licence="none stated (research use, Krizhevsky 2009)",
    how_to_get=_how_to_get("cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a"),
    folder="cifar-10-batches-py",
    archive="cifar-10-python.tar.gz",
)

CIFAR100_NAMES = """
apple, aquarium fish, baby, bear, beaver, bed, bee, beetle, bicycle, bottle, bowl, boy, bridge, bus,
butterfly, camel, can, castle, caterpillar, cattle, chair, chimpanzee, clock, cloud, cockroach,
couch, crab, crocodile, cup, dinosaur, dolphin, elephant, flatfish, forest, fox, girl, hamster,
house, kangaroo, keyboard, lamp, lawn mower, leopard, lion, lizard, lobster, man, maple tree,
motorcycle, mountain, mouse, mushroom, oak tree, orange, orchid, otter, palm tree, pear, pickup
truck, pine tree, plain, plate, poppy, porcupine, possum, rabbit, raccoon, ray, road, rocket, rose,
sea, seal, shark, shrew, skunk, skyscraper, snail, snake, spider, squirrel, streetcar, sunflower,
sweet pepper, table, tank, telephone, television, tiger, tractor, train, trout, tulip, turtle,
wardrobe, whale, willow tree, wolf, woman, worm
"""

CIFAR100 = Cifar(
    name="cifar100_lt",
    title="CIFAR-100, 32x32 colour",
    num_classes=100,
    class_names=tuple(" ".join(CIFAR100_NAMES.split()).split(", ")),
    pool=(500,) * 100,
    channels=3,
    default_size=32,
    sizes=tuple(range(8, 33)),
    flip_allowed=True,
    licence="none stated (research use, Krizhevsky 2009)",
    how_to_get=_how_to_get("cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85"),
    folder="cifar-100-python",
    archive="cifar-100-python.tar.gz",
)
SOURCE = (CIFAR10, CIFAR100)
