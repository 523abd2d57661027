"""Images made elsewhere: read, recognised or refused, and kept as a sample set that reports show beside ours.

``.npy`` / ``.npz`` / ``.safetensors`` arrays (NCHW or NHWC; uint8, [0, 1] or [-1, 1]), a folder of class
folders, or one of images, which have no labels then. What is recognised is stated; what could mean two things is
refused. Images are never resized.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ltbench.data import Dataset
from ltbench.data.class_folders import Scan, class_names, images_below, plain, read_level
from ltbench.data.image_file import GROUND, Tally, all_at_once, decode, pixels_of, printable
from ltbench.errors import DataCorrupt, DataMissing, UsageError
from ltbench.files import check_regular, read_text
from ltbench.interop.arrays import SUFFIXES, ArrayFile
from ltbench.spec import UNLABELLED

RANGES = ("uint8", "0..1", "-1..1")
IMAGE_NAMES = ("images", "samples", "x", "arr_0")  # arr_0, arr_1: numpy's names of unnamed arrays
LABEL_NAMES = ("labels", "label", "y", "arr_1")
_ROWS = 1024  # images converted at a time


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
    path: Path, cell: Dataset, labels: Path | None = None, value_range: str | None = None
) -> ExternalSamples:
    """Read samples of a data cell's classes.

    Parameters
    ----------
    path
        An array file, a folder of class folders (named by label or by class name), or a folder of images.
    cell
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
        return _read_folder(path, cell)
    arrays = ArrayFile(path)
    raw = _pick(arrays, IMAGE_NAMES, "images")
    given = _read_labels(labels) if labels is not None else _labels_in(arrays)
    checked = (
        _unlabelled(path, len(raw)) if given is None else _check_labels(labels or path, given, len(raw), cell)
    )
    raw, layout = _to_nchw(path, raw, cell)
    images, meaning = _to_uint8(path, raw, value_range)
    without = _WITHOUT.format("add them as 'labels' or give --labels") if given is None else ""
    return ExternalSamples(images, checked, f"{layout}, {meaning}{without}")


_WITHOUT = "; they have no labels, so they are scored as one set and not by class: {} where you have them"


def _unlabelled(path: Path, count: int) -> NDArray[np.int64]:
    if not count:
        raise DataCorrupt(f"{path} holds no image: score at least a few")
    return np.full(count, UNLABELLED, np.int64)


# -- arrays -----------------------------------------------------------------------------------------


def _pick(arrays: ArrayFile, names: tuple[str, ...], what: str) -> NDArray[Any]:
    found = [name for name in names if name in arrays.names]
    if len(found) != 1:
        there = ", ".join(sorted(arrays.names)) or "nothing"
        raise UsageError(
            f"{printable(arrays.path)} holds {there}: call the array of {what} {what!r}, and only that one (known "
            f"are {', '.join(names)})"
        )
    return arrays.read(found[0])


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


def _check_labels(path: Path, labels: NDArray[Any], count: int, cell: Dataset) -> NDArray[np.int64]:
    """Return the labels as int64 after comparing them with the images and the classes."""
    k = cell.num_classes
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise DataCorrupt(f"{path}: labels must be one whole number an image, not {_shape(labels)}")
    if len(labels) != count:
        raise DataCorrupt(f"{path} has {len(labels)} labels for {count} images: give one an image")
    if not count:
        raise DataCorrupt(f"{path} holds no image: score at least a few of every class")
    if labels.min() < 0 or labels.max() >= k:
        odd = labels.max() if labels.max() >= k else labels.min()
        raise DataCorrupt(f"{path} has a label {odd}, but {cell.spec.dataset} has classes 0..{k - 1}")
    return _all_classes(path, labels.astype(np.int64), cell)


def _all_classes(path: Path, labels: NDArray[np.int64], cell: Dataset) -> NDArray[np.int64]:
    counts = np.bincount(labels, minlength=cell.num_classes)
    if not counts.all():
        first = int(counts.argmin())
        raise DataCorrupt(
            f"{path} has no image of class {first} ({cell.class_names[first]}): sample every class"
        )
    return labels


def _shape(array: NDArray[Any]) -> str:
    return f"{array.dtype} of shape {tuple(array.shape)}"


def _to_nchw(path: Path, raw: NDArray[Any], cell: Dataset) -> tuple[NDArray[Any], str]:
    """Return (N,C,H,W) and the layout's name; the data set says how many channels there are."""
    channels, size, _ = cell.shape
    if raw.ndim == 3 and channels == 1:
        raw, layout = raw[:, None], "N x H x W"
    elif raw.ndim != 4:
        raise DataCorrupt(f"{path}: images must be N x C x H x W or N x H x W x C, not {_shape(raw)}")
    else:
        raw, layout = _channels_first(path, raw, cell)
    if raw.shape[1] != channels and raw.shape[1] in (1, 3, 4):
        raw, layout = _other_channels(path, raw, cell, layout)
    if raw.shape[1:] != cell.shape:
        square = raw.shape[1] == channels and raw.shape[2] == raw.shape[3]
        hint = "make them that size"
        if square:
            hint += f", or compare at --set data.image_size={raw.shape[2]} where the data set has that size"
        raise DataCorrupt(
            f"{path} holds images {' x '.join(map(str, raw.shape[1:]))}, but {cell.spec.dataset}'s are "
            f"{channels} x {size} x {size} here: {hint}"
        )
    return raw, layout


def _channels_first(path: Path, raw: NDArray[Any], cell: Dataset) -> tuple[NDArray[Any], str]:
    """Return (N,C,H,W); which axis holds the channels is told by the data set's, then by any plausible, number."""
    for counts in ((cell.shape[0],), (1, 3, 4)):
        first = raw.shape[1] in counts and raw.shape[2] == raw.shape[3]
        last = raw.shape[3] in counts and raw.shape[1] == raw.shape[2]
        if first and last:
            raise UsageError(
                f"{path}: {tuple(raw.shape)} may be NCHW or NHWC: images that small cannot be told"
            )
        if last:
            return raw.transpose(0, 3, 1, 2), "NHWC"
        if first:
            break
    return raw, "NCHW"


def _other_channels(path: Path, raw: NDArray[Any], cell: Dataset, layout: str) -> tuple[NDArray[Any], str]:
    """Return grey images that were saved as three equal channels as grey; refuse what would need a choice."""
    name, kinds = cell.spec.dataset, {1: "grey", 3: "colour", 4: "four-channel"}
    equal = raw.shape[1] == 3 and cell.shape[0] == 1
    if equal and all(bool((part == part[:, :1]).all()) for part, _ in _parts(raw)):
        return raw[:, :1], f"{layout} of three equal channels, taken as grey"
    if cell.shape[0] == 1:
        how = "save one channel an image, by the grey that you mean"
    elif raw.shape[1] == 1:
        how = "repeat the channel three times if that is what you mean"
    else:
        how = "lay transparency on a ground and save three channels"
    raise DataCorrupt(
        f"{path} holds {kinds[raw.shape[1]]} images ({raw.shape[1]} x {raw.shape[2]} x {raw.shape[3]}), but {name}'s are "
        f"{kinds[cell.shape[0]]} ({' x '.join(map(str, cell.shape))}): {how}"
    )


def _to_uint8(path: Path, raw: NDArray[Any], given: str | None) -> tuple[NDArray[np.uint8], str]:
    """Return the images as uint8 and what their values were taken for."""
    low, high, whole = _extent(path, raw)
    meaning = given or _recognise(path, raw.dtype, low, high, whole)
    scale, shift = {"uint8": (1.0, 0.0), "0..1": (255.0, 0.0), "-1..1": (127.5, 127.5)}[meaning]
    out = np.empty(raw.shape, np.uint8)
    outside = 0
    for part, rows in _parts(raw):
        values = part.astype(np.float64) * scale + shift if (scale, shift) != (1.0, 0.0) else part
        outside += int(((values < -0.5) | (values > 255.5)).sum())
        out[rows] = np.rint(np.clip(values, 0, 255)).astype(np.uint8)
    if outside > 0.05 * raw.size:
        raise DataCorrupt(
            f"{path} has {outside / raw.size:.0%} of its values outside the range {meaning} (they go from "
            f"{low:g} to {high:g}): give the right --range"
        )
    clipped = f", {outside / raw.size:.2%} of the values clipped" if outside else ""
    words = {"uint8": "values 0..255", "0..1": "values in [0, 1]", "-1..1": "values in [-1, 1]"}[meaning]
    return out, f"{raw.dtype}, {words}{clipped}"


def _parts(raw: NDArray[Any]) -> Iterator[tuple[NDArray[Any], slice]]:
    for start in range(0, len(raw), _ROWS):
        rows = slice(start, start + _ROWS)
        yield np.asarray(raw[rows]), rows


def _extent(path: Path, raw: NDArray[Any]) -> tuple[float, float, bool]:
    """Return the least and the greatest value, and whether all are whole numbers."""
    if raw.dtype.kind not in "iuf":
        raise DataCorrupt(f"{path} holds {raw.dtype} values: save images as uint8 or floating-point numbers")
    low, high, whole = np.inf, -np.inf, True
    for part, _ in _parts(raw):
        low, high = np.minimum(low, part.min()), np.maximum(high, part.max())  # unlike min, these keep a NaN
        whole = whole and (part.dtype.kind in "iu" or bool((part == np.rint(part)).all()))
    if not (np.isfinite(low) and np.isfinite(high)):
        raise DataCorrupt(
            f"{path} holds NaN or infinite values: leave those images out, or sample them again"
        )
    return float(low), float(high), whole


def _recognise(path: Path, dtype: np.dtype[Any], low: float, high: float, whole: bool) -> str:
    """Say what range values from `low` to `high` are in, or refuse what could mean two things."""
    seen = f"{path} holds {dtype} values from {low:g} to {high:g}"
    if whole and high <= 1:
        raise UsageError(
            f"{seen}, whole numbers only, as if cast before they were scaled: save them again, or give --range"
        )
    if whole and low >= 0 and high <= 255:
        if high < 128:
            raise UsageError(
                f"{seen}, nothing brighter than half of 0..255: if that is so, say --range uint8"
            )
        return "uint8"
    if dtype.kind == "f" and low >= -1.001 and high <= 1.001:
        if low <= -0.5:
            return "-1..1"
        if 0 <= low <= 0.25:
            return "0..1"
        raise UsageError(f"{seen}, which may mean [0, 1] or [-1, 1]: say which with --range 0..1 or -1..1")
    raise UsageError(
        f"{seen}, which is none of 0..255, [0, 1] and [-1, 1]: clip them, or say what they mean with --range"
    )


# -- folders ----------------------------------------------------------------------------------------


def _read_folder(path: Path, cell: Dataset) -> ExternalSamples:
    """Read class folders as `data prepare` reads them; all files that cannot be used are named together.

    A folder of images and no folder holds samples without labels.
    """
    scan = Scan()
    level = read_level(path, Scan())
    flat = bool(level.files) and not level.folders
    if flat:
        files = [(file, UNLABELLED) for file in images_below(path, scan)]
    else:
        labels_of, way = _labels_of(path, class_names(path, scan), cell)
        files = [
            (file, label)
            for name, label in sorted(labels_of.items(), key=lambda item: item[1])
            for file in images_below(path / name, scan)
        ]
    ground = getattr(cell, "manifest", {}).get("source", {}).get("ground") or GROUND
    images = np.empty((len(files), *cell.shape), np.uint8)
    problems, tally = list(scan.problems), Tally()
    for row, (file, _) in enumerate(files):
        try:
            images[row] = _read_image(file, cell, ground, tally)
        except DataCorrupt as error:
            problems.append(str(error))
    if unusable := all_at_once(problems):
        raise unusable
    labels = np.array([label for _, label in files], np.int64)
    labels = _unlabelled(path, len(files)) if flat else _all_classes(path, labels, cell)
    notes = [*tally.sentences(ground), *scan.left_out()]
    if scan.skipped:
        notes.append(f"{scan.skipped.total():,} files of operating systems or hidden are skipped")
    what = "a folder of images" if flat else f"a folder of class folders, named {way}"
    without = _WITHOUT.format("put each class into a folder of its own") if flat else ""
    return ExternalSamples(images, labels, "; ".join((what, *notes)) + without)


def _labels_of(path: Path, names: tuple[str, ...], cell: Dataset) -> tuple[dict[str, int], str]:
    """Return class folder -> label and how: all are named by class, else all by label.

    Where both fit (classes 1, 2, 3 in a set whose labels are 0, 1, 2) names of classes are meant.
    """
    known = {_key(name): label for label, name in enumerate(cell.class_names)}
    if all(_key(name) in known for name in names):
        return _one_each(path, {name: known[_key(name)] for name in names}), "by class"
    if all(re.fullmatch(r"[0-9]{1,9}", name) and int(name) < cell.num_classes for name in names):
        return _one_each(path, {name: int(name) for name in names}), "by label"
    if not any(_key(name) in known for name in names):
        odd = next((n for n in names if not (n.isdecimal() and int(n) < cell.num_classes)), names[0])
    else:
        odd = next(
            (n for n in names if _key(n) not in known and not (n.isdecimal() and int(n) < cell.num_classes)),
            next(n for n in names if _key(n) not in known),
        )
    shown = ", ".join(cell.class_names[:10]) + (", ..." if len(known) > 10 else "")
    raise UsageError(
        f"{printable(path / odd)} is no class of {cell.spec.dataset}: name its folders 0..{cell.num_classes - 1} or "
        f"{shown}"
    )


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


def _read_image(file: Path, cell: Dataset, ground: str, tally: Tally) -> NDArray[np.uint8]:
    channels, size, _ = cell.shape
    decoded = decode(file.read_bytes(), printable(file), channels, ground)
    wide, high = decoded.image.size
    if (wide, high) != (size, size):
        raise DataCorrupt(
            f"{printable(file)} is {wide}x{high}, but {cell.spec.dataset}'s images are {size}x{size} here: samples are "
            f"compared as they are, so make them that size, or set data.image_size"
        )
    tally.add(decoded)
    return pixels_of(decoded.image)


# -- the sample set ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Claims:
    """What its maker says of a sample set; a blank is shown as one.

    Attributes
    ----------
    name
        The method's name in tables.
    variant, sampler
        In the maker's words.
    step, nfe, guidance
        Training step, network evaluations an image, guidance scale.
    train_seed, sample_seed
        Tell the sets of several trainings and samplings apart.
    """

    name: str
    variant: str = ""
    step: int | None = None
    sampler: str = ""
    nfe: int | None = None
    guidance: float | None = None
    train_seed: int = 0
    sample_seed: int = 0

    def __post_init__(self) -> None:
        if not self.name or not all(letter.isalnum() or letter in "-_.+" for letter in self.name):
            raise UsageError(f"--name {self.name!r} must be letters, digits and - _ . + : it names a folder")
        if not any(letter.isalnum() for letter in self.name):
            raise UsageError(
                f"--name {self.name!r} has no letter and no digit: it is the method's name in tables"
            )
        for name in ("step", "nfe", "guidance", "train_seed", "sample_seed"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < float("inf"):
                raise UsageError(f"--{name.replace('_', '-')} {value}: must be 0 or more")

    def columns(self, key: str) -> dict[str, Any]:
        """Return the columns of ``scores.csv`` that say where a number comes from."""
        blank = {"variant": "", "sampler": "", "step": "", "nfe": "", "guidance": ""}
        stated = {name: value for name, value in vars(self).items() if name != "name" and value is not None}
        return {
            "method": self.name,
            **blank,
            **stated,
            "origin": "external",
            "train_key": key,
            "sample_key": key,
        }


def write_sample_set(
    samples: ExternalSamples, cell: Dataset, claims: Claims, source: Path, out: Path
) -> Path:
    """Keep external samples below `out` in the layout of a run; return the sample set's folder.

    The folder is named by a hash of images, labels, data cell and claims: the same set lands in the same
    place.
    """
    from ltbench.data.images import ImageSet
    from ltbench.runs.provenance import write_provenance
    from ltbench.runs.run import open_external
    from ltbench.runs.samples import write_samples

    identity = {
        "images": ImageSet(samples.images, samples.labels).score_sha256,
        "data": cell.spec.model_dump(mode="json"),
        "claims": vars(claims),
    }
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    name = f"{cell.spec.dataset}-r{cell.spec.imbalance_ratio:g}-{claims.name}-external-{key[:8]}"
    folder = open_external(out / name, key, cell.spec, claims.columns(key))
    write_provenance(
        folder, {"stages": [], "source": str(source.resolve()), "recognised": samples.recognised}
    )
    write_samples(folder, samples.images, samples.labels)
    return folder
