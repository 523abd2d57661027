"""The inception score: bounds, and what an unshuffled set does to it."""

import numpy as np
import pytest

from ltbench.metrics.inception_score import inception_score


def test_inception_score_bounds_and_shuffle():
    logits = 100.0 * np.eye(10)[np.arange(100) // 10]  # sure of its class, stored class by class
    assert inception_score(logits, splits=1)["mean"] == pytest.approx(10)
    assert inception_score(logits, splits=10, seed=None)["mean"] == pytest.approx(1)
    assert inception_score(logits, splits=2, seed=3)["mean"] > 9
    assert inception_score(logits, splits=2, seed=3) == inception_score(logits, splits=2, seed=3)
