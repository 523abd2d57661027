"""Precision and recall of distributions, summarised as F8 and F1/8.

Both sets' features are clustered together; with p and q the reference's and the generated set's histograms
over clusters, the curve is, for slopes lambda = tan(angle),

    precision(lambda) = sum_c min(lambda p_c, q_c),   recall(lambda) = precision(lambda) / lambda

F_beta = max over the curve of (1 + beta^2) P R / (beta^2 P + R). F8 weighs recall and F1/8 precision; scorers
exist that print the two under each other's name.

Source: Sajjadi et al., "Assessing Generative Models via Precision and Recall", NeurIPS 2018 (20 clusters on
10 classes, 1001 angles, 10 runs); the comparison takes 20 x K clusters.
"""

import numpy as np

from ltbench.errors import UsageError
from ltbench.metrics.features import Array, as_features, same_width
from ltbench.rng import derive, numpy_generator

_ANGLE_MARGIN = 1e-10  # radians kept from 0 and pi/2, where the slope or its inverse is infinite
_TINY = 1e-10  # in F_beta's denominator: 0 where precision and recall are


def prd_curve(
    reference_histogram: np.ndarray, generated_histogram: np.ndarray, angles: int = 1001
) -> tuple[np.ndarray, np.ndarray]:
    """Return precision and recall at evenly spaced angles.

    Parameters
    ----------
    reference_histogram, generated_histogram
        (C,) non-negative, each with sum 1.
    angles
        Points of the curve.

    Returns
    -------
    precision, recall : (angles,) float64 in 0..1.

    Raises
    ------
    UsageError
        Unequal lengths, negative or NaN entries, a sum other than 1, or fewer than 3 angles.
    """
    p, q = np.asarray(reference_histogram, np.float64), np.asarray(generated_histogram, np.float64)
    if p.ndim != 1 or p.shape != q.shape:
        raise UsageError(f"histograms must have one shape (clusters,), got {p.shape} and {q.shape}")
    for h in (p, q):
        if not (np.all(h >= 0) and np.isclose(h.sum(), 1)):
            raise UsageError("histograms must be non-negative with sum 1; divide counts by their total")
    if angles < 3:
        raise UsageError(f"a curve needs at least 3 angles, got {angles}")
    slope = np.tan(np.linspace(_ANGLE_MARGIN, np.pi / 2 - _ANGLE_MARGIN, angles))
    precision = np.minimum(slope[:, None] * p, q).sum(axis=1)
    return np.minimum(precision, 1.0), np.minimum(precision / slope, 1.0)


def max_f_beta(precision: np.ndarray, recall: np.ndarray, beta: float) -> float:
    """Return the largest F_beta on a curve; beta > 1 weighs recall, beta < 1 precision."""
    b2 = beta**2
    return float(np.max((1 + b2) * precision * recall / (b2 * precision + recall + _TINY)))


def prd(
    reference: Array,
    generated: Array,
    num_classes: int,
    *,
    clusters_per_class: int = 20,
    angles: int = 1001,
    runs: int = 10,
    seed: int = 0,
) -> dict[str, float]:
    """Return F8 and F1/8 of the curve averaged over seeded clusterings.

    Parameters
    ----------
    reference, generated
        (n, d) and (m, d) features. The larger set is cut, by a seeded draw, to the smaller
        one's size: clusters would follow the larger set.
    num_classes
        K; ``clusters_per_class`` x K clusters.
    clusters_per_class, angles, runs
        The protocol.
    seed
        Of cut and clusterings.

    Returns
    -------
    dict
        ``f8`` (recall-like) and ``f1_8`` (precision-like), in 0..1. Swapping the sets swaps the two, up to
        the clusterings' randomness.

    Raises
    ------
    UsageError
        More clusters than images, NaN or infinite values, or unequal dimensions.
    """
    from sklearn.cluster import MiniBatchKMeans  # here: slow to import, and every command imports this module

    x, y = as_features(reference, "reference"), as_features(generated, "generated")
    same_width(x, y)
    n, clusters = min(len(x), len(y)), clusters_per_class * num_classes
    if runs < 1:
        raise UsageError(f"runs must be at least 1, got {runs}")
    if not 1 <= clusters <= 2 * n:
        raise UsageError(
            f"PRD with {clusters} clusters needs at least {-(-clusters // 2)} images a set, got {n};"
            " generate more or lower clusters_per_class"
        )
    cut = numpy_generator(seed, "prd cut")
    both = np.concatenate([s.cpu().numpy()[np.sort(cut.choice(len(s), n, replace=False))] for s in (x, y)])
    curves = []
    for run in range(runs):
        state = derive(seed, "prd clustering", run) & 0xFFFF_FFFF
        kmeans = MiniBatchKMeans(clusters, n_init=10, random_state=state)
        assigned = kmeans.fit(both).labels_
        p, q = (np.bincount(part, minlength=clusters) / n for part in (assigned[:n], assigned[n:]))
        curves.append(prd_curve(p, q, angles))
    precision, recall = np.mean(curves, axis=0)
    return {"f8": max_f_beta(precision, recall, 8), "f1_8": max_f_beta(precision, recall, 1 / 8)}
