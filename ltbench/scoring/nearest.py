"""What stands behind two of the scores, kept for the report: nearest training images and label confusion.

nearest.npz     labels (m,), generated and training (m,C,H,W) uint8, distance (m,): the samples closest to a
                training image of their class, closest first within a class
confusion.csv   rows: the label conditioned on; columns: the class that the classifier sees
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ltbench.data import Dataset
from ltbench.extractors.registry import cached_features, classifies, get_extractor
from ltbench.metrics.agreement import confusion
from ltbench.metrics.memorisation import memorisation
from ltbench.runs.digests import recording
from ltbench.runs.layout import NEAREST

PAIRS = 5  # a class


def write_evidence(
    folder: Path,
    cell: Dataset,
    images: np.ndarray,
    labels: np.ndarray,
    cache: Path,
    device: str,
    guard: Callable[[], None],
    extractors: Sequence[str],
) -> None:
    """Write both files for a sample set, on the first of the extractors it is scored with.

    Parameters
    ----------
    folder
        The sample set's folder.
    cell
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
    extractor = get_extractor(extractors[0], device=device)
    kept = cache / "features"
    generated = cached_features(extractor, images, kept)
    training = cached_features(extractor, cell.train.images, kept).features
    heldout = cached_features(extractor, cell.heldout.images, kept).features
    found: dict[str, list[np.ndarray]] = {"labels": [], "generated": [], "training": [], "distance": []}
    for k in range(cell.num_classes):
        mine, theirs = np.flatnonzero(labels == k), np.flatnonzero(cell.train.labels == k)
        real = heldout[cell.heldout.labels == k]
        pairs = memorisation(training[theirs], real, generated.features[mine]).pairs(PAIRS)
        found["labels"].append(np.full(len(pairs), k))
        found["generated"].append(images[mine[[i for i, _, _ in pairs]]])
        found["training"].append(cell.train.images[theirs[[j for _, j, _ in pairs]]])
        found["distance"].append(np.array([d for _, _, d in pairs]))
    arrays = {name: np.concatenate(parts) for name, parts in found.items()}
    with recording(folder / NEAREST, guard) as temporary, temporary.open("wb") as handle:
        np.savez_compressed(handle, **arrays)  # type: ignore[arg-type]
    if classifies(extractor, cell.spec) and generated.logits is not None:
        table = pd.DataFrame(confusion(generated.logits, labels), cell.class_names, cell.class_names)
        with recording(folder / "confusion.csv", guard) as temporary:
            table.to_csv(temporary, index_label="label")
