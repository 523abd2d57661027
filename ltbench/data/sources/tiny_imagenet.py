"""tiny_imagenet_lt: 200 classes of 500 images at 64x64, made long-tailed by the rule of CIFAR-LT.

Read from ``tiny-imagenet-200.zip`` as Stanford ships it, or from the folder it unpacks to. Labels follow the WordNet
ids in alphabetical order, as torchvision's ImageFolder has them. Pool and reference are the training images, as in
CIFAR-LT, and the validation images, 50 a class, are held out.
"""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ltbench.data.class_folders import is_junk
from ltbench.data.image_file import printable
from ltbench.data.prepare.folder import Listing, PreparedSource, SourceImage
from ltbench.errors import DataCorrupt, DataMissing
from ltbench.files import decoding

FOLDER = "tiny-imagenet-200"


@dataclass(frozen=True)
class TinyImagenet(PreparedSource):
    """Tiny ImageNet (Stanford CS231n): train/WNID/images/*.JPEG, val/images with val_annotations.txt.

    Attributes
    ----------
    per_class
        Training and validation images of a class.
    """

    per_class: tuple[int, int] = (500, 50)

    def listing(self, path: Path, lists: Path | None) -> Listing:
        """Find the zip file or the folder at `path`, list the images."""
        root, prefix, members, read = self._open(path)
        try:
            wnids = sorted(read("wnids.txt").split())
            rows = [
                line.split("\t")[:2] for line in read("val/val_annotations.txt").splitlines() if line.strip()
            ]
            val = [(f"val/images/{name}", wnids.index(wnid)) for name, wnid in rows]
        except (KeyError, OSError, ValueError, UnicodeDecodeError) as error:
            raise DataCorrupt(
                f"{printable(root)} lacks a whole wnids.txt or val_annotations.txt ({error}): get {FOLDER}.zip again"
            ) from error
        train = []
        for member in members:
            parts = PurePosixPath(member).parts
            of_class = len(parts) == 4 and parts[0] == "train" and parts[2] == "images" and parts[1] in wnids
            if of_class and not is_junk(parts[3], is_folder=False):
                train.append((member, wnids.index(parts[1])))
        for what, entries, a_class in (
            ("training", train, self.per_class[0]),
            ("validation", val, self.per_class[1]),
        ):
            if len(entries) != a_class * self.num_classes or len(wnids) != self.num_classes:
                raise DataCorrupt(
                    f"{printable(root)} has {len(entries):,} {what} images of {len(wnids)} classes, not "
                    f"{a_class * self.num_classes:,} of {self.num_classes}: get {FOLDER}.zip again"
                )
        sets = {
            name: tuple(
                SourceImage(file, label) for file, label in sorted(entries, key=lambda row: (row[1], row[0]))
            )
            for name, entries in (("train", train), ("val", val))
        }
        roles = {"pool": "train", "reference": "train", "heldout": "val"}
        facts = {"labels": "WordNet ids in alphabetical order"}
        return Listing(root, sets, roles, tuple(wnids), facts, prefix)

    def _open(self, path: Path) -> tuple[Path, str, list[str], Callable[[str], str]]:
        """Return the root, the prefix inside a zip file, the members below it, and a reader of its texts."""
        for folder in (path, path / FOLDER):
            if (folder / "wnids.txt").is_file():
                files = [
                    p.relative_to(folder).as_posix()
                    for p in (folder / "train").glob("*/images/*")
                    if p.is_file()
                ]
                return (
                    folder,
                    "",
                    files,
                    lambda name, folder=folder: (folder / name).read_text(encoding="utf-8"),
                )
        archive = path if path.is_file() else path / f"{FOLDER}.zip"
        if not archive.is_file():
            raise DataMissing(f"{printable(path)} holds neither {FOLDER} nor {FOLDER}.zip: {self.how_to_get}")
        with (
            decoding(f"{printable(archive)} is truncated or no zip file", "get it again", DataCorrupt),
            zipfile.ZipFile(archive) as content,
        ):
            names = [name for name in content.namelist() if name.startswith(f"{FOLDER}/")]
            texts = {
                name: content.read(f"{FOLDER}/{name}").decode()
                for name in ("wnids.txt", "val/val_annotations.txt")
                if f"{FOLDER}/{name}" in names
            }
        members = [name.removeprefix(f"{FOLDER}/") for name in names if not name.endswith("/")]
        return archive, f"{FOLDER}/", members, texts.__getitem__


TINY_IMAGENET = TinyImagenet(
    name="tiny_imagenet_lt",
    title="Tiny-ImageNet-LT, 64x64 colour",
    num_classes=200,
    class_names=(),
    pool=(500,) * 200,
    channels=3,
    default_size=64,
    sizes=tuple(range(8, 65)),
    flip_allowed=True,
    licence="non-commercial research (ImageNet terms)",
    how_to_get="get http://cs231n.stanford.edu/tiny-imagenet-200.zip and run `ltbench data prepare tiny_imagenet_lt "
    "--source ZIP_OR_FOLDER`",
)
SOURCE = TINY_IMAGENET
