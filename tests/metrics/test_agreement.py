"""Agreement and confusion of a classifier with labels, and labels that do not fit."""

import numpy as np
import pytest
import torch

from ltbench.errors import UsageError
from ltbench.metrics.agreement import agreement, confusion


def test_agreement_and_confusion():
    logits = np.array([[2.0, 1, 0], [2, 1, 0], [0, 1, 2], [0, 3, 3]])
    labels = np.array([0, 1, 2, 2])
    assert agreement(logits, labels) == 0.5
    assert agreement(torch.tensor(logits), torch.tensor(labels)) == 0.5
    assert confusion(logits, labels).tolist() == [[1, 0, 0], [1, 0, 0], [0, 1, 1]]


@pytest.mark.parametrize(
    ("labels", "says"),
    [([0, 1, 3], r"0\.\.2"), ([0, 1], "one per image"), ([0.0, 1, 2], "integers"), ([0, -1, 2], r"-1\.\.2")],
)
def test_labels_that_do_not_fit(labels, says):
    with pytest.raises(UsageError, match=says):
        agreement(np.eye(3), np.array(labels))
