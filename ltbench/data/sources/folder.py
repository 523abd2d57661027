"""folder_lt: any folder of class folders, at any size.

Two layouts are understood. With ``train/CLASS/...`` beside ``val/``, ``valid/``, ``validation/``, ``test/``
or ``heldout/``: the pool is train, reference and held-out set are all the others together. With ``CLASS/...``
alone: ``RandomState(0)`` holds out a fifth of the smallest class from every class, the rest is the pool, and
the reference is the pool cut to as many images of every class as its smallest has (scores compare classes,
so they need references of one size).
"""

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ltbench.data.longtail import select
from ltbench.data.prepare.folder import Entry, Listing, PreparedSource
from ltbench.data.source import Status
from ltbench.errors import DataMissing, UsageError
from ltbench.spec import DataSpec

HELD_OUT_NAMES = ("val", "valid", "validation", "test", "heldout")
HELD_OUT_SHARE = 5  # a fifth


def _subfolders(folder: Path) -> list[str]:
    return sorted(
        entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith(".")
    )


def _images(root: Path, class_folder: Path, label: int) -> list[Entry]:
    """Return every file below a class folder but the hidden ones, in the order of their names.

    Nothing is passed over by its ending: a file that is no image must be noticed, not dropped.
    """
    found = []
    for folder, names, files in os.walk(class_folder, followlinks=True):
        names[:] = sorted(name for name in names if not name.startswith("."))
        for name in files:
            if not name.startswith("."):
                path = Path(folder, name)
                found.append(Entry(path.relative_to(root).as_posix(), label, path.stat().st_size))
    if not found:
        raise DataMissing(f"{class_folder} holds no image: every class folder needs some")
    return sorted(found)


@dataclass(frozen=True)
class FolderLt(PreparedSource):
    """A user's own images; the class names are the folders' names in alphabetical order."""

    def folder_stem(self, path: Path) -> str:
        """Return ``folder_lt-`` and the source folder's name."""
        return f"{self.name}-{re.sub(r'[^A-Za-z0-9_.]+', '_', path.resolve().name) or 'root'}"

    def status(self, data_root: Path) -> Status:
        """Look for a prepared folder of any name."""
        found = super().status(data_root)
        return replace(found, looked=(data_root / "prepared" / f"{self.name}-*",))

    def default_image_size(self, image_size: int | None) -> int | None:
        """Return the size asked for; None: whichever is prepared."""
        return None if image_size is None else self.size(image_size)

    def resolve(self, data: DataSpec, data_root: Path) -> DataSpec:
        """Return the spec with the prepared folder's full hash, its size and, for the profile asis, its ratio."""
        folder = self.choose(data_root, data.image_size, data.content)
        update: dict[str, Any] = {"content": folder.hash, "image_size": folder.image_size}
        if data.profile == "asis":
            counts = folder.counts("pool")
            update["imbalance_ratio"] = float(f"{min(counts) / max(counts):.4g}")
        return data.model_copy(update=update)

    def listing(self, path: Path, lists: Path | None) -> Listing:
        """List the images of either layout."""
        if not path.is_dir():
            raise UsageError(f"{path} is no folder: give a folder of class folders")
        top = _subfolders(path)
        others = [name for name in top if name in HELD_OUT_NAMES]
        if "train" in top and others and len(others) == len(top) - 1:
            return self._split(path, others)
        return self._whole(path, top)

    def _split(self, path: Path, others: list[str]) -> Listing:
        names = self._classes(path / "train", _subfolders(path / "train"))
        heldout: list[Entry] = []
        for other in others:
            if set(_subfolders(path / other)) != set(names):
                odd = sorted(set(_subfolders(path / other)) ^ set(names))[0]
                raise UsageError(
                    f"{path} has class folder {odd} in only one of train and {other}: both need it"
                )
            heldout += [e for k, name in enumerate(names) for e in _images(path, path / other / name, k)]
        train = [entry for k, name in enumerate(names) for entry in _images(path, path / "train" / name, k)]
        roles = {"pool": "train", "reference": "heldout", "heldout": "heldout"}
        facts = {"split": f"train | {' + '.join(others)}"}
        return Listing(path, {"train": tuple(train), "heldout": tuple(heldout)}, roles, names, facts)

    def _whole(self, path: Path, top: list[str]) -> Listing:
        names = self._classes(path, top)
        entries = [entry for k, name in enumerate(names) for entry in _images(path, path / name, k)]
        labels = np.array([entry.label for entry in entries])
        counts = np.bincount(labels)
        if counts.min() < 2:
            raise UsageError(
                f"{path / names[int(counts.argmin())]} has one image: two are needed, one is held out"
            )
        a_class = max(1, int(counts.min()) // HELD_OUT_SHARE)
        out = set(select(labels, [a_class] * len(names), split_seed=0).tolist())
        train = tuple(entry for i, entry in enumerate(entries) if i not in out)
        heldout = tuple(entries[i] for i in sorted(out))
        roles = {"pool": "train", "reference": "train, balanced", "heldout": "heldout"}
        facts = {"split": f"RandomState(0), {a_class} a class held out"}
        return Listing(path, {"train": train, "heldout": heldout}, roles, names, facts)

    def _classes(self, path: Path, names: list[str]) -> tuple[str, ...]:
        if len(names) < 2:
            raise UsageError(f"{path} has {len(names)} class folders: at least two are needed")
        return tuple(names)


FOLDER_LT = FolderLt(
    name="folder_lt",
    title="your own folder of class folders, colour",
    num_classes=0,
    class_names=(),
    pool=(),
    channels=3,
    default_size=32,
    sizes=tuple(range(8, 257)),
    flip_allowed=True,
    licence="yours",
    how_to_get="run `ltbench data prepare folder_lt --source FOLDER`",
    default_profile="asis",
)
SOURCE = FOLDER_LT
