"""Agreement: share of samples that a classifier of the data set's own classes puts into the class asked for.

    agreement = share of generated images whose predicted class is their label

The classifier is trained on real images and makes errors of its own: its agreement on held-out real images of
the class stands beside the value as its ceiling. Source: the "classification accuracy" of Ravuri & Vinyals
("Classification Accuracy Score", NeurIPS 2019), turned round: trained on real, tested on generated.
"""

import numpy as np
import torch

from ltbench.metrics.features import Array, as_features, as_labels


def predicted_classes(logits: Array) -> np.ndarray:
    """Return each image's class, the first largest of its logits (m, K).

    Raises
    ------
    UsageError
        NaN or infinite logits.
    """
    return torch.argmax(as_features(logits, "generated"), dim=1).cpu().numpy()


def agreement(generated: Array, generated_labels: Array) -> float:
    """Return the share of images classified as their label.

    Parameters
    ----------
    generated
        (m, K) logits of a classifier of the data set's classes.
    generated_labels
        (m,) integers in 0..K-1, what the images were conditioned on.

    Returns
    -------
    float
        In 0..1.

    Raises
    ------
    UsageError
        NaN or infinite logits, or labels that do not fit them.
    """
    logits = as_features(generated, "generated")
    predicted = predicted_classes(logits)
    return float(np.mean(predicted == as_labels(generated_labels, len(predicted), logits.shape[1])))


def confusion(logits: Array, labels: Array) -> np.ndarray:
    """Return counts (K, K) int64: row = the label conditioned on, column = the class predicted.

    Logits (m, K) and labels (m,) as `agreement` takes them; the same errors.
    """
    checked = as_features(logits, "generated")
    predicted, k = predicted_classes(checked), checked.shape[1]
    y = as_labels(labels, len(predicted), k)
    return np.bincount(y * k + predicted, minlength=k * k).reshape(k, k)
