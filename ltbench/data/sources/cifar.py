"""cifar10_lt and cifar100_lt: 32x32 colour, 50,000 training and 10,000 test images.

Two layouts are read. The authors' archive, by torchvision: addresses, file names and MD5s are its own, and the
batches are pickles, which are opened only after their MD5 has been found to be the original's. And the Parquet
files of the Hugging Face hub (uoft-cs/cifar10, uoft-cs/cifar100): the same images in the same order, so a cell's
digests are the same; its manifest says beside them which files were read.
"""

import tarfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ltbench.data.download import download
from ltbench.data.images import ImageSet
from ltbench.data.parquet import read_images, shards
from ltbench.data.resample import area_resample
from ltbench.data.source import READ_FROM, Source, Splits, Status, check_md5, file_md5, writing
from ltbench.errors import DataCorrupt, DataMissing
from ltbench.temporary import unpacking


@dataclass(frozen=True)
class Cifar(Source):
    """CIFAR-10 or CIFAR-100.

    Attributes
    ----------
    folder, archive : what the tar.gz unpacks to, and its name.
    hub_folder, hub_label : folder of the Parquet files in the hub's repository, and their column of labels.
    """

    folder: str = ""
    archive: str = ""
    hub_folder: str = ""
    hub_label: str = "label"

    def dataset_class(self) -> Any:
        """Return torchvision's class, which states address, files and MD5s."""
        from torchvision import datasets

        return {"cifar-10-batches-py": datasets.CIFAR10, "cifar-100-python": datasets.CIFAR100}[self.folder]

    def status(self, data_root: Path) -> Status:
        """Find the unpacked folder, else the archive, else Parquet files, in the data root or a folder of the set's name."""
        name = self.name.removesuffix("_lt")
        roots = (data_root, data_root / name)
        pickles = (*(root / self.folder for root in roots), *(root / self.archive for root in roots))
        hub = tuple(dict.fromkeys(root / self.hub_folder for root in (*roots, data_root / "uoft-cs" / name)))
        if data_root.resolve().name == self.folder:  # the folder itself was given
            return Status(data_root.is_dir(), (data_root,), data_root)
        if data_root.resolve().name == self.hub_folder and shards(data_root, "train"):
            return Status(True, (data_root,), data_root)
        at = next((path for path in pickles if path.is_dir() or path.is_file()), None)
        at = at or next((path for path in hub if shards(path, "train")), None)
        return Status(at is not None, (*pickles, *hub), at)

    def load(self, data_root: Path, image_size: int | None = None, content: str | None = None) -> Splits:
        """Read the images, downloading or unpacking the archive first where need be."""
        size, dataset = self.size(image_size), self.dataset_class()
        at = self.status(data_root).at
        if at is None:
            at = data_root / self.archive
            download(dataset.url, at, dataset.tgz_md5, self.advice(data_root))
        if at.name == self.hub_folder and shards(at, "train"):
            return self._from_hub(at, size)
        if at.name == self.archive:
            check_md5(at, dataset.tgz_md5)
            at = self._unpack(at)
        digests = self._digests()
        for name, md5 in digests.items():
            if not (at / name).is_file():
                raise DataMissing(f"{at / name} is missing: {self.advice(data_root)}")
            check_md5(at / name, md5)
        sets = []
        for train in (True, False):
            # torchvision asks for the folder above one of this name, which a link has or leads to
            named = at.absolute() if at.absolute().name == self.folder else at.resolve()
            files = dataset(str(named.parent), train=train)
            pixels = np.ascontiguousarray(np.asarray(files.data).transpose(0, 3, 1, 2))
            sets.append(ImageSet(area_resample(pixels, size), np.asarray(files.targets, np.int64)))
        names = tuple(name.replace("_", " ") for name in files.classes)
        provenance = {"files": digests, "resampling": "none" if size == 32 else f"area to {size}"}
        return Splits(sets[0], sets[0], sets[1], names, provenance)

    def _digests(self) -> dict[str, str]:
        """Return the MD5s of the authors' files, by which their content is known."""
        dataset = self.dataset_class()
        digests = dict((*dataset.train_list, *dataset.test_list))
        return digests | {dataset.meta["filename"]: dataset.meta["md5"]}

    def _from_hub(self, folder: Path, size: int) -> Splits:
        """Read the Parquet files; pixels that are not the authors' show in the digests of the sets."""
        sets: list[ImageSet] = []
        read: dict[str, str] = {}
        names = self.class_names
        for split in ("train", "test"):
            paths = shards(folder, split)
            if not paths:
                raise DataMissing(
                    f"{folder} holds no {split}-00000-of-00001.parquet: get it from the hub too"
                )
            split_set, stated = read_images(paths, "img", self.hub_label, (3, 32, 32), self.num_classes)
            expected = self.pool if split == "train" else None
            if expected and tuple(np.bincount(split_set.labels, minlength=self.num_classes)) != expected:
                raise DataCorrupt(
                    f"{folder}: its training images are not {self.title}'s: {len(split_set):,} of them"
                )
            sets.append(ImageSet(area_resample(split_set.images, size), split_set.labels))
            read |= {path.name: file_md5(path) for path in paths}
            names = stated or names
        provenance = {
            "files": self._digests(),
            "resampling": "none" if size == 32 else f"area to {size}",
            READ_FROM: read,
        }
        return Splits(sets[0], sets[0], sets[1], tuple(n.replace("_", " ") for n in names), provenance)

    def _unpack(self, archive: Path) -> Path:
        """Unpack beside the archive, under a temporary name first, and return the folder."""
        target = archive.parent / self.folder
        with writing(target), unpacking(archive.parent) as scratch:
            try:
                with tarfile.open(archive) as tar:
                    tar.extractall(scratch, filter="data")
                unpacked = scratch / self.folder
                if not unpacked.is_dir():
                    raise tarfile.ReadError(f"no {self.folder} in it")
                try:
                    unpacked.rename(target)
                except OSError:
                    if not target.is_dir():  # else another worker was faster
                        raise
            except (tarfile.TarError, EOFError) as error:
                raise DataCorrupt(
                    f"{archive} cannot be unpacked ({error}): delete it and get it again"
                ) from error
        return target


def _how_to_get(archive: str, md5: str, hub: str, folder: str) -> str:
    return (
        f"download https://www.cs.toronto.edu/~kriz/{archive} (md5 {md5}) and put it into DATA_ROOT, or "
        f"{folder}/train-00000-of-00001.parquet and test-00000-of-00001.parquet of huggingface.co/datasets/uoft-cs/{hub} "
        f"into DATA_ROOT/{hub}/{folder}"
    )


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
    how_to_get=_how_to_get(
        "cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a", "cifar10", "plain_text"
    ),
    folder="cifar-10-batches-py",
    archive="cifar-10-python.tar.gz",
    hub_folder="plain_text",
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

CIFAR100 = replace(
    CIFAR10,
    name="cifar100_lt",
    title="CIFAR-100, 32x32 colour",
    num_classes=100,
    class_names=tuple(" ".join(CIFAR100_NAMES.split()).split(", ")),
    pool=(500,) * 100,
    how_to_get=_how_to_get(
        "cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85", "cifar100", "cifar100"
    ),
    folder="cifar-100-python",
    archive="cifar-100-python.tar.gz",
    hub_folder="cifar100",
    hub_label="fine_label",
)
SOURCE = (CIFAR10, CIFAR100)
