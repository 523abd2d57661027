"""The classification accuracy score: right and wrong labels, seeds, absent classes."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from ltbench.errors import UsageError
from ltbench.metrics.cas import classification_accuracy_score
from ltbench.metrics.registry import get_metric


@pytest.fixture(scope="module")
def digits():
    data = load_digits()
    return (data.images * 15.9).astype(np.uint8)[:, None], data.target


def test_cas_rewards_right_labels_and_names_missing_classes(digits):
    x, y = digits
    train, test = slice(0, 900), slice(1300, None)
    state = torch.get_rng_state()
    good = classification_accuracy_score(x[train], y[train], x[test], y[test], 10, steps=40)
    assert torch.equal(torch.get_rng_state(), state)
    assert good["accuracy"] > 0.85
    assert good["accuracy"] == pytest.approx(good["class_accuracy"].mean())
    # no 9s at all, and 0s under the label of 1s
    kept, label = y[train] != 9, np.where(y[train] == 0, 1, y[train])
    flawed = classification_accuracy_score(x[train][kept], label[kept], x[test], y[test], 10, steps=40)
    assert flawed["class_accuracy"][[0, 9]].max() == 0
    assert flawed["class_accuracy"][2:9].mean() > 0.7


def test_cas_is_seeded_and_reports_absent_classes(digits):
    x, y = digits
    kept = y[900:] != 3
    args = (x[:200], y[:200], x[900:][kept], y[900:][kept], 10)
    first, again, other = (classification_accuracy_score(*args, steps=5, seed=s) for s in (0, 0, 1))
    np.testing.assert_array_equal(first["class_accuracy"], again["class_accuracy"])
    assert not np.array_equal(first["class_accuracy"], other["class_accuracy"], equal_nan=True)
    assert np.isnan(first["class_accuracy"][3])
    assert np.isfinite(first["accuracy"])
    outputs = get_metric("cas").outputs
    assert [(o.name, o.per_class) for o in outputs] == [("cas", False), ("cas_class", True)]


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (np.zeros((4, 1, 8, 8), np.float32), "uint8"),
        (np.zeros((4, 8, 8), np.uint8), "channels, height, width"),
        (np.zeros((4, 3, 8, 8), np.uint8), "own size"),
        (np.zeros((1, 1, 8, 8), np.uint8), "at least 2 generated"),
        (np.zeros((0, 1, 8, 8), np.uint8), "and not empty"),
    ],
)
def test_cas_errors(digits, images, says):
    x, y = digits
    with pytest.raises(UsageError, match=says):
        classification_accuracy_score(images, np.zeros(len(images), int), x, y, 10)
