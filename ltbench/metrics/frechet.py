"""Frechet distance between Gaussians fitted to two feature sets (FID where the features are Inception's).

    FD = |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2)

The last trace needs no matrix square root. With A, B factors of the covariances (A^T A = S1, B^T B = S2),
(S1 S2)^(1/2) has the eigenvalues of ((A B^T)(A B^T)^T)^(1/2), so its trace is the nuclear norm of A B^T: the
sum of singular values of a matrix of at most min(n1, d) x min(n2, d). For few images, n < d, the centred
features themselves are the factor and nothing of size d x d is formed; for many, n > d, the triangle of their
QR decomposition is. Exact either way, also for singular covariances, where a matrix square root loses digits.

Sources: Heusel et al., "GANs Trained by a Two Time-Scale Update Rule", NeurIPS 2017; Chong & Forsyth,
"Effectively Unbiased FID and Inception Score and where to find them", CVPR 2020 (extrapolation).
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ltbench.errors import UsageError
from ltbench.metrics.features import Array, as_features, in_blocks, same_width
from ltbench.rng import numpy_generator


@dataclass(frozen=True)
class Statistics:
    """A feature set's mean and covariance, factorised once and used against many others.

    Attributes
    ----------
    n
        images.
    mean
        (d,) float64.
    factor
        (min(n, d), d) float64 with ``factor.T @ factor`` the covariance (divisor n - 1).
    """

    n: int
    mean: Tensor
    factor: Tensor

    @classmethod
    def of(cls, features: Array, name: str = "reference") -> "Statistics":
        """Factorise features (n, d), n >= 2.

        Parameters
        ----------
        features
            (n, d) float array or tensor; computed on its device, in float64.
        name
            How messages call the set.

        Raises
        ------
        UsageError
            Fewer than two images, NaN or infinite values, or not two-dimensional.
        """
        x = as_features(features, name, minimum=2)
        n, d = x.shape
        mean = x.mean(dim=0, dtype=torch.float64)
        scale = 1 / math.sqrt(n - 1)
        if n <= d:
            return cls(n, mean, (x.double() - mean) * scale)
        factor = x.new_empty((0, d), dtype=torch.float64)
        for rows in in_blocks(n, 4 * d):  # the triangle absorbs block after block: bounded memory
            block = (x[rows].double() - mean) * scale
            factor = torch.linalg.qr(torch.cat([factor, block]), mode="r").R
        return cls(n, mean, factor)


def frechet_distance(reference: Array | Statistics, generated: Array | Statistics) -> float:
    """Return the Frechet distance; 0 for equal moments, symmetric, biased upwards at small n.

    A value means little without its floor, the same statistic between real sets of the same sizes.

    Parameters
    ----------
    reference
        (n, d) features, or their `Statistics`.
    generated
        (m, d) features, or their `Statistics`.

    Returns
    -------
    float
        At least 0, in squared feature units.

    Raises
    ------
    UsageError
        A set of fewer than two images, NaN or infinite values, or unequal dimensions.
    """
    a = reference if isinstance(reference, Statistics) else Statistics.of(reference, "reference")
    b = generated if isinstance(generated, Statistics) else Statistics.of(generated, "generated")
    same_width(a.factor, b.factor)
    nuclear = torch.linalg.svdvals(a.factor @ b.factor.T).sum()
    distance = (
        (a.mean - b.mean).square().sum() + a.factor.square().sum() + b.factor.square().sum() - 2 * nuclear
    )
    return max(float(distance), 0.0)


def frechet_infinity(
    reference: Array | Statistics, generated: Array, *, sizes: int = 15, seed: int = 0
) -> float:
    """Return the Frechet distance extrapolated to infinitely many generated images.

    The distance of n images is FD + b / n to first order, b depending on the model (Chong & Forsyth, 2020), so
    values of different n, or of models of different b, do not compare. It is measured on seeded subsets of n/10
    to n images, evenly spaced in n, and the intercept of the least-squares line over 1/n is returned. The
    reference is held fixed: its own share of the bias stays, equal for all that use it. Below about as many
    images as dimensions the line bends and the value is only less biased.

    Parameters
    ----------
    reference
        (n, d) features, or their `Statistics`.
    generated
        (m, d) features, m at least 20.
    sizes
        Points on the line, at least 2.
    seed
        Of the subsets, which are nested.

    Returns
    -------
    float
        In squared feature units; may fall below 0 by noise.

    Raises
    ------
    UsageError
        Too few images or sizes, NaN or infinite values, or unequal dimensions.
    """
    if sizes < 2:
        raise UsageError(f"an extrapolation needs at least 2 sizes, got {sizes}")
    a = reference if isinstance(reference, Statistics) else Statistics.of(reference, "reference")
    x = as_features(generated, "generated", minimum=20)
    order = torch.from_numpy(numpy_generator(seed, "frechet infinity").permutation(len(x))).to(x.device)
    counts = np.unique(np.linspace(len(x) / 10, len(x), sizes).round().astype(int))
    values = [frechet_distance(a, x[order[:n]]) for n in counts]
    _, intercept = np.polyfit(1 / counts, values, 1)
    return float(intercept)
