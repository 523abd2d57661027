"""Kernel distance: unbiased squared maximum mean discrepancy, cubic kernel (KID on Inception features).

    k(x, y) = (x.y / d + 1)^3
    KID = mean_{i != j} k(x_i, x_j) + mean_{i != j} k(y_i, y_j) - 2 mean_{i,j} k(x_i, y_j)

Unlike the Frechet distance it has no bias at small n, so classes of a few images can be compared; its
price is that it may fall below 0 where the sets are equal.

Source: Binkowski et al., "Demystifying MMD GANs", ICLR 2018.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ltbench.errors import UsageError
from ltbench.metrics.distances import MEMORY, tile_rows
from ltbench.metrics.features import Array, as_features, in_blocks, same_width
from ltbench.rng import numpy_generator


@dataclass(frozen=True)
class KernelMean:
    """A feature set with its mean kernel value between different images, computed once.

    Attributes
    ----------
    features
        (n, d), as given.
    within
        Mean of k(x_i, x_j) over i != j.
    """

    features: Tensor
    within: float

    @classmethod
    def of(cls, features: Array, name: str = "reference", memory: int = MEMORY) -> "KernelMean":
        """Compute the mean for features (n, d), n >= 2; errors as `kernel_distance`."""
        x = as_features(features, name, minimum=2)
        n, d = x.shape
        side = tile_rows(d, memory)
        total = torch.zeros((), dtype=torch.float64, device=x.device)
        for rows in in_blocks(n, side):
            a = x[rows].double()
            total += _kernel(a, a).fill_diagonal_(0).sum()
            for columns in in_blocks(rows.start, side):  # the kernel is symmetric: tiles left of the diagonal
                total += 2 * _kernel(a, x[columns].double()).sum()
        return cls(x, float(total) / (n * (n - 1)))


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    return (a @ b.T).div_(a.shape[1]).add_(1).pow_(3)


def kernel_distance(
    reference: Array | KernelMean, generated: Array | KernelMean, *, memory: int = MEMORY
) -> float:
    """Return the unbiased estimate over all images.

    Parameters
    ----------
    reference, generated
        (n, d) and (m, d) features, or their `KernelMean`.
    memory
        Bytes for a tile of kernel values and its inputs.

    Returns
    -------
    float
        Expectation 0 between equal distributions; may be negative. Symmetric.

    Raises
    ------
    UsageError
        A set of fewer than two images, NaN or infinite values, or unequal dimensions.
    """
    a = reference if isinstance(reference, KernelMean) else KernelMean.of(reference, "reference", memory)
    b = generated if isinstance(generated, KernelMean) else KernelMean.of(generated, "generated", memory)
    same_width(a.features, b.features)
    side = tile_rows(a.features.shape[1], memory)
    total = torch.zeros((), dtype=torch.float64, device=a.features.device)
    for rows in in_blocks(len(a.features), side):
        x = a.features[rows].double()
        for columns in in_blocks(len(b.features), side):
            total += _kernel(x, b.features[columns].double()).sum()
    return a.within + b.within - 2 * float(total) / (len(a.features) * len(b.features))


def kernel_distance_subsets(
    reference: Array, generated: Array, *, subsets: int = 100, size: int = 1000, seed: int = 0
) -> dict[str, float]:
    """Return the estimate as usually published: mean and standard deviation over random subsets.

    Parameters
    ----------
    reference, generated
        (n, d) and (m, d) features, n and m at least ``size``.
    subsets
        Number of seeded draws; each without replacement, from both sets.
    size
        Images a subset.
    seed
        Of the draws.

    Returns
    -------
    dict
        ``mean`` and ``std`` (population, over subsets; not the standard error of the mean).

    Raises
    ------
    UsageError
        Fewer than ``size`` images in a set, NaN or infinite values, or unequal dimensions.
    """
    if subsets < 1 or size < 2:
        raise UsageError(f"kernel distance needs subsets >= 1 and size >= 2, got {subsets} and {size}")
    x = as_features(reference, "reference", size)
    y = as_features(generated, "generated", size)
    same_width(x, y)
    values = []
    for i in range(subsets):
        rng = numpy_generator(seed, "kernel distance subset", i)
        a, b = (torch.from_numpy(rng.choice(len(s), size, replace=False)).to(s.device) for s in (x, y))
        values.append(kernel_distance(x[a], y[b]))
    return {"mean": float(np.mean(values)), "std": float(np.std(values))}
