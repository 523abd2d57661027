"""The images of a sample set: from arrays uint8 (N,C,H,W) and labels (N,) to files, and back, checked."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ltbench.errors import CheckpointError, DataCorrupt
from ltbench.files import decoding, replacing
from ltbench.runs.digests import check_digest, recording
from ltbench.runs.layout import CONFUSION, IMAGES, LABELS, NEAREST, PARTIAL, SHEET
from ltbench.specs import UNLABELLED

_SHEET_COLUMNS = 10


def has_samples(folder: Path) -> bool:
    """Tell whether a sample set's images and labels are kept."""
    return (folder / IMAGES).is_file() and (folder / LABELS).is_file()


def load_samples(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return a sample set's images (N,C,H,W) uint8, memory-mapped, and labels (N,), all `UNLABELLED` where it has none.

    Raises
    ------
    DataCorrupt
        A file is missing, truncated or no such array, or the two do not belong together.
    """
    what = f"the sample set {folder} is incomplete or truncated"
    with decoding(what, "delete that folder and run again", DataCorrupt):
        images = np.load(folder / IMAGES, mmap_mode="r", allow_pickle=False)
        labels = np.load(folder / LABELS, mmap_mode="r", allow_pickle=False)
    labels = np.array(labels)
    if images.ndim != 4 or images.dtype != np.uint8:
        raise DataCorrupt(
            f"the sample set {folder} holds {images.dtype} {images.shape} for images, not uint8 (N,C,H,W): "
            "delete that folder and run again"
        )
    if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
        raise DataCorrupt(
            f"the sample set {folder} has {len(images)} images but {labels.dtype} {labels.shape} for labels: "
            "delete that folder and run again"
        )
    if len(labels) and int(labels.min()) < 0 and not (labels == UNLABELLED).all():
        raise DataCorrupt(f"the sample set {folder} has negative labels: delete that folder and run again")
    for name in (IMAGES, LABELS):
        check_digest(folder / name, f"delete {folder} and run again", DataCorrupt)
    return images, labels


def first_of_each_class(folder: Path, per_class: int, classes: Sequence[str]) -> dict[str, np.ndarray] | None:
    """Return the first `per_class` stored images of each class, uint8 (n,C,H,W), or None where none are kept or labelled.

    The files are memory-mapped: only the images shown are read.
    """
    if not has_samples(folder):
        return None
    images, labels = load_samples(folder)
    if len(labels) and labels[0] == UNLABELLED:
        return None
    rows = {c: np.flatnonzero(labels == int(c))[:per_class] for c in classes if c.isdecimal()}
    return {c: np.asarray(images[index]) for c, index in rows.items()}


def write_samples(folder: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """Write a whole sample set and its sheet; the images last, because they mean that it is there."""
    _write_array(folder / LABELS, labels)
    write_sheet(folder / SHEET, images, labels)
    _write_array(folder / IMAGES, images)


def _write_array(path: Path, array: np.ndarray, guard: Callable[[], None] | None = None) -> None:
    with recording(path, guard) as temporary, temporary.open("wb") as handle:
        np.save(handle, array)


# -- a set that is made chunk by chunk ----------------------------------------------------------------------


def chunk_path(folder: Path, batch_size: int, number: int) -> Path:
    """Return where a finished chunk waits for the others: chunks of another batch size are other chunks."""
    return folder / PARTIAL / f"{batch_size}-{number:06d}.npy"


def has_chunks(folder: Path, batch_size: int) -> bool:
    """Tell whether the set was begun with this batch size and not finished."""
    return any((folder / PARTIAL).glob(f"{batch_size}-*.npy"))


def write_chunk(path: Path, images: np.ndarray, guard: Callable[[], None] | None = None) -> None:
    """Write one chunk (n,C,H,W) uint8."""
    _write_array(path, images, guard)


def join_chunks(
    folder: Path, batch_size: int, count: int, labels: np.ndarray, guard: Callable[[], None] | None = None
) -> None:
    """Publish the chunks as one array and the sheet; images last because they mean that the set is there.

    Raises
    ------
    DataCorrupt
        A chunk is truncated.
    """
    parts = []
    for number in range(count):
        path = chunk_path(folder, batch_size, number)
        with decoding(f"{path} is truncated", "delete it and run again", DataCorrupt):
            parts.append(np.load(path, mmap_mode="r", allow_pickle=False))
        check_digest(path, "delete it and run again", DataCorrupt)
    _write_array(folder / LABELS, labels, guard)
    with recording(folder / IMAGES, guard) as temporary:
        with temporary.open("wb") as handle:  # not through a memory map: on a full disk that is a bus error
            header = {"descr": "|u1", "fortran_order": False, "shape": (len(labels), *parts[0].shape[1:])}
            np.lib.format.write_array_header_1_0(handle, header)
            for part in parts:
                handle.write(part.tobytes())
        write_sheet(folder / SHEET, np.load(temporary, mmap_mode="r"), labels, guard)
    shutil.rmtree(folder / PARTIAL, ignore_errors=True)


def write_sheet(
    path: Path, images: np.ndarray, labels: np.ndarray, guard: Callable[[], None] | None = None
) -> None:
    """Write a contact sheet: a row a class, its first ten images, enlarged to about 32 pixels a side.

    Of unlabelled images the first hundred.
    """
    from PIL import Image

    if len(labels) and labels[0] == UNLABELLED:
        images = images[: _SHEET_COLUMNS**2]
        labels = np.arange(len(images)) // _SHEET_COLUMNS
    rows = []
    for k in np.unique(labels):
        chosen = np.asarray(images[np.flatnonzero(labels == k)[:_SHEET_COLUMNS]])
        blank = np.zeros((_SHEET_COLUMNS - len(chosen), *chosen.shape[1:]), np.uint8)
        rows.append(np.concatenate([*chosen, *blank], axis=-1))
    sheet = np.concatenate(rows, axis=-2).transpose(1, 2, 0)
    zoom = max(1, 32 // images.shape[-1])
    sheet = sheet.repeat(zoom, 0).repeat(zoom, 1)
    picture = Image.fromarray(sheet[..., 0] if sheet.shape[-1] == 1 else sheet)
    with replacing(path, guard) as temporary:
        picture.save(temporary, format="PNG")


# -- what scoring keeps beside the images -------------------------------------------------------------------


def load_confusion(folder: Path) -> pd.DataFrame | None:
    """Return a sample set's confusion of classes, or None where none is kept.

    Returns
    -------
    Counts, class asked for x class seen, both indexed by label ("0", "1", ...).

    Raises
    ------
    CheckpointError
        The file is damaged.
    """
    path = folder / CONFUSION
    if not path.is_file():
        return None
    check_digest(path, "delete it and evaluate that run again")
    try:
        frame = pd.read_csv(path, dtype={"label": str}).set_index("label")
        labels = [str(i) for i in range(len(frame))]
        return pd.DataFrame(frame.to_numpy(float), labels, labels)
    except (KeyError, ValueError, OSError) as error:
        raise CheckpointError(
            f"{path} cannot be read ({error}): delete it and evaluate that run again"
        ) from error


def class_names_of(folder: Path) -> list[str]:
    """Return the classes' names in label order as a sample set's confusion states them; [] where none is kept."""
    path = folder / CONFUSION
    if not path.is_file():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as handle:
            return next(csv.reader(handle), [""])[1:]
    except (OSError, UnicodeDecodeError, csv.Error):
        return []


def load_pairs(folder: Path) -> dict[str, np.ndarray] | None:
    """Return a sample set's nearest training images, or None where none are kept.

    Returns
    -------
    ``labels`` (m,), ``generated`` and ``training`` (m,C,H,W) uint8 and ``distance`` (m,), closest first in a class.

    Raises
    ------
    CheckpointError
        The file is damaged.
    """
    path = folder / NEAREST
    if not path.is_file():
        return None
    return read_arrays(
        path, "delete it and evaluate that run again", ("labels", "generated", "training", "distance")
    )


def read_arrays(path: Path, advice: str, names: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Return the arrays of a run's ``.npz`` file, all or those of some names, after a look at its digest.

    Raises
    ------
    CheckpointError
        The file was changed, is damaged or lacks a name; the advice says how to mend it.
    """
    check_digest(path, advice)
    with (
        decoding(f"{path} cannot be read", advice),
        np.load(path, allow_pickle=False) as archive,
    ):
        return {name: archive[name] for name in names or archive.files}
