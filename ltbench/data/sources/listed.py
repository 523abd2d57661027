"""places_lt and inaturalist2018: long-tailed by their authors' lists of images, which the user brings.

Places-LT (Liu et al., OLTR, CVPR 2019): 62,500 training images of 365 classes, 4,980 to 5 a class; 20 a class for
validation. iNaturalist 2018 (Van Horn et al., CVPR 2018): 437,513 training images of 8,142 species, 1,000 to 2 a
class; 3 a class for validation. Reference and held-out set are the validation list.
"""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from ltbench.data.image_file import printable
from ltbench.data.lists import labelled, read_list
from ltbench.data.prepare.folder import Listing, PreparedSource, SourceImage
from ltbench.errors import DataCorrupt, DataMissing


@dataclass(frozen=True)
class ListedSource(PreparedSource):
    """Images below one folder, named by a training and a validation list.

    Attributes
    ----------
    train_list, val_list
        Names of the lists.
    stated
        Images of the training list in all, in its largest and its smallest class.
    """

    train_list: str = ""
    val_list: str = ""
    stated: tuple[int, int, int] = (0, 0, 0)

    def listing(self, path: Path, lists: Path | None) -> Listing:
        """Read the lists, find their images below `path`."""
        folder = path if lists is None else Path(lists)
        files = [self._list(folder, name) for name in (self.train_list, self.val_list)]
        (train, val), names = labelled(files[0], [read_list(file) for file in files])
        counts = Counter(label for _, label in train)
        counted = (len(train), max(counts.values()), min(counts.values()))
        if counted != self.stated or len(names) != self.num_classes:
            raise DataCorrupt(
                f"{printable(files[0])} has {counted} images in all and in its largest and smallest of {len(names)} "
                f"classes, not {self.stated} of {self.num_classes}: get the authors' list again"
            )
        absent = [file for file, _ in (*train, *val) if not (path / file).is_file()]
        if absent:
            raise DataMissing(
                f"{printable(path / absent[0])} is missing ({len(absent):,} of the lists' {len(train) + len(val):,} "
                f"images are): give the folder below which the lists' paths lie with --source"
            )
        sets = {
            name: tuple(SourceImage(file, label) for file, label in rows)
            for name, rows in (("train", train), ("val", val))
        }
        roles = {"pool": "train", "reference": "val", "heldout": "val"}
        return Listing(path, sets, roles, names, {"reference": f"the validation list {self.val_list}"})

    def _list(self, folder: Path, name: str) -> Path:
        if not (folder / name).is_file():
            raise DataMissing(f"{printable(folder / name)} is missing: {self.how_to_get}")
        return folder / name


PLACES_LT = ListedSource(
    name="places_lt",
    title="Places-LT, 64x64 colour",
    num_classes=365,
    class_names=(),
    pool=(),
    channels=3,
    default_size=64,
    sizes=tuple(range(8, 257)),
    flip_allowed=True,
    licence="non-commercial research (Places terms)",
    how_to_get="get Places365 (256x256) from places2.csail.mit.edu and Places_LT_train.txt and Places_LT_val.txt from "
    "github.com/zhmiao/OpenLongTailRecognition-OLTR, and run `ltbench data prepare places_lt --source PLACES --lists "
    "FOLDER`",
    default_profile="asis",
    grouping="shots",
    train_list="Places_LT_train.txt",
    val_list="Places_LT_val.txt",
    stated=(62_500, 4980, 5),
)

INATURALIST2018 = replace(
    PLACES_LT,
    name="inaturalist2018",
    title="iNaturalist 2018, 64x64 colour",
    num_classes=8142,
    licence="non-commercial research (iNaturalist competition terms)",
    how_to_get="get train_val2018 from github.com/visipedia/inat_comp and iNaturalist18_train.txt and "
    "iNaturalist18_val.txt from github.com/facebookresearch/classifier-balancing, and run `ltbench data prepare "
    "inaturalist2018 --source FOLDER --lists FOLDER`",
    train_list="iNaturalist18_train.txt",
    val_list="iNaturalist18_val.txt",
    stated=(437_513, 1000, 2),
)
SOURCE = (PLACES_LT, INATURALIST2018)
