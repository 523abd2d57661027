"""Improved precision and recall; density and coverage: k-nearest-neighbour balls as the sets' manifolds.

A set's manifold is the union of balls around its points, each reaching to the point's k-th nearest other
point of the same set.

    precision = share of generated images inside the reference's manifold
    recall    = share of reference images inside the generated set's manifold
    density   = 1/(k M) sum over generated j of #{reference balls holding j}
    coverage  = share of reference balls that hold a generated image

Between two real sets precision and recall are about .69 (5000 images, VGG16, k = 3), not 1; coverage has the
ceiling `coverage_ceiling`. Values compare only at equal sizes, k and extractor.

Sources: Kynkaanniemi et al., "Improved Precision and Recall Metric for Assessing Generative Models", NeurIPS
2019 (k = 3, closed balls); Naeem et al., "Reliable Fidelity and Diversity Metrics for Generative Models",
ICML 2020 (k = 5, open balls).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ltbench.errors import UsageError
from ltbench.metrics.distances import MEMORY, middle, neighbours, tiles
from ltbench.metrics.features import Array, as_features, same_width


@dataclass(frozen=True)
class Manifold:
    """A feature set with its points' nearest neighbours, found once and used against many other sets.

    Attributes
    ----------
    features
        (n, d), as given.
    squared
        (n, k) float64, squared distances to the k nearest other points, ascending; any smaller k too.
    """

    features: Tensor
    squared: Tensor

    @classmethod
    def of(cls, features: Array, k: int = 5, name: str = "reference", memory: int = MEMORY) -> "Manifold":
        """Find the k nearest neighbours of every row of features (n, d), n > k.

        Raises
        ------
        UsageError
            k < 1, not more than k images, NaN or infinite values, or not two-dimensional.
        """
        if k < 1:
            raise UsageError(f"k must be at least 1, got {k}")
        x = as_features(features, name)
        if len(x) <= k:
            raise UsageError(f"k={k} neighbours need at least {k + 1} {name} images, got {len(x)}")
        return cls(x, neighbours(x, None, k, memory)[0])

    @classmethod
    def serving(cls, features: Array, k: int = 5) -> "Manifold":
        """Find a reference's k nearest neighbours, or as many as it has: for metrics of several k, each to refuse by itself.

        Raises
        ------
        UsageError
            One image, NaN or infinite values, or not two-dimensional.
        """
        x = as_features(features, "reference")
        return cls.of(x, max(1, min(k, len(x) - 1)))

    @property
    def k(self) -> int:
        """Largest k that this manifold serves."""
        return self.squared.shape[1]


def _manifold(x: Array | Manifold, k: int, name: str, memory: int) -> Manifold:
    if isinstance(x, Manifold) and x.k >= k:
        return x
    return Manifold.of(x.features if isinstance(x, Manifold) else x, k, name, memory)


def _inside(squared: Tensor, radius: Tensor, slack: Tensor, strict: bool) -> Tensor:
    # both sides carry the rounding of one product
    return squared + 2 * slack < radius if strict else squared <= radius + 2 * slack


def precision_recall(
    reference: Array | Manifold,
    generated: Array | Manifold,
    *,
    k: int = 3,
    strict: bool = False,
    memory: int = MEMORY,
) -> dict[str, float]:
    """Return improved precision and recall.

    Parameters
    ----------
    reference, generated
        (n, d) and (m, d) features, or their `Manifold`.
    k
        Neighbours that set the radius; the paper's 3.
    strict
        Open balls (distance < radius, as CBDM's scorer) instead of closed ones (the paper's).
    memory
        Bytes for a tile of distances and its inputs.

    Returns
    -------
    dict
        ``precision`` and ``recall``, in 0..1. Swapping the sets swaps the two.

    Raises
    ------
    UsageError
        Not more than k images in a set, NaN or infinite values, or unequal dimensions.
    """
    real = _manifold(reference, k, "reference", memory)
    fake = _manifold(generated, k, "generated", memory)
    same_width(real.features, fake.features)
    real_radius, fake_radius = real.squared[:, k - 1], fake.squared[:, k - 1]
    precise = torch.zeros_like(fake_radius, dtype=torch.bool)
    recalled = torch.zeros_like(real_radius, dtype=torch.bool)
    centre = middle(real.features)
    for rows, columns, squared, slack in tiles(real.features, fake.features, centre, memory):
        precise[columns] |= _inside(squared, real_radius[rows, None], slack, strict).any(dim=0)
        recalled[rows] |= _inside(squared, fake_radius[None, columns], slack, strict).any(dim=1)
    return {"precision": float(precise.double().mean()), "recall": float(recalled.double().mean())}


def density_coverage(
    reference: Array | Manifold, generated: Array, *, k: int = 5, memory: int = MEMORY
) -> dict[str, float]:
    """Return density and coverage, with open balls.

    Parameters
    ----------
    reference
        (n, d) features, or their `Manifold`.
    generated
        (m, d) features; one image is enough.
    k
        Neighbours that set the reference's radii; the paper's 5.
    memory
        Bytes for a tile of distances and its inputs.

    Returns
    -------
    dict
        ``density`` (>= 0, about 1 between equal distributions, unbounded above), ``coverage`` in 0..1, and
        ``coverage_ceiling``, its expectation between equal distributions at these sizes.

    Raises
    ------
    UsageError
        Not more than k reference images, no generated one, NaN or infinite values, or unequal dimensions.
    """
    real = _manifold(reference, k, "reference", memory)
    fake = as_features(generated.features if isinstance(generated, Manifold) else generated, "generated")
    same_width(real.features, fake)
    radius = real.squared[:, k - 1]
    holding = torch.zeros((), dtype=torch.int64, device=radius.device)
    covered = torch.zeros_like(radius, dtype=torch.bool)
    centre = middle(real.features)
    for rows, _, squared, slack in tiles(real.features, fake, centre, memory):
        inside = _inside(squared, radius[rows, None], slack, strict=True)
        holding += inside.sum()
        covered[rows] |= inside.any(dim=1)
    return {
        "density": int(holding) / (k * len(fake)),
        "coverage": float(covered.double().mean()),
        "coverage_ceiling": coverage_ceiling(len(radius), len(fake), k),
    }


def coverage_ceiling(n_reference: int, n_generated: int, k: int = 5) -> float:
    """Return coverage's expectation where both sets come from one continuous distribution.

    1 - prod_{i<k} (N - 1 - i) / (N + M - 1 - i), with N reference and M generated images (Naeem et al., 2020,
    lemma 2): the chance that one of the k nearest other points of a reference image is a generated one.
    """
    miss = 1.0
    for i in range(k):
        miss *= (n_reference - 1 - i) / (n_reference + n_generated - 1 - i)
    return 1 - miss
