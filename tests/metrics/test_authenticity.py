"""AuthPct: the field's own code, and by hand."""

import numpy as np
import pytest
from group_golden import GENERATED, GOLDEN, TRAINING

from ltbench.errors import UsageError
from ltbench.metrics.authenticity import authenticity_percent


def test_authpct_of_the_golden():
    assert authenticity_percent(TRAINING, GENERATED) == pytest.approx(float(GOLDEN["authpct"]), abs=1e-10)
    assert authenticity_percent(TRAINING, GENERATED) - 50 == pytest.approx(
        float(GOLDEN["authpct_official_minus_50"]), abs=1e-5
    )


def test_authpct_by_hand():
    """Training at 0, 1 and 10: gaps of the nearest are 1, 1 and 9."""
    training = np.array([[0.0], [1.0], [10.0]])
    assert authenticity_percent(training, np.array([[-0.5]])) == 0  # .5 from 0, whose neighbour is 1 away
    assert authenticity_percent(training, np.array([[-1.5]])) == 100
    assert authenticity_percent(training, np.array([[-1.0]])) == 0  # a tie is no more than its neighbour
    assert authenticity_percent(training, np.array([[14.0], [-3.0]])) == 50
    with pytest.raises(UsageError, match="at least 2 training images, got 1"):
        authenticity_percent(training[:1], training)


def test_authpct_takes_a_tie_for_one_in_any_digits():
    """Training at a and b, generated at 2a - b: as far from a as b is, up to the rounding of two products."""
    for seed in range(40):
        a, b = np.random.default_rng(seed).normal(size=(2, 16))
        assert authenticity_percent(np.stack([a, b]), (2 * a - b)[None]) == 0
        assert authenticity_percent(np.stack([a, b]), (2.01 * a - 1.01 * b)[None]) == 100


def test_authpct_takes_the_first_of_equally_near_training_images():
    """A sample at 0 is 1 from -1, whose neighbour is .5 away, and 1 from 1, whose neighbour is 3 away."""
    authentic, copied = np.array([-1.0, -1.5, 1.0, 4.0]), np.array([1.0, 4.0, -1.0, -1.5])
    for others in range(0, 400, 57):  # whatever else is in the sets, and however they are cut into tiles
        far = np.linspace(50, 900, others)
        samples = np.concatenate([[0.0], 1e4 * np.arange(1, 40)])[:, None]
        found = [
            authenticity_percent(np.concatenate([near, far])[:, None], samples, memory=2**13)
            for near in (authentic, copied)
        ]
        assert found[0] - found[1] == pytest.approx(100 / 40)
