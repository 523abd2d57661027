"""Images made elsewhere, from an array file or a folder to uint8 images and labels; recognised or refused.

``.npy`` / ``.npz`` / ``.safetensors`` arrays (NCHW or NHWC; uint8, [0, 1] or [-1, 1]), a folder of class
folders, or one of images, which have no labels then. What is recognised is stated; what could mean two things is
refused. Images are never resized.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ltbench.data import Dataset
from ltbench.data.image_file import printable
from ltbench.errors import DataCorrupt, DataMissing, UsageError
from ltbench.files import check_regular, read_text
from ltbench.interop.arrays import SUFFIXES, ArrayFile
from ltbench.interop.pixel_values import RANGES, shape_text, to_nchw, to_uint8
from ltbench.interop.sample_folder import read_folder
from ltbench.specs import UNLABELLED

IMAGE_NAMES = ("images", "samples", "x", "arr_0")  # arr_0, arr_1: numpy's names of unnamed arrays
LABEL_NAMES = ("labels", "label", "y", "arr_1")


@dataclass(frozen=True)
class ExternalSamples:
    """Samples as the harness keeps them.

    Attributes
    ----------
    images, labels
        (N,C,H,W) uint8 and (N,) int64, all `UNLABELLED` where there are none.
    recognised
        How the file was read, in words.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    recognised: str


def read_samples(
    path: Path, dataset: Dataset, labels: Path | None = None, value_range: str | None = None
) -> ExternalSamples:
    """Read samples of a data cell's classes.

    Parameters
    ----------
    path
        An array file, a folder of class folders (named by label or by class name), or a folder of images.
    dataset
        Says which channels, size and classes the images must have.
    labels
        A ``.npy`` file, or text with one label a line, where `path` does not hold them. Images without
        labels are read too: they are scored as one set.
    value_range
        ``uint8``, ``0..1`` or ``-1..1``, where the values alone do not tell.

    Raises
    ------
    UsageError, DataMissing, DataCorrupt
        One sentence that names what is wrong or ambiguous and how to say what is meant.
    """
    if value_range is not None and value_range not in RANGES:
        raise UsageError(f"--range takes {', '.join(RANGES)}, not {value_range!r}")
    if not path.exists():
        raise DataMissing(
            f"{printable(path)} does not exist: give an array file, a folder of class folders or one of images"
        )
    if path.is_dir():
        if labels is not None:
            raise UsageError(
                f"{path} is a folder, whose class folders are its labels: leave --labels out, which goes with an array file"
            )
        images, made_for, how = read_folder(path, dataset)
        if made_for is not None:
            return ExternalSamples(images, _all_classes(path, made_for, dataset), how)
        without = _WITHOUT.format("put each class into a folder of its own")
        return ExternalSamples(images, _unlabelled(path, len(images)), how + without)
    arrays = ArrayFile(path)
    raw, layout = to_nchw(path, _pick(arrays, IMAGE_NAMES, "images"), dataset)
    own = _labels_in(arrays)
    given = own if labels is None else _read_labels(labels)
    if labels is not None and own is not None:
        _refuse_other_labels(path, own, labels, given)
    checked = (
        _unlabelled(path, len(raw))
        if given is None
        else _check_labels(labels or path, given, len(raw), dataset)
    )
    images, meaning = to_uint8(path, raw, value_range)
    without = _WITHOUT.format(_how_to_label(arrays)) if given is None else ""
    return ExternalSamples(images, checked, f"{layout}, {meaning}{without}")


_WITHOUT = "; they have no labels, so they are scored as one set and not by class: {} where you have them"


def _unlabelled(path: Path, count: int) -> NDArray[np.int64]:
    if not count:
        raise DataCorrupt(f"{path} holds no image: score at least a few")
    return np.full(count, UNLABELLED, np.int64)


def _how_to_label(arrays: ArrayFile) -> str:
    """Return how labels are added to an array file; an array of it that may hold them is named."""
    others = sorted(set(arrays.names) - set(IMAGE_NAMES))
    where = f", as {' or '.join(others)} is called if it holds them," if others else ""
    return f"add them as 'labels'{where} or give --labels"


def _refuse_other_labels(path: Path, own: NDArray[Any], labels: Path, given: NDArray[Any] | None) -> None:
    """Raise `UsageError` where ``--labels`` contradicts the labels that the samples' file holds."""
    if given is None or not np.array_equal(own, given):
        raise UsageError(
            f"{printable(path)} holds labels of its own, and {printable(labels)} others: leave --labels out, or "
            "save the images without theirs"
        )


# -- arrays -----------------------------------------------------------------------------------------


def _pick(arrays: ArrayFile, names: tuple[str, ...], what: str) -> NDArray[Any]:
    matching = [name for name in names if name in arrays.names]
    if len(matching) != 1:
        there = ", ".join(sorted(arrays.names)) or "nothing"
        raise UsageError(
            f"{printable(arrays.path)} holds {there}: call the array of {what} {what!r}, and only that one (known "
            f"are {', '.join(names)})"
        )
    return arrays.read(matching[0])


def _labels_in(arrays: ArrayFile) -> NDArray[Any] | None:
    """Return the labels beside the images, or None where there are none."""
    if not any(name in arrays.names for name in LABEL_NAMES):
        return None
    return _pick(arrays, LABEL_NAMES, "labels")


def _read_labels(path: Path) -> NDArray[Any]:
    """Read ``--labels``: a ``.npy`` file, or text with one whole number a line."""
    check_regular(path, DataMissing)
    advice = "give a .npy file, or text with one whole number a line"
    if path.suffix.lower() in SUFFIXES:
        try:
            arrays = ArrayFile(path)
            name = arrays.names[0] if len(arrays.names) == 1 else None
            return _pick(arrays, LABEL_NAMES, "labels") if name is None else arrays.read(name)
        except DataCorrupt as error:
            raise DataCorrupt(f"{printable(path)} holds no labels: {advice}") from error
    try:
        lines = read_text(path, DataCorrupt).splitlines()
    except DataCorrupt as error:
        raise DataCorrupt(
            f"{printable(path)} holds no labels that can be read: {advice}, in UTF-8"
        ) from error
    labels = []
    for number, line in enumerate(lines, 1):
        for word in line.replace(",", " ").split():
            if not re.fullmatch(r"[+-]?[0-9]{1,18}", word):
                raise DataCorrupt(
                    f"{printable(path)} holds no labels: line {number} is {line.strip()[:40]!r}; {advice}"
                )
            labels.append(int(word))
    if not labels:
        raise DataCorrupt(f"{printable(path)} holds no labels: {advice}")
    return np.array(labels, np.int64)


def _check_labels(path: Path, labels: NDArray[Any], count: int, dataset: Dataset) -> NDArray[np.int64]:
    """Return the labels as int64 after comparing them with the images and the classes."""
    k = dataset.num_classes
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise DataCorrupt(f"{path}: labels must be one whole number an image, not {shape_text(labels)}")
    if len(labels) != count:
        raise DataCorrupt(f"{path} has {len(labels)} labels for {count} images: give one an image")
    if not count:
        raise DataCorrupt(f"{path} holds no image: score at least a few of every class")
    if labels.min() < 0 or labels.max() >= k:
        odd = labels.max() if labels.max() >= k else labels.min()
        raise DataCorrupt(f"{path} has a label {odd}, but {dataset.spec.dataset} has classes 0..{k - 1}")
    return _all_classes(path, labels.astype(np.int64), dataset)


def _all_classes(path: Path, labels: NDArray[np.int64], dataset: Dataset) -> NDArray[np.int64]:
    counts = np.bincount(labels, minlength=dataset.num_classes)
    if not counts.all():
        first = int(counts.argmin())
        raise DataCorrupt(
            f"{path} has no image of class {first} ({dataset.class_names[first]}): sample every class"
        )
    return labels
