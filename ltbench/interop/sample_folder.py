"""A folder as a data set's samples: images at its size, labels from the names of class folders where it has some."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ltbench.data import Dataset
from ltbench.data.class_folders import (
    HELD_OUT_NAMES,
    TRAIN_NAMES,
    Scan,
    class_names,
    images_below,
    is_split,
    plain,
    read_level,
    skipped_in_words,
)
from ltbench.data.image_file import GROUND, Tally, all_at_once, decode, pixels_of, printable
from ltbench.errors import DataCorrupt, UsageError
from ltbench.specs import UNLABELLED


def read_folder(path: Path, dataset: Dataset) -> tuple[NDArray[np.uint8], NDArray[np.int64] | None, str]:
    """Read class folders as `data prepare` reads them, or a folder of images and no folder, which has no labels.

    Parameters
    ----------
    path
        The folder; sub-folders are named by class or by label.
    dataset
        Says which classes, channels and size the images must have.

    Returns
    -------
    images : (N,C,H,W) uint8
    labels : (N,) int64, or None
    how : str
        How the folder was read, in words.

    Raises
    ------
    UsageError
        A folder is no class, or two are one.
    DataCorrupt
        Names every file that cannot be used.
    """
    scan = Scan()
    level = read_level(path, Scan())
    flat = bool(level.files) and not level.folders
    if flat:
        files = [(file, UNLABELLED) for file in images_below(path, scan)]
    else:
        _refuse_parts(path, level.folders, dataset)
        labels_of, way = _labels_of(path, class_names(path, scan), dataset)
        files = [
            (file, label)
            for name, label in sorted(labels_of.items(), key=lambda item: item[1])
            for file in images_below(path / name, scan)
        ]
    ground = getattr(dataset, "manifest", {}).get("source", {}).get("ground") or GROUND
    images = np.empty((len(files), *dataset.shape), np.uint8)
    problems, tally = list(scan.problems), Tally()
    for row, (file, _) in enumerate(files):
        try:
            images[row] = _read_image(file, dataset, ground, tally)
        except DataCorrupt as error:
            problems.append(str(error))
    if unusable := all_at_once(problems):
        raise unusable
    labels = None if flat else np.array([label for _, label in files], np.int64)
    notes = [*tally.sentences(ground), *scan.left_out(), *skipped_in_words(scan.skipped)]
    what = "a folder of images" if flat else f"a folder of class folders, named {way}"
    return images, labels, "; ".join((what, *notes))


def _refuse_parts(path: Path, names: Sequence[str], dataset: Dataset) -> None:
    """Refuse a folder that holds a data set's parts, each with class folders: samples are one of them."""
    known = {plain(name) for name in dataset.class_names}
    if all(plain(name) in known for name in names):
        return
    parts = [
        name for name in names if is_split(path, name, TRAIN_NAMES) or is_split(path, name, HELD_OUT_NAMES)
    ]
    if parts:
        shown = " and ".join(printable(name) for name in parts)
        raise UsageError(
            f"{printable(path)} holds {shown}, with class folders inside: samples are one folder of class folders, so "
            f"give one of them, such as {printable(path / parts[0])}"
        )


def _labels_of(path: Path, names: tuple[str, ...], dataset: Dataset) -> tuple[dict[str, int], str]:
    """Return class folder -> label and how: all are named by class, else all by label.

    Where both fit (classes 1, 2, 3 in a set whose labels are 0, 1, 2) names of classes are meant.
    """
    known = _by_class(names, dataset.class_names)
    if len(known) == len(names):
        return _one_each(path, known), "by class"
    if all(re.fullmatch(r"[0-9]{1,9}", name) and int(name) < dataset.num_classes for name in names):
        return _one_each(path, {name: int(name) for name in names}), "by label"
    if not known:
        odd = next((n for n in names if not (n.isdecimal() and int(n) < dataset.num_classes)), names[0])
    else:
        odd = next(
            (n for n in names if n not in known and not (n.isdecimal() and int(n) < dataset.num_classes)),
            next(n for n in names if n not in known),
        )
    shown = ", ".join(dataset.class_names[:10]) + (", ..." if dataset.num_classes > 10 else "")
    raise UsageError(
        f"{printable(path / odd)} is no class of {dataset.spec.dataset}: name its folders 0..{dataset.num_classes - 1} or "
        f"{shown}"
    )


def _by_class(names: Sequence[str], classes: Sequence[str]) -> dict[str, int]:
    """Return folder -> label of the class it is spelt as: exactly, else nearly, where that is one class only."""
    known: dict[str, int] = {}
    for alike in (printable, _composed, lambda text: _composed(text).casefold(), _key):
        labels: dict[str, list[int]] = {}
        for label, name in enumerate(classes):
            labels.setdefault(alike(name), []).append(label)
        for name in names:
            found = labels.get(alike(name), []) if alike(name) and name not in known else []
            if len(found) == 1:
                known[name] = found[0]
    return known


def _composed(name: str) -> str:
    """Return a name with each letter and its accents as one, as most systems write it (NFC)."""
    return unicodedata.normalize("NFC", printable(name))


def _key(name: str) -> str:
    """Return what two spellings of a class have in common: ``CAT`` and ``cat``, ``02`` and ``2``."""
    letters = plain(name)
    return str(int(letters)) if re.fullmatch(r"[0-9]+", letters) else letters


def _one_each(path: Path, labels: dict[str, int]) -> dict[str, int]:
    """Refuse two folders of one class."""
    first: dict[int, str] = {}
    for name, label in labels.items():
        if label in first:
            raise UsageError(
                f"{printable(path)} has two folders of one class, {printable(first[label])} and {printable(name)}: "
                "put their images together"
            )
        first[label] = name
    return labels


def _read_image(file: Path, dataset: Dataset, ground: str, tally: Tally) -> NDArray[np.uint8]:
    channels, size, _ = dataset.shape
    decoded = decode(file.read_bytes(), printable(file), channels, ground)
    wide, high = decoded.image.size
    if (wide, high) != (size, size):
        raise DataCorrupt(
            f"{printable(file)} is {wide}x{high}, but {dataset.spec.dataset}'s images are {size}x{size} here: samples are "
            f"compared as they are, so make them that size, or set data.image_size"
        )
    tally.add(decoded)
    return pixels_of(decoded.image)
