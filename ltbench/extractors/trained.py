"""Extractors of a user's own images: from a data cell to a small CNN under a name, and from that name to the extractor.

`ltbench extractor train` makes the shipped CNNs' recipe general: the network sees the training pool of a data set,
every class as often, and never its held-out images. The reference of a folder is as new to it; that of most named
sets is the pool itself, as it was for the shipped CNNs, and the record states how many of its images were trained on.
Weights and record (design, recipe, accuracy, hashes) lie in one folder of the user's, so that every command and worker
finds them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ltbench.data import Dataset
from ltbench.errors import DataCorrupt, LtbenchError, UsageError
from ltbench.extractors.base import Extractor, ExtractorRow
from ltbench.extractors.cnn import SHIPPED, Design, load_design
from ltbench.files import read_object, user_folder, user_path, write_json

FOLDER_VARIABLE = "LTBENCH_EXTRACTORS"
FEWEST, MOST, EPOCHS = (
    500,
    4000,
    15,
)  # optimiser steps, and the passes over the images that they come to between
SMALL_SET = 10_000  # images below which the weights decay as the digits' do
LEAST_IMAGES = 16  # of a training pool: batch normalisation needs a batch
_MEND = "train it again with `ltbench extractor train`"
_NAME = re.compile(r"[a-z][a-z0-9_.-]*")


def folder() -> Path:
    """Return where trained extractors lie: ``$LTBENCH_EXTRACTORS``, or ``ltbench/extractors`` in the user's data folder.

    Raises
    ------
    UsageError
        The user has neither.
    """
    place = _folder()
    if place is None:
        raise UsageError(
            f"there is no home folder to keep an extractor in: set HOME, or {FOLDER_VARIABLE} to a folder"
        )
    return place


def _folder() -> Path | None:
    if chosen := os.environ.get(FOLDER_VARIABLE):
        return user_path(chosen)
    data = user_folder("XDG_DATA_HOME", ".local/share")
    return data and data / "ltbench" / "extractors"


def names() -> list[str]:
    """Return the names of trained extractors, alphabetical; none where there is no folder for them."""
    place = _folder()
    found = place.glob("*.json") if place else ()
    return sorted(path.stem for path in found if _NAME.fullmatch(path.stem))


def files(name: str) -> tuple[Path, Path]:
    """Return the paths of a trained extractor's weights and record."""
    return folder() / f"{name}.safetensors", folder() / f"{name}.json"


def describe(name: str) -> ExtractorRow:
    """Tell whether a trained extractor's weights are there."""
    weights, _ = files(name)
    found = weights.is_file()
    return ExtractorRow(
        name, f"FD ({name})", found, weights if found else None, (folder(),), "ltbench extractor train FOLDER"
    )


def load_trained(name: str, weights: Path | None = None, device: torch.device | str = "cpu") -> Extractor:
    """Return a trained extractor.

    Raises
    ------
    DataMissing, DataCorrupt
        Its files are absent, or are not what they should be.
    """
    (path, record_path), (design, recorded) = files(name), read_record(name)
    extractor = load_design(name, design, weights or path, _MEND, device)
    if weights is None and extractor.weights_hash != recorded:
        raise DataCorrupt(f"{path} is not the file that {record_path.name} describes: {_MEND}")
    return extractor


def read_record(name: str) -> tuple[Design, str]:
    """Return a trained extractor's design and the SHA-256 of its weights, as its record states them.

    Raises
    ------
    DataCorrupt
        No such record.
    """
    path = files(name)[1]
    try:
        record = read_object(path)
        design = Design(
            **{**record["design"], **{k: tuple(record["design"][k]) for k in ("sizes", "widths")}}
        )
        return design, str(record["weights_sha256"])
    except (LtbenchError, KeyError, TypeError) as error:
        raise DataCorrupt(f"{path} is no record of a trained extractor: {_MEND}") from error


def design_for(cell: Dataset) -> Design:
    """Return the architecture for a data cell's images: 8, 16 or 32 pixels a side, larger images averaged down."""
    channels, size, _ = cell.shape
    side = next(s for s in (32, 16, 8) if s <= size)
    widths = {8: (32, 64), 16: (16, 64, 128), 32: (32, 64, 128)}[side]
    content = cell.spec.content
    dataset = cell.spec.dataset if content is None else f"{cell.spec.dataset}:{content}"
    return Design(dataset, side, (size, size), widths, cell.num_classes, channels)


def train_extractor(
    cell: Dataset,
    name: str,
    seed: int = 0,
    *,
    replace: bool = False,
    progress: Callable[[int, int, float], None] = lambda *_: None,
) -> dict[str, Any]:
    """Train an extractor on a data cell's training images, keep it under a name and return its record.

    Parameters
    ----------
    cell
        The data cell; its held-out images are not trained on, its reference where the training set holds it.
    name
        What ``--extractors`` will call it.
    seed
        Of weights, order and shifts: the same command on the same machine gives the same file.
    replace
        Whether another extractor of that name may be replaced.
    progress
        Called with the epochs done, all epochs and the last batch's loss.

    Raises
    ------
    UsageError
        A name that cannot be used, or too few images.
    """
    from ltbench.extractors.train import Recipe, accuracy, fit, write_weights

    check_new(name, cell, replace)
    design, images = design_for(cell), cell.train
    batch = min(64 if len(images) < SMALL_SET else 128, len(images))
    each = len(images) // batch  # steps an epoch
    steps = min(MOST, max(FEWEST, EPOCHS * each))
    decay = 0.5 if len(images) < SMALL_SET else 0.05
    recipe = Recipe(max(1, round(steps / each)), batch, 3e-3, decay, shift=1, resized=0.0)
    threads, started = torch.get_num_threads(), time.process_time()
    torch.set_num_threads(1)  # results are the same bit for bit at one number of threads only
    try:
        pixels, labels = torch.from_numpy(images.images.copy()), torch.from_numpy(images.labels.copy())
        network = fit(name, design, recipe, pixels, labels, seed, progress)
    finally:
        torch.set_num_threads(threads)
    path, record_path = files(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_weights(path, network)
    extractor = load_design(name, design, path, "train it again")
    record = {
        "name": name,
        "weights_sha256": extractor.weights_hash,
        "hash": extractor.hash,
        "design": dataclasses.asdict(design),
        "recipe": dataclasses.asdict(recipe),
        "seed": seed,
        "class_names": list(cell.class_names),
        "dataset_manifest": cell.manifest_hash,
        "train_images": len(images),
        "reference_images": len(cell.reference),
        "reference_trained_on": _contained(cell.reference.images, images.images),
        "train_accuracy": accuracy(extractor, images.images, images.labels),
        "heldout_images": len(cell.heldout),
        "heldout_accuracy": accuracy(extractor, cell.heldout.images, cell.heldout.labels),
        "parameters": sum(p.numel() for p in network.parameters()),
        "cpu_seconds": round(time.process_time() - started),
        "torch": torch.__version__,
    }
    write_json(record_path, record)
    return record


def _contained(images: NDArray[np.uint8], among: NDArray[np.uint8]) -> int:
    """Return how many images (N,C,H,W) are pixel for pixel among others (M,C,H,W)."""
    known = {hashlib.sha256(image.tobytes()).digest() for image in among}
    return sum(hashlib.sha256(image.tobytes()).digest() in known for image in images)


def check_new(name: str, cell: Dataset, replace: bool = False) -> None:
    """Refuse a name that cannot be given to an extractor of a data cell, and a cell that none can be trained on."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"--name {name!r} must be lower-case letters, digits and _ . - and begin with a letter"
        )
    record = files(name)[1]
    if name in SHIPPED or (record.exists() and not replace):
        where = "comes with ltbench" if name in SHIPPED else f"is there already ({record})"
        raise UsageError(f"an extractor {name} {where}: choose another --name, or --replace one of yours")
    if len(cell.train) < LEAST_IMAGES:
        raise UsageError(
            f"{cell.spec.dataset} has {len(cell.train)} training images: a network takes at least {LEAST_IMAGES}"
        )
