"""AuthPct: share of samples that are farther from their nearest training image than its own neighbour is.

    AuthPct = 100 mean_i [ |g_i - x_n(i)| > min_{m != n(i)} |x_m - x_n(i)| ],  n(i) = g_i's nearest training image

Higher is more authentic. In a long tail the nearest other training image is far, so that even new real images
look copied there: read it beside its floor, the same share of held-out images. `memorisation_rate` is
calibrated on those from the start. A class of one training image has no other and so no value.

Of training images equally near to a sample the first in the training set's order is taken; a sample exactly as
far as its neighbour's neighbour is not authentic.

Source: Alaa et al., "How Faithful is your Synthetic Data? Sample-level Metrics for Evaluating and Auditing
Generative Models", ICML 2022. (The FLD package prints it less 50.)
"""

from ltbench.metrics.distances import MEMORY, neighbours
from ltbench.metrics.features import Array, as_features, same_width


def authenticity_percent(training: Array, generated: Array, *, memory: int = MEMORY) -> float:
    """Return AuthPct.

    Parameters
    ----------
    training
        (t, d) features of the training images, at least 2.
    generated
        (m, d) features of samples.
    memory
        Bytes for a tile of distances and its inputs.

    Returns
    -------
    float
        In 0..100.

    Raises
    ------
    UsageError
        Fewer than two training images, no sample, NaN or infinite values, or unequal dimensions.
    """
    train, fake = as_features(training, "training", minimum=2), as_features(generated, "generated")
    same_width(train, fake)
    to_nearest = neighbours(train, None, 1, memory)[0][:, 0]
    squared, nearest = neighbours(fake, train, 1, memory)
    limit = to_nearest[nearest[:, 0]] * (
        1 + 1e-9
    )  # equal distances of two products differ in their last digits
    return 100 * float((squared[:, 0] > limit).double().mean())
