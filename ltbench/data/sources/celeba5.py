"""celeba5: five hair classes of CelebA, 64x64 colour, long-tailed by nature.

``celeba5.csv`` is the public split of Kim, Jeong and Shin (M2m, CVPR 2020): 6,651 training images of ratio
10.7, 50 validation and 100 test images a class. CORAL did not release its split; this one is very likely it.
The class names are inferred from CelebA's attributes. The reference is validation and test.

The split lists 210 images twice, under two labels (hair can be both gray and absent), and 32 of validation
and test, 28 of them bald, are training images under another label. It is kept as published, so that counts and
reference are everybody's; but the held-out set leaves those 32 out, for real images that were trained on
would pass for memorised ones.
"""

import csv
import zipfile
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from ltbench.data.prepare.folder import Listing, PreparedSource, SourceImage
from ltbench.errors import DataCorrupt, DataMissing
from ltbench.files import decoding

FOLDER = "img_align_celeba"
BELOW = (
    "",
    FOLDER,
    f"celeba/{FOLDER}",
    f"Img/{FOLDER}",
    f"{FOLDER}/{FOLDER}",
)  # torchvision, authors, Kaggle
_PREFIXES = (f"{FOLDER}/", f"{FOLDER}/{FOLDER}/", "")  # inside a zip file


@dataclass(frozen=True)
class Celeba5(PreparedSource):
    """CelebA's aligned images (178x218), from their folder, their zip file, or torchvision's layout.

    Attributes
    ----------
    split
        Package data file with columns split, filename, label.
    """

    split: str = "celeba5.csv"

    def split_rows(self) -> list[tuple[str, str, int]]:
        """Return (split, file name, label) of every image."""
        text = (files("ltbench.data") / self.split).read_text(encoding="utf-8")
        return [
            (row["split"], row["filename"], int(row["label"])) for row in csv.DictReader(text.splitlines())
        ]

    def listing(self, path: Path, lists: Path | None) -> Listing:
        """Find the aligned images at `path` and list the split's."""
        rows = self.split_rows()
        root, prefix, sizes = self._images(path, {name for _, name, _ in rows})
        names = dict.fromkeys(name for _, name, _ in rows)
        missing = [name for name in names if name not in sizes]
        if missing:
            raise DataMissing(
                f"{root / prefix / missing[0]} is missing ({len(missing)} of the split's {len(names)} images are): "
                f"get CelebA's {FOLDER}.zip again"
            )

        def entries(*splits: str) -> tuple[SourceImage, ...]:
            return tuple(SourceImage(n, label) for split, n, label in rows if split in splits)

        sets = {"train": entries("train"), "val_test": entries("val", "test")}
        trained = {entry.file for entry in sets["train"]}
        sets["heldout"] = tuple(entry for entry in sets["val_test"] if entry.file not in trained)
        roles = {"pool": "train", "reference": "val_test", "heldout": "heldout"}
        facts = {"split": "M2m (Kim et al., CVPR 2020)"}
        return Listing(root, sets, roles, self.class_names, facts, prefix)

    def _images(self, path: Path, names: set[str]) -> tuple[Path, str, dict[str, int]]:
        """Return the root, the prefix of names below it, and the sizes in bytes of those that are there."""
        if path.is_dir():
            for below in BELOW:
                folder = path / below
                if any((folder / name).is_file() for name in names):
                    files = ((name, folder / name) for name in names)
                    return folder, "", {name: file.stat().st_size for name, file in files if file.is_file()}
        archives = [path] if path.is_file() else [path / f"{below}.zip" for below in BELOW[1:]]
        for archive in archives:
            if archive.is_file():
                with (
                    decoding(f"{archive} is truncated or no zip file", "get it again", DataCorrupt),
                    zipfile.ZipFile(archive) as content,
                ):
                    members = {info.filename: info.file_size for info in content.infolist()}
                for prefix in _PREFIXES:
                    sizes = {name: members[prefix + name] for name in names if prefix + name in members}
                    if sizes:
                        return archive, prefix, sizes
        raise DataMissing(
            f"{path} holds none of CelebA's aligned images: give {FOLDER}.zip or the folder it unpacks to"
        )


CELEBA5 = Celeba5(
    name="celeba5",
    title="CelebA-5 (hair), 64x64 colour",
    num_classes=5,
    class_names=("gray hair", "black hair", "blond hair", "brown hair", "bald"),
    pool=(424, 2423, 1499, 2078, 227),
    channels=3,
    default_size=64,
    sizes=tuple(range(8, 257)),
    flip_allowed=True,
    licence="non-commercial research (CelebA agreement)",
    how_to_get="get img_align_celeba.zip from mmlab.ie.cuhk.edu.hk/projects/CelebA.html and run "
    "`ltbench data prepare celeba5 --source FOLDER_OR_ZIP`",
    default_profile="asis",
)
SOURCE = CELEBA5
