"""What is known of a data set before its files are there: shape, classes and prior from its source alone."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ltbench.data.longtail import class_sizes
from ltbench.data.registry import get_source
from ltbench.data.source import default_data_root
from ltbench.errors import DataMissing
from ltbench.specs import DataSpec


@dataclass(frozen=True)
class DatasetFacts:
    """What costs and networks depend on; `Dataset` has the same attributes.

    Attributes
    ----------
    shape
        (C, H, W) of an image.
    prior
        (K,) share of each class in the training set.
    flip_allowed
        Whether a mirrored image is still a plausible image of its class.
    """

    shape: tuple[int, int, int]
    prior: NDArray[np.float64]
    flip_allowed: bool

    @property
    def num_classes(self) -> int:
        """Number of classes K."""
        return len(self.prior)


def static_facts(data: DataSpec, data_root: Path | None) -> DatasetFacts:
    """Return a data set's facts from its source alone.

    Where only absent files tell the class counts (imagenet_lt), the classes count as equal, which no cost
    depends on.

    Raises
    ------
    DataMissing
        The number of classes itself lies in the files (folder_lt).
    UsageError
        A size the source has not, or a ratio that leaves a class empty.
    """
    source = get_source(data.dataset)
    size = source.size(data.image_size)
    if not source.num_classes:
        root = default_data_root() if data_root is None else data_root
        raise DataMissing(f"{source.name} is not prepared under {root}: {source.advice(root)}")
    counts = np.ones(source.num_classes, np.int64)
    if source.pool:
        counts = class_sizes(source.pool, data.imbalance_ratio, data.profile, head_count=data.head_count)
    return DatasetFacts((source.channels, size, size), counts / counts.sum(), source.flip_allowed)


def absent_files(dataset: str, data_root: Path | None) -> str:
    """Return one sentence: which data set's files are missing, where they were looked for, how to get them."""
    root = default_data_root() if data_root is None else data_root
    source = get_source(dataset)
    looked = ", ".join(map(str, source.status(root).looked))
    return f"the files of {dataset} are missing (looked in {looked}): {source.advice(root)}"
