"""Nearest training images and label confusion of a sample set: from its features to two files for the report.

nearest.npz     labels (m,), generated and training (m,C,H,W) uint8, distance (m,): the samples closest to a
                training image of their class, closest first within a class
confusion.csv   rows: the label conditioned on; columns: the class that the classifier sees

Where no extractor can be used neither is written: the numbers that need none are complete without them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ltbench.data import Dataset
from ltbench.errors import DataCorrupt, DataMissing, UsageError
from ltbench.extractors.registry import Extractor, Features, cached_features, classifies, get_extractor
from ltbench.metrics.agreement import confusion
from ltbench.metrics.memorisation import memorisation
from ltbench.runs.digests import recording
from ltbench.runs.layout import CONFUSION, NEAREST

PAIRS = 5  # a class
log = logging.getLogger("ltbench")


def write_nearest_and_confusion(
    folder: Path,
    dataset: Dataset,
    images: np.ndarray,
    labels: np.ndarray,
    cache: Path,
    device: str,
    guard: Callable[[], None] | None,
    extractors: Sequence[str],
) -> None:
    """Write both files for a sample set, on the first of the extractors it is scored with that is here and takes it.

    Parameters
    ----------
    folder
        The sample set's folder.
    dataset
        The samples' data cell.
    images, labels
        (N,C,H,W) uint8 and (N,) int64.
    cache
        Folder of cached features.
    device
        Where features are computed.
    guard
        Called just before each file is renamed into place; may raise to withhold it.
    extractors
        Their names, ``auto`` resolved.
    """
    features_folder = cache / "features"
    usable = _first_usable(extractors, images, features_folder, device)
    if usable is None:
        return
    extractor, generated = usable
    training = cached_features(extractor, dataset.train.images, features_folder).features
    heldout = cached_features(extractor, dataset.heldout.images, features_folder).features
    parts_of: dict[str, list[np.ndarray]] = {"labels": [], "generated": [], "training": [], "distance": []}
    for k in range(dataset.num_classes):
        in_generated, in_training = np.flatnonzero(labels == k), np.flatnonzero(dataset.train.labels == k)
        real = heldout[dataset.heldout.labels == k]
        pairs = memorisation(training[in_training], real, generated.features[in_generated]).pairs(PAIRS)
        parts_of["labels"].append(np.full(len(pairs), k))
        parts_of["generated"].append(images[in_generated[[i for i, _, _ in pairs]]])
        parts_of["training"].append(dataset.train.images[in_training[[j for _, j, _ in pairs]]])
        parts_of["distance"].append(np.array([d for _, _, d in pairs]))
    arrays = {name: np.concatenate(parts) for name, parts in parts_of.items()}
    with recording(folder / NEAREST, guard) as temporary, temporary.open("wb") as handle:
        np.savez_compressed(handle, **arrays)  # type: ignore[arg-type]
    if classifies(extractor, dataset.spec) and generated.logits is not None:
        table = pd.DataFrame(confusion(generated.logits, labels), dataset.class_names, dataset.class_names)
        with recording(folder / CONFUSION, guard) as temporary:
            table.to_csv(temporary, index_label="label")


def _first_usable(
    names: Sequence[str], images: np.ndarray, folder: Path, device: str
) -> tuple[Extractor, Features] | None:
    """Return the first extractor whose weights are here and that takes the images, with their features; None of none."""
    why = []
    for name in names:
        try:
            extractor = get_extractor(name, device=device)
            return extractor, cached_features(extractor, images, folder)
        except (DataCorrupt, DataMissing, UsageError) as error:
            why.append(str(error))
    log.warning("no images nearest to training images, and no confusion, are kept: %s", "; ".join(why))
    return None
