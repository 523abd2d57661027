"""Data sets: a source of images, cut to a long tail, with its reference and held-out sets.

    dataset = load_dataset(DataSpec(dataset="fashion_mnist_lt", imbalance_ratio=0.01, image_size=16))

`Source` says where images come from, `longtail` which of them a model may see, `Dataset` is the result.
"""

import functools
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ltbench.data import longtail
from ltbench.data.checks import load_checked
from ltbench.data.images import ImageSet
from ltbench.data.registry import SOURCES, get_source
from ltbench.data.source import READ_FROM, Source, default_data_root
from ltbench.errors import LtbenchError, UsageError
from ltbench.plugins import in_words
from ltbench.specs import DataSpec


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data cell: what a model trains on, and the real images it is measured against.

    Attributes
    ----------
    spec
        The cell's specification.
    train
        The long-tailed set, in order of selection (classes ascending).
    train_positions
        (N,) int64, its positions in the source's pool.
    reference, heldout
        What scores compare with, and real images for floors and memorisation.
    class_names
        (K,), by label.
    counts
        (K,) int64, training images by label.
    head_to_tail
        Labels by rank, the largest class first.
    groups
        Name -> labels, head first: head / middle / tail, or many / medium / few.
    flip_allowed
        Whether a mirrored image is still a plausible image of its class.
    heldout_in_reference
        True where held-out images are in the reference too, so that a floor against all of
        the reference would be too low.
    unscorable
        Why scores against the reference would mean nothing; "" where they mean something.
    own_name
        What the user called the images; "" of a source that has a name itself.
    manifest
        JSON-able record of files, resampling, selection and the content of the three sets.
    """

    spec: DataSpec
    train: ImageSet
    train_positions: NDArray[np.int64]
    reference: ImageSet
    heldout: ImageSet
    class_names: tuple[str, ...]
    counts: NDArray[np.int64]
    head_to_tail: tuple[int, ...]
    groups: dict[str, tuple[int, ...]]
    flip_allowed: bool
    manifest: dict[str, Any] = field(repr=False)
    heldout_in_reference: bool = False
    unscorable: str = ""
    own_name: str = ""

    @property
    def num_classes(self) -> int:
        """Number of classes K."""
        return len(self.counts)

    @property
    def prior(self) -> NDArray[np.float64]:
        """Class frequencies n_k / N of the training set, (K,)."""
        result: NDArray[np.float64] = self.counts / self.counts.sum()
        return result

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        _, channels, height, width = self.train.images.shape
        return channels, height, width

    def user_names(self) -> dict[str, Any]:
        """Return what the user calls the images and their classes, for a record; {} of a source with names of its own."""
        if get_source(self.spec.dataset).class_names:
            return {}
        return {"data_name": self.own_name, "class_names": list(self.class_names)}

    @property
    def manifest_hash(self) -> str:
        """SHA-256 of the manifest: equal where the images and their selection are equal."""
        manifest = {**self.manifest}
        if isinstance(source := manifest.get("source"), dict):
            manifest["source"] = {key: value for key, value in source.items() if key != READ_FROM}
        text = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def resolve_data(data: DataSpec, data_root: Path | None = None) -> DataSpec:
    """Return the spec with what only the files tell, as its source resolves it.

    A folder's name does not say which images are in it, so a prepared folder's hash is part of the spec.
    """
    root = default_data_root() if data_root is None else Path(data_root)
    return get_source(data.dataset).resolve(data, root)


def _tail(pool_sizes: tuple[int, ...], spec: DataSpec) -> tuple[NDArray[np.int64], tuple[int, ...]]:
    """Return counts by label and the labels from head to tail."""
    order = longtail.class_order(spec.class_order, len(pool_sizes))
    counts = longtail.class_sizes(pool_sizes, spec.imbalance_ratio, spec.profile, order, spec.head_count)
    return counts, longtail.by_count(counts) if spec.profile == "asis" else order


def load_dataset(data: DataSpec, data_root: Path | None = None) -> Dataset:
    """Load a data cell.

    Parameters
    ----------
    data
        The cell. A default image size and a prepared folder's content hash are filled in by the source.
    data_root
        Where files lie and are downloaded to; default: `default_data_root`.

    Raises
    ------
    UsageError
        An unknown data set, a size it has not, a ratio that leaves a class empty.
    DataMissing, DataCorrupt
        Files are absent or broken.
    """
    source = get_source(data.dataset)
    root = default_data_root() if data_root is None else Path(data_root)
    if ":" in data.dataset:  # a prepared folder's own name, which only the source can look up
        data = source.resolve(data, root)
    source.size(data.image_size)
    known = source.pool_sizes(root)
    if known:
        _tail(known, data)  # refuse an impossible cell before reading or downloading anything
    splits = load_checked(SOURCES.extensions()[source.name], root, data.image_size, data.content)
    pool = splits.pool
    num_classes = len(splits.class_names)
    pool_sizes = tuple(np.bincount(pool.labels, minlength=num_classes).tolist())
    counts, head_to_tail = _tail(pool_sizes, data)
    if data.profile == "asis":
        positions, train = np.arange(len(pool), dtype=np.int64), pool  # a memory map stays one
    else:
        positions = longtail.select(pool.labels, counts, data.split_seed)
        train = pool.take(positions)
    groups = (
        longtail.thirds(head_to_tail) if source.grouping == "thirds" else longtail.shots(counts, head_to_tail)
    )
    manifest = {
        "dataset": source.name,
        "image_size": pool.images.shape[-1],
        "class_names": list(splits.class_names),
        "source": splits.provenance,
        "imbalance_ratio": None if data.profile == "asis" else data.imbalance_ratio,
        "profile": data.profile,
        "class_order": data.class_order,
        "split_seed": data.split_seed,
        "counts": counts.tolist(),
        "selection_sha256": longtail.selection_sha256(pool.labels, positions),
        "train_sha256": train.sha256,
        "reference": {"n": len(splits.reference), "sha256": splits.reference.sha256},
        "heldout": {"n": len(splits.heldout), "sha256": splits.heldout.sha256},
    }
    return Dataset(
        spec=data,
        train=train,
        train_positions=positions,
        reference=splits.reference,
        heldout=splits.heldout,
        class_names=splits.class_names,
        counts=counts,
        head_to_tail=head_to_tail,
        groups=groups,
        flip_allowed=source.flip_allowed,
        manifest=manifest,
        heldout_in_reference=splits.heldout_in_reference,
        unscorable=splits.unscorable,
        own_name=splits.own_name,
    )


@functools.lru_cache(maxsize=2)
def cached_dataset(data: DataSpec, data_root: Path | None = None) -> Dataset:
    """Load a dataset once a process, for the stages that follow one another; errors as `load_dataset`."""
    return load_dataset(data, data_root)


@dataclass(frozen=True)
class DatasetRow:
    """One line of `ltbench datasets`.

    Attributes
    ----------
    counts
        Training images by label at the asked ratio, or None with `note` saying why.
    origin
        The module or package that the source comes from.
    found, at, looked
        Whether the files are there, where, and every place looked at.
    advice
        How to get the files.
    prepared
        One line for each prepared folder of it.
    """

    source: Source
    origin: str
    counts: tuple[int, ...] | None
    note: str
    found: bool
    at: Path | None
    looked: tuple[Path, ...]
    advice: str
    prepared: tuple[str, ...] = ()


def list_sources(imbalance_ratio: float = 0.01, data_root: Path | None = None) -> list[DatasetRow]:
    """List every source with its counts at a ratio and whether its files are there."""
    root = default_data_root() if data_root is None else Path(data_root)
    rows = []
    for name, source in SOURCES.all().items():
        origin = SOURCES.origin(name)
        try:
            status, pool, prepared = source.status(root), source.pool_sizes(root), source.prepared(root)
            found, at, looked, advice = status.found, status.at, status.looked, source.advice(root)
        # Neither a broken prepared folder nor a faulty package may hide the other sources.
        except Exception as error:
            told = isinstance(error, LtbenchError)
            why = str(error) if told else f"faulty in {origin} ({in_words(error)})"
            advice = source.advice(root) if told else source.how_to_get
            rows.append(DatasetRow(source, origin, None, why, False, None, (), advice))
            continue
        counts: tuple[int, ...] | None = None
        note = "" if pool or found else "prepare it first"
        if pool:
            try:
                counts = tuple(longtail.class_sizes(pool, imbalance_ratio, source.default_profile).tolist())
            except UsageError as error:
                note = str(error)
        rows.append(
            DatasetRow(
                source,
                origin,
                counts,
                note,
                found,
                at,
                looked,
                advice,
                prepared,
            )
        )
    return rows
