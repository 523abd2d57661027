"""imagenet_lt: 1,000 classes, 115,846 images at 64x64, long-tailed by the official list.

The list is that of Liu et al. (OLTR, CVPR 2019), 1,280 images in the largest class and 5 in the smallest;
lists are recognised by their git blob id. Reference and held-out set are the official validation list, 20 a
class, also taken from ImageNet's training images. The user brings ImageNet and the lists.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ltbench.data.prepare.folder import Listing, PreparedSource, SourceImage
from ltbench.errors import DataCorrupt, DataMissing

TRAIN_LIST, VAL_LIST = "ImageNet_LT_train.txt", "ImageNet_LT_val.txt"


def git_blob_id(content: bytes) -> str:
    """Return the id git gives a file: SHA-1 of ``blob SIZE``, a zero byte and the content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass(frozen=True)
class ImagenetLt(PreparedSource):
    """ImageNet's training images by the official long-tailed list.

    Attributes
    ----------
    blobs
        List name -> git blob id.
    sizes_stated
        List name -> (images, in the largest class, in the smallest).
    """

    blobs: tuple[tuple[str, str], ...] = (
        (TRAIN_LIST, "a063f095fcd475db4cf8b0658c4b73955535bbf9"),
        (VAL_LIST, "3ed3188b2f44829ce2dec1cc27040d8d40984088"),
    )
    sizes_stated: tuple[tuple[int, int, int], ...] = ((115_846, 1280, 5), (20_000, 20, 20))

    def listing(self, path: Path, lists: Path | None) -> Listing:
        """Check the lists, find ImageNet at `path`, list the images."""
        rows = []
        for (name, blob), stated in zip(self.blobs, self.sizes_stated, strict=True):
            rows.append(self._read_list(self._find_list(name, path, lists), blob, stated))
        names = {label: file.split("/")[1] for file, label in rows[0]}
        root = self._find_images(path, rows[0][0][0])
        sets, missing = {}, []
        for set_name, content in zip(("train", "val"), rows, strict=True):
            missing += [root / file for file, _ in content if not (root / file).is_file()]
            entries = [SourceImage(file, label) for file, label in content]
            sets[set_name] = tuple(entries)
        if missing:
            raise DataMissing(
                f"{missing[0]} is missing ({len(missing)} of the lists' {sum(map(len, rows))} images are): "
                "complete ImageNet's train folder"
            )
        roles = {"pool": "train", "reference": "val", "heldout": "val"}
        facts = {"lists": dict(self.blobs), "reference": "the official validation list"}
        class_names = tuple(names[label] for label in range(len(names)))
        return Listing(root, sets, roles, class_names, facts)

    def _find_list(self, name: str, path: Path, lists: Path | None) -> Path:
        folders = (path, path / "ImageNet_LT") if lists is None else (Path(lists),)
        for folder in folders:
            if (folder / name).is_file():
                return folder / name
        raise DataMissing(
            f"{folders[0] / name} is missing: get it from github.com/zhmiao/OpenLongTailRecognition-OLTR "
            "and say where it lies with --lists"
        )

    def _read_list(self, path: Path, blob: str, stated: tuple[int, int, int]) -> list[tuple[str, int]]:
        content = path.read_bytes()
        if git_blob_id(content) != blob:
            raise DataCorrupt(
                f"{path} is not the official list (git blob {git_blob_id(content)}, expected {blob}): "
                "get it again, unedited and with its line ends"
            )
        rows = [(file, int(label)) for file, label in map(str.split, content.decode().splitlines())]
        counts = Counter(label for _, label in rows)
        counted = (len(rows), max(counts.values()), min(counts.values()))
        if counted != stated or sorted(counts) != list(range(self.num_classes)):
            raise DataCorrupt(
                f"{path} has {counted} images in all and in its largest and smallest class, not {stated}"
            )
        return rows

    def _find_images(self, path: Path, first: str) -> Path:
        """Return the folder below which the list's ``train/WNID/FILE`` lie."""
        for root in (path, path / "ILSVRC" / "Data" / "CLS-LOC", path / "Data" / "CLS-LOC", path.parent):
            if (root / Path(first).parent).is_dir():
                return root
        raise DataMissing(
            f"{path} has no folder {Path(first).parent}: give the folder that holds ImageNet's train folder"
        )


IMAGENET_LT = ImagenetLt(
    name="imagenet_lt",
    title="ImageNet-LT, 64x64 colour",
    num_classes=1000,
    class_names=(),
    pool=(),
    channels=3,
    default_size=64,
    sizes=tuple(range(8, 257)),
    flip_allowed=True,
    licence="non-commercial research (ImageNet terms)",
    how_to_get="get ImageNet from image-net.org and the two lists from "
    "github.com/zhmiao/OpenLongTailRecognition-OLTR, and run "
    "`ltbench data prepare imagenet_lt --source IMAGENET --lists FOLDER`",
    default_profile="asis",
    grouping="shots",
)
SOURCE = IMAGENET_LT
