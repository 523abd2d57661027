"""The bootstrap over images: from a metric of any subset of a sample set to intervals of evaluation noise.

An ``evaluate(rows)`` scores a subset of the sample set against a fixed reference, so this serves any metric.
The intervals cover evaluation noise only, the luck of which images were drawn from one trained model; the
spread over training seeds is another, larger matter.

The bootstrap draws halves without replacement. The classical one repeats images, and repeats are what
neighbour and moment statistics notice most: recall falls and Frechet distances rise. A half has
none, and a statistic's variance over random halves of n images is, to first order, that over fresh sets
of n: (1/m - 1/n) s^2 = s^2 / n at m = n/2.

Sources: Praestgaard & Wellner, "Exchangeably Weighted Bootstraps of the General Empirical Process", Annals of
Probability 21, 1993 (halves and the classical scheme are two of one family); Shao & Tu, "The Jackknife and
Bootstrap", 1995.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ltbench.errors import UsageError
from ltbench.metrics.features import Array, as_labels, by_class
from ltbench.rng import numpy_generator

Evaluate = Callable[[np.ndarray], Mapping[str, Any]]


@dataclass(frozen=True)
class Interval:
    """A bootstrap interval of evaluation noise.

    Attributes
    ----------
    low, high
        The value plus the quantiles of the scaled replicates about their mean; floats, or (K,) where
        the value is.
    standard_error
        Their standard deviation.
    """

    low: float | np.ndarray
    high: float | np.ndarray
    standard_error: float | np.ndarray


def bootstrap(
    evaluate: Evaluate,
    n_images: int,
    *,
    replicates: int = 200,
    level: float = 0.95,
    seed: int = 0,
    labels: Array | None = None,
) -> dict[str, Interval]:
    """Return an interval for the noise of having sampled these images and not others.

    The reference is held fixed. Replicates are centred on their own mean, because halving shifts a biased
    statistic, and scaled by sqrt(m / (n - m)) for odd n.

    Parameters
    ----------
    evaluate
        Rows int64, ascending -> output name -> value.
    n_images
        Images of the sample set, at least 2 (of each class, with ``labels``).
    replicates, level, seed
        Number of halves, nominal coverage, their stream.
    labels
        (n_images,) to halve each class by itself: sample sets hold a fixed number a class.

    Returns
    -------
    dict
        Output name -> `Interval`.

    Raises
    ------
    UsageError
        Too few images or replicates, or a level outside (0, 1).
    """
    # both import torch, which a report does without

    if replicates < 2 or not 0 < level < 1:
        raise UsageError(f"a bootstrap needs replicates >= 2 and 0 < level < 1, got {replicates} and {level}")
    y = np.zeros(n_images, np.int64) if labels is None else as_labels(labels, n_images)
    strata = list(by_class(np.arange(n_images), y).values())
    if not strata or min(map(len, strata)) < 2:
        raise UsageError("a bootstrap needs at least 2 images (of each class); generate more or leave it out")
    drawn = sum(len(rows) // 2 for rows in strata)
    values = []
    for i in range(replicates):
        rng = numpy_generator(seed, "bootstrap", i)
        half = np.concatenate([rng.choice(rows, len(rows) // 2, replace=False) for rows in strata])
        values.append(evaluate(np.sort(half)))
    of_all = evaluate(np.arange(n_images))
    scale = np.sqrt(drawn / (n_images - drawn))
    out = {}
    for name, value in of_all.items():
        replicate = np.array([v[name] for v in values])
        spread = scale * (replicate - replicate.mean(axis=0))
        low, high = np.quantile(spread, [(1 - level) / 2, (1 + level) / 2], axis=0)
        out[name] = Interval(value + low, value + high, spread.std(axis=0, ddof=1))
    return out
