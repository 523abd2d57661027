"""Sets of labelled images, their digests, and the seeded cuts that make them comparable."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ltbench.specs import UNLABELLED

SCORE_SEED = 0  # of draws made while scoring: balancing, halves, floors, subsets, clusterings, bootstrap
_CHUNK = 1 << 24  # bytes hashed at a time, so that a memory map is never read whole


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images with labels: a source's pool, a training set, a reference, held-out or generated images.

    Attributes
    ----------
    images
        (N,C,H,W) uint8; an array or a read-only memory map.
    labels
        (N,) int64, in 0..K-1; all `UNLABELLED` where generated images came without.
    recorded_sha256
        The content's digest where a manifest already states it.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    recorded_sha256: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.dtype != np.uint8 or self.labels.dtype != np.int64:
            raise ValueError("an ImageSet is uint8 images (N,C,H,W) and int64 labels (N,)")
        if self.labels.shape != self.images.shape[:1]:
            raise ValueError(f"{len(self.images)} images but {len(self.labels)} labels")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def labelled(self) -> bool:
        """Whether the images have labels."""
        return not (len(self.labels) and self.labels[0] == UNLABELLED)

    @cached_property
    def rows(self) -> dict[int, NDArray[np.int64]]:
        """Positions of each class's images, for the classes that have any."""
        known = np.unique(self.labels) if self.labelled else ()
        return {int(k): np.flatnonzero(self.labels == k) for k in known}

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of shape, pixels and labels (little-endian int64): a data set's manifest has it."""
        return self.recorded_sha256 or content_sha256(self.images, self.labels)

    @cached_property
    def score_sha256(self) -> str:
        """SHA-256 of pixels and labels without the shape: floors' names and `reference_hash` have it."""
        digest = hashlib.sha256()
        for start in range(0, len(self.images), rows := _rows(self.images)):
            digest.update(np.ascontiguousarray(self.images[start : start + rows]).data)
        digest.update(np.ascontiguousarray(self.labels).tobytes())
        return digest.hexdigest()

    def take(self, positions: NDArray[np.int64]) -> ImageSet:
        """Return the images at `positions`, in that order, in memory."""
        return ImageSet(np.ascontiguousarray(self.images[positions]), self.labels[positions])


def _rows(images: NDArray[np.uint8]) -> int:
    return max(1, _CHUNK // max(1, int(np.prod(images.shape[1:]))))


def content_sha256(images: NDArray[np.uint8], labels: NDArray[np.integer]) -> str:
    """Return SHA-256 of shape, pixels and labels (little-endian int64), reading a piece at a time."""
    digest = hashlib.sha256(repr(tuple(int(n) for n in images.shape)).encode())
    for start in range(0, len(images), rows := _rows(images)):
        digest.update(np.ascontiguousarray(images[start : start + rows]).data)
    digest.update(labels.astype("<i8").tobytes())
    return digest.hexdigest()


def _stream(purpose: str) -> np.random.Generator:
    from ltbench import rng  # imports torch, which listing data sets does not need

    return rng.numpy_generator(SCORE_SEED, purpose)


def balanced(images: ImageSet, purpose: str) -> ImageSet:
    """Cut a set to equally many images a class by a seeded draw; equal classes stay as they are."""
    sizes = [len(rows) for rows in images.rows.values()]
    if min(sizes) == max(sizes):
        return images
    stream = _stream(f"balance/{purpose}")
    chosen = [np.sort(stream.permutation(rows)[: min(sizes)]) for rows in images.rows.values()]
    return images.take(np.concatenate(chosen))


def halves(images: ImageSet, purpose: str) -> tuple[ImageSet, ImageSet]:
    """Cut a set into two disjoint halves of every class by a seeded draw."""
    out: tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]] = ([], [])
    stream = _stream(purpose)
    for rows in images.rows.values():
        mixed = stream.permutation(rows)
        out[0].append(np.sort(mixed[: len(rows) // 2]))
        out[1].append(np.sort(mixed[len(rows) // 2 :]))
    return images.take(np.concatenate(out[0])), images.take(np.concatenate(out[1]))
