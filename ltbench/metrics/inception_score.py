"""Inception score: confident and varied predictions of a classifier, without any reference.

    IS = exp( mean_i KL( p(y | x_i) || mean_i p(y | x_i) ) ), a split at a time

Source: Salimans et al., "Improved Techniques for Training GANs", NeurIPS 2016 (10 splits).
"""

import math

import torch

from ltbench.errors import UsageError
from ltbench.metrics.features import Array, as_features
from ltbench.rng import numpy_generator


def inception_score(generated: Array, *, splits: int = 10, seed: int | None = 0) -> dict[str, float]:
    """Return mean and standard deviation of the score over splits.

    Parameters
    ----------
    generated
        (m, C) logits, before the softmax.
    splits
        Consecutive parts of near-equal size; the score falls with smaller parts, so state it.
    seed
        Of the shuffle before splitting; None keeps the order. Samples stored class by class must be
        shuffled, or each split holds few classes and scores low.

    Returns
    -------
    dict
        ``mean`` in 1..C and ``std`` (population) over splits.

    Raises
    ------
    UsageError
        Fewer images than splits, or NaN or infinite logits.
    """
    if splits < 1:
        raise UsageError(f"splits must be at least 1, got {splits}")
    logits = as_features(generated, "generated", minimum=splits)
    if seed is not None:
        order = numpy_generator(seed, "inception score shuffle").permutation(len(logits))
        logits = logits[torch.from_numpy(order).to(logits.device)]
    scores = []
    for i in range(splits):
        part = logits[i * len(logits) // splits : (i + 1) * len(logits) // splits]
        log_p = torch.log_softmax(part.double(), dim=1)
        log_marginal = torch.logsumexp(log_p, dim=0) - math.log(len(part))
        divergence = (log_p.exp() * (log_p - log_marginal)).sum(dim=1)
        scores.append(divergence.mean().exp())
    value = torch.stack(scores)
    return {"mean": float(value.mean()), "std": float(value.std(correction=0))}
