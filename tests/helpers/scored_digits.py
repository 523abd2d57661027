"""Three classes of the digits with a head, a middle and a tail, scored quickly, and readers of the rows."""

import dataclasses

import numpy as np
from tiny_runs import digits

from ltbench.extractors.registry import cached_features, get_extractor

WHOLE = digits()
K = 3  # classes 0, 1, 2 of the digits: head, middle and tail


def cut(images, counts):
    """Return the first `counts` images of the first classes."""
    rows = np.concatenate([np.flatnonzero(images.labels == k)[:n] for k, n in enumerate(counts)])
    return images.take(rows)


CELL = dataclasses.replace(
    WHOLE,
    reference=cut(WHOLE.reference, (50, 50, 50)),
    heldout=cut(WHOLE.heldout, (30, 28, 24)),
    train=cut(WHOLE.reference, (40, 20, 5)),
    counts=np.array([40, 20, 5]),
    head_to_tail=(0, 1, 2),
    groups={"head": (0,), "middle": (1,), "tail": (2,)},
)
HELD, REFERENCE = CELL.heldout, CELL.reference
SMALLEST = 24  # held-out images of the smallest class
REQUEST = {"metrics": ["frechet", "precision_recall", "agreement"], "floor_draws": 3}
FRECHET = REQUEST | {"metrics": ["frechet"]}


def noisy_samples():
    """Return 30 images a class and their labels, ever noisier towards the tail."""
    clean = cut(REFERENCE, (30, 30, 30))
    noise = np.random.default_rng(0).normal(0, 25, clean.images.shape) * clean.labels[:, None, None, None]
    return np.clip(clean.images + noise, 0, 255).astype(np.uint8), clean.labels


def value(table, metric, scope="overall", which=""):
    """Return the one value (float) of a number in a table."""
    rows = table[(table.metric == metric) & (table.scope == scope) & (table.class_or_group == str(which))]
    assert len(rows) == 1, (metric, scope, which, len(rows))
    return float(rows.value.iloc[0])


def features(images, cache):
    """Return the features of images by the digits' classifier."""
    return cached_features(get_extractor("digits_cnn"), images, cache / "features").features


def at(rows, metric, scope="overall", place=""):
    """Return the one row (dict) of a number."""
    found = [r for r in rows if (r["metric"], r["scope"], r["class_or_group"]) == (metric, scope, str(place))]
    assert len(found) == 1, (metric, scope, place, len(found))
    return found[0]
