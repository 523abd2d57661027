"""Entanglement of the network's bottleneck: how well pooled features tell the classes apart.

CORAL explains poor tail classes by their latents overlapping the head's, and shows it as a t-SNE picture.
These figures measure it, on balanced held-out real images, so that no class weighs more than another.
Distances are Euclidean between the features as the network uses them, like the picture's; a rotation or the
features' overall scale changes none.

    knn_accuracy         leave-one-out accuracy of the k nearest neighbours' vote
    silhouette           mean of (b - a) / max(a, b), a and b the mean distances to the own and the next class
    scatter_ratio        sum of squares between class means / within classes; (K - 1) / (n - K) if all are one
    head_tail_confusion  share of tail-class images whose neighbours vote for a head class
    linear_probe         cross-validated accuracy of a logistic regression

Sources: CORAL, NeurIPS 2025 (the claim); Rousseeuw, J. Comput. Appl. Math. 20, 1987 (silhouette); Alain
& Bengio, "Understanding Intermediate Layers Using Linear Classifier Probes", 2016.
"""

import numpy as np
import torch
from torch import Tensor

from ltbench.errors import UsageError
from ltbench.metrics.distances import neighbours
from ltbench.metrics.features import Array, as_features, as_labels
from ltbench.rng import derive

_FOLDS = 5


def head_and_tail(train_counts: Array) -> tuple[np.ndarray, np.ndarray]:
    """Return the classes with most and with fewest training images, a third of all each, at least one.

    By rank and not by shot groups: CIFAR10-LT at ratio 0.01 has no class of fewer than 20 images. Ties go by
    class index.

    Parameters
    ----------
    train_counts
        (K,) training images a class, K >= 2.
    """
    counts = np.asarray(train_counts)
    order = np.argsort(-counts, kind="stable")
    third = max(1, len(counts) // 3)
    return order[:third], order[-third:]


def knn_votes(x: Tensor, labels: np.ndarray, num_classes: int, k: int) -> np.ndarray:
    """Return each row's class (n,) by vote of its k nearest other rows; the nearer class wins a tie."""
    _, index = neighbours(x, None, k)
    voters = labels[index.cpu().numpy()]
    votes = np.zeros((len(labels), num_classes))
    weights = 1 + 1e-6 * np.arange(k, 0, -1)  # too small to outvote, enough to break ties
    np.add.at(votes, (np.arange(len(labels))[:, None], voters), weights)
    result: np.ndarray = votes.argmax(axis=1)
    return result


def scatter_ratio(x: Tensor, labels: np.ndarray) -> float:
    """Return the between-class over the within-class sum of squares; infinite if classes are points."""
    mean = x.mean(dim=0)
    between = within = 0.0
    for c in np.unique(labels):
        rows = x[torch.from_numpy(labels == c).to(x.device)]
        between += len(rows) * float((rows.mean(dim=0) - mean).square().sum())
        within += float((rows - rows.mean(dim=0)).square().sum())
    if within == 0:
        return float("inf") if between > 0 else 0.0
    return between / within


def linear_probe(x: Tensor, labels: np.ndarray, seed: int = 0) -> float:
    """Return the mean accuracy of an logistic regression over 5 stratified folds.

    L2-regularised (C = 1), on features standardised within each training fold.
    """
    from sklearn.linear_model import (
        LogisticRegression,  # here: slow to import, and every command imports this module
    )
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=derive(seed, "linear probe") & 0xFFFF_FFFF)
    return float(cross_val_score(model, x.cpu().numpy(), labels, cv=folds).mean())


def entanglement(
    features: Array, labels: Array, train_counts: Array, *, k: int = 5, seed: int = 0
) -> dict[str, float]:
    """Return all five figures for one noise level of one trained network.

    Parameters
    ----------
    features
        (n, d) pooled bottleneck features of real images, equally many a class.
    labels
        (n,) integers, their true classes; at least two classes of at least five images each.
    train_counts
        (K,) images a class in the long-tailed training set; says what is head and tail.
    k
        Neighbours that vote.
    seed
        Of the probe's folds.

    Returns
    -------
    dict
        The five figures by the names in this module.

    Raises
    ------
    UsageError
        Too few classes or images a class, labels that do not fit, NaN or infinite values.
    """
    from sklearn.metrics import silhouette_score

    counts = np.asarray(train_counts)
    if counts.ndim != 1 or counts.dtype.kind not in "iu":
        raise UsageError(
            f"train_counts must be one integer a class, got {counts.dtype} of shape {counts.shape}"
        )
    x = as_features(features, "bottleneck").double()
    y = as_labels(labels, len(x), len(counts), "bottleneck")
    present, sizes = np.unique(y, return_counts=True)
    if len(present) < 2 or sizes.min() < _FOLDS:
        raise UsageError(
            f"entanglement needs at least 2 classes of at least {_FOLDS} images, got {len(present)}"
            f" with {sizes.min()} or more"
        )
    if not 1 <= k < len(x):
        raise UsageError(f"k must be in 1..{len(x) - 1}, got {k}")
    votes = knn_votes(x, y, len(counts), k)
    head, tail = head_and_tail(counts)
    in_tail = np.isin(y, tail)
    if not in_tail.any():
        raise UsageError(f"entanglement needs images of the tail classes {tail.tolist()}, got none")
    return {
        "knn_accuracy": float(np.mean(votes == y)),
        "silhouette": float(silhouette_score(x.cpu().numpy(), y)),
        "scatter_ratio": scatter_ratio(x, y),
        "head_tail_confusion": float(np.isin(votes[in_tail], head).mean()),
        "linear_probe": linear_probe(x, y, seed),
    }
