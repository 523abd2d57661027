"""Reference statistics files: a feature set's mean and covariance, as clean-fid, pytorch-fid and ADM keep them.

The file is an ``.npz`` with ``mu`` (d,) and ``sigma`` (d, d). It names neither its extractor nor its images, so
both are the user's word; the file's hash stands with every number. A Frechet distance of all images is what can be
computed from it: nothing a class, no floor, no neighbours and no kernel, which need the images.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ltbench.data import Dataset
from ltbench.data.images import balanced
from ltbench.errors import DataCorrupt, DataMissing, UsageError
from ltbench.extractors.registry import Extractor, cached_features
from ltbench.extractors.weights import file_hash
from ltbench.files import replacing
from ltbench.interop.arrays import ArrayFile
from ltbench.metrics.frechet import Statistics, frechet_distance
from ltbench.metrics.registry import get_metric
from ltbench.text import as_name

LIMITS = (
    "against a mean and a covariance alone: there is no floor, no value of a class or group, no recall, coverage, kernel"
    " distance or memorisation, which need the reference's images"
)
_ROUNDING = 1e-6
"""How negative or lopsided float32 arithmetic may make a covariance, as a share of its largest eigenvalue."""


@dataclass(frozen=True)
class ReferenceStatistics:
    """What a statistics file holds.

    Attributes
    ----------
    name
        The file's name without ending, as tables can show it.
    statistics
        Mean and factor of the covariance, float64; n is 0, since the file does not tell it.
    sha256
        Of the file.
    """

    name: str
    statistics: Statistics
    sha256: str


def read_statistics(path: Path) -> ReferenceStatistics:
    """Read an ``.npz`` with ``mu`` and ``sigma``; other arrays in it are left alone.

    Raises
    ------
    UsageError, DataMissing
        No such file, or it lacks one of the two.
    DataCorrupt
        A broken file, or numbers that are no mean and covariance.
    """
    arrays = ArrayFile(path)
    missing = [name for name in ("mu", "sigma") if name not in arrays.names]
    if missing:
        raise UsageError(
            f"{path} holds {', '.join(arrays.names) or 'nothing'} and no {missing[0]!r}: give the .npz of mu and sigma "
            "that clean-fid, pytorch-fid or ADM wrote"
        )
    mean, covariance = (np.asarray(arrays.read(name)) for name in ("mu", "sigma"))
    numbers = all(a.dtype.kind == "f" and np.isfinite(a).all() for a in (mean, covariance))
    if not numbers or mean.ndim != 1 or covariance.shape != (len(mean), len(mean)) or len(mean) == 0:
        raise DataCorrupt(
            f"{path} holds mu {mean.shape} and sigma {covariance.shape}, which are no finite (d,) and (d, d): get it again"
        )
    symmetric = (covariance.astype(np.float64) + covariance.T) / 2
    values, vectors = np.linalg.eigh(symmetric)
    rounding = _ROUNDING * max(values[-1], 0)
    if values[0] < -rounding or not np.allclose(symmetric, covariance, rtol=1e-3, atol=rounding):
        raise DataCorrupt(f"sigma of {path} is no covariance (not symmetric, or not positive): get it again")
    factor = np.sqrt(values.clip(min=0))[:, None] * vectors.T
    statistics = Statistics(0, torch.from_numpy(mean.astype(np.float64)), torch.from_numpy(factor))
    return ReferenceStatistics(as_name(path.stem), statistics, file_hash(path))


def write_statistics(path: Path, features: np.ndarray) -> None:
    """Write features (n, d) as ``mu`` and ``sigma`` (divisor n - 1), float64, as the field's tools read them.

    Raises
    ------
    UsageError
        Another ending than .npz, a file that is no earlier statistics, fewer than two images, NaN or infinite values.
    """
    _check_target(path)
    statistics = Statistics.of(features)
    sigma = (statistics.factor.T @ statistics.factor).cpu().numpy()
    with replacing(path) as temporary, temporary.open("wb") as handle:
        np.savez(handle, mu=statistics.mean.cpu().numpy(), sigma=sigma)


def _check_target(path: Path) -> None:
    if path.suffix != ".npz":
        raise UsageError(f"statistics are an .npz file: call it {path.with_suffix('.npz')}")
    if not path.exists():
        return
    with contextlib.suppress(DataCorrupt, DataMissing, UsageError):  # as of what is no .npz file
        if set(ArrayFile(path).names) == {"mu", "sigma"}:
            return
    raise UsageError(f"{path} is there and is no file of mu and sigma alone: give --out another name")


def write_dataset_statistics(dataset: Dataset, extractor: Extractor, path: Path, cache: Path) -> int:
    """Write the statistics of a data set's balanced reference, which our scores compare with; return its images."""
    _check_target(path)  # features take minutes
    images = balanced(dataset.reference, "reference").images
    write_statistics(path, cached_features(extractor, images, cache).features)
    return len(images)


def statistics_row(
    reference: ReferenceStatistics, dataset: Dataset, images: np.ndarray, extractor: Extractor, cache: Path
) -> dict[str, Any]:
    """Return the one row of ``scores.csv`` that statistics allow, without the columns that name the run.

    Parameters
    ----------
    reference
        The file, made with the same extractor.
    dataset
        The samples' data cell.
    images
        (N,C,H,W) uint8 samples; labels are not needed.
    extractor
        Makes the samples' features.
    cache
        Folder of cached features.

    Raises
    ------
    UsageError
        Statistics of another number of dimensions than the extractor's features.
    """
    features = cached_features(extractor, images, cache).features
    dimensions = len(reference.statistics.mean)
    if features.shape[1] != dimensions:
        raise UsageError(
            f"{reference.name} has {dimensions} dimensions and {extractor.name} gives {features.shape[1]}: name the "
            "extractor that it was made with by --extractor"
        )
    return {
        "scope": "overall",
        "class_or_group": "",
        "n_train": int(dataset.counts.sum()),
        "metric": "frechet",
        "definition": get_metric("frechet").definition,
        "extractor": extractor.name,
        "reference": f"{reference.name} (statistics)",
        "n_reference": np.nan,
        "n_generated": len(images),
        "value": frechet_distance(reference.statistics, features),
        "extractor_hash": extractor.hash,
        "reference_hash": reference.sha256[:16],
        "manifest": dataset.manifest_hash[:16],
        "grouping": "",
        "labels": "",
        "reason": LIMITS,
    }
