"""Memorisation: are generated images closer to the training images than new real images are?

Every image's distance to its nearest training image of the class (the long-tailed subset, not the balanced
reference) is compared with the same distance of held-out real images of that class. The threshold is the
j-th smallest of the n held-out distances, j = max(1, floor(quantile (n + 1))):

    rate     = share of generated images strictly below the threshold
    expected = j / (n + 1), the same share were generated images exchangeable with held-out ones

so `expected` is exact at any n, and for a class of five training images both sides are distances to those
same five. A rate above it says "closer to the training set than a new image would be"; it does not tell
copies from blurry averages, which the kept pairs do.

Sources: the calibration is split-conformal (Vovk et al., "Algorithmic Learning in a Random World", 2005); the
idea of a held-out reference for copying is Meehan et al., "A Non-Parametric Test to Detect Data-Copying in
Generative Models", AISTATS 2020.
"""

from dataclasses import dataclass

import numpy as np

from ltbench.errors import UsageError
from ltbench.metrics.distances import MEMORY, neighbours
from ltbench.metrics.features import Array, as_features, same_width


@dataclass(frozen=True)
class Memorisation:
    """One class's nearest training images and what they say.

    Attributes
    ----------
    rate, expected
        See the module.
    p_value
        Chance of a rate at least this high without memorisation (beta-binomial, exact).
    threshold
        The held-out distance that calibrates, in feature units.
    distance
        (m,) float64, each generated image's distance to its nearest training image.
    nearest
        (m,) int64, that training image's row.
    """

    rate: float
    expected: float
    p_value: float
    threshold: float
    distance: np.ndarray
    nearest: np.ndarray

    def pairs(self, count: int) -> list[tuple[int, int, float]]:
        """Return the ``count`` closest pairs (generated row, training row, distance), closest first."""
        rows = np.argsort(self.distance, kind="stable")[:count]
        return [(int(i), int(self.nearest[i]), float(self.distance[i])) for i in rows]


def memorisation(
    training: Array, heldout: Array, generated: Array, *, quantile: float = 0.05, memory: int = MEMORY
) -> Memorisation:
    """Compare generated with held-out images' distances to the training images of one class.

    Parameters
    ----------
    training
        (t, d) features of the class's training images; one is enough.
    heldout
        (n, d) features of real images of the class, in neither training set nor reference.
    generated
        (m, d) features of samples of the class.
    quantile
        Share of held-out images below the threshold, in (0, 1).
    memory
        Bytes for a tile of distances and its inputs.

    Raises
    ------
    UsageError
        An empty set, NaN or infinite values, unequal dimensions, or a quantile out of range.
    """
    from scipy.stats import betabinom  # here: slow to import, and every command imports this module

    if not 0 < quantile < 1:
        raise UsageError(f"quantile must be between 0 and 1, got {quantile}")
    train = as_features(training, "training")
    real, fake = as_features(heldout, "held-out"), as_features(generated, "generated")
    same_width(train, real)
    same_width(train, fake)
    real_squared, _ = neighbours(real, train, 1, memory)
    fake_squared, nearest = neighbours(fake, train, 1, memory)
    n, m = len(real), len(fake)
    j = max(1, int(quantile * (n + 1)))
    threshold = float(real_squared[:, 0].sort().values[j - 1].sqrt())
    distance = fake_squared[:, 0].sqrt().cpu().numpy()
    below = int(np.count_nonzero(distance < threshold))
    return Memorisation(
        rate=below / m,
        expected=j / (n + 1),
        p_value=float(betabinom.sf(below - 1, m, j, n + 1 - j)),
        threshold=threshold,
        distance=distance,
        nearest=nearest[:, 0].cpu().numpy(),
    )


def memorisation_rate(training: Array, heldout: Array, generated: Array) -> dict[str, float]:
    """Return ``rate``, ``expected`` and ``p_value`` of `memorisation` at its default quantile."""
    result = memorisation(training, heldout, generated)
    return {"rate": result.rate, "expected": result.expected, "p_value": result.p_value}
