"""CMMD: the field's own code, by hand, and its laws."""

import numpy as np
import pytest
from group_golden import GOLDEN

from ltbench.errors import UsageError
from ltbench.metrics.cmmd import cmmd


def test_cmmd_of_the_golden():
    assert cmmd(GOLDEN["reference"], GOLDEN["generated"]) == pytest.approx(float(GOLDEN["cmmd"]), rel=1e-6)


def test_cmmd_by_hand_and_its_laws():
    x, y = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    assert cmmd(x, y) == pytest.approx(1000 * (2 - 2 * np.exp(-2 / 200)))
    assert cmmd(5 * x, y) == cmmd(x, y) == cmmd(y, x)
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(40, 6)), rng.normal(0.5, 1, (30, 6))
    assert cmmd(a, a) == pytest.approx(0, abs=1e-9)
    means = [(s / np.linalg.norm(s, axis=1, keepdims=True)).mean(axis=0) for s in (a, b)]
    assert cmmd(a, b) == pytest.approx(10 * np.sum((means[0] - means[1]) ** 2), rel=0.02)
    with pytest.raises(UsageError, match="length 0"):
        cmmd(np.zeros((2, 3)), np.ones((2, 3)))
