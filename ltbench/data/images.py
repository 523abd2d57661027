"""Sets of labelled images that scores compare, and the seeded cuts that make them comparable."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ltbench import rng

SCORE_SEED = 0  # of draws made while scoring: balancing, halves, floors, subsets, clusterings, bootstrap


@dataclass(frozen=True)
class ImagePool:
    """One named set of images: the reference, the held-out, the training or the generated ones."""

    images: np.ndarray
    labels: np.ndarray

    @cached_property
    def rows(self) -> dict[int, np.ndarray]:
        """Positions of each class's images."""
        return {int(k): np.flatnonzero(self.labels == k) for k in np.unique(self.labels)}

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the images and labels."""
        digest = hashlib.sha256(np.ascontiguousarray(self.images).tobytes())
        digest.update(np.ascontiguousarray(self.labels).tobytes())
        return digest.hexdigest()

    def take(self, rows: np.ndarray) -> ImagePool:
        """Return the images at `rows`."""
        return ImagePool(self.images[rows], self.labels[rows])


def balanced(pool: ImagePool, purpose: str) -> ImagePool:
    """Cut a set to equally many images a class by a seeded draw; equal classes stay as they are."""
    sizes = [len(rows) for rows in pool.rows.values()]
    if min(sizes) == max(sizes):
        return pool
    stream = rng.numpy_generator(SCORE_SEED, f"balance/{purpose}")
    chosen = [np.sort(stream.permutation(rows)[: min(sizes)]) for rows in pool.rows.values()]
    return pool.take(np.concatenate(chosen))


def halves(pool: ImagePool, purpose: str) -> tuple[ImagePool, ImagePool]:
    """Cut a set into two disjoint halves of every class by a seeded draw."""
    out: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    stream = rng.numpy_generator(SCORE_SEED, purpose)
    for rows in pool.rows.values():
        mixed = stream.permutation(rows)
        out[0].append(np.sort(mixed[: len(rows) // 2]))
        out[1].append(np.sort(mixed[len(rows) // 2 :]))
    return pool.take(np.concatenate(out[0])), pool.take(np.concatenate(out[1]))
