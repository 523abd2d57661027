"""The Vendi score: counting, replayed images, and the eigenvalues' entropy."""

import numpy as np
import pytest
from metric_sets import normal
from scipy.spatial.distance import cdist

from ltbench.metrics.diversity import vendi_score


def test_vendi_counts_different_images():
    reference = np.concatenate([np.eye(6), -np.eye(6)])  # mean 0
    for modes in (1, 2, 6):
        copies = np.eye(6)[np.arange(12) % modes]
        assert vendi_score(reference, copies) == pytest.approx(modes)
        assert vendi_score(reference, 1e-3 * copies) == pytest.approx(modes)  # directions, not lengths
    assert vendi_score(reference + 5, np.eye(6) + 5) == pytest.approx(6)


def test_vendi_sees_replayed_tail_images_that_distances_miss():
    real = normal(0, 400, 16)
    replayed, new = np.repeat(real[:5], 40, axis=0), normal(1, 200, 16)
    assert cdist(replayed, replayed).mean() > 0.7 * cdist(new, new).mean()
    assert vendi_score(real, replayed) <= 5 < 10 < vendi_score(real, new)


def test_vendi_is_the_eigenvalue_entropy():
    x, y = normal(0, 30, 5), normal(1, 20, 5, shift=1)
    z = y - x.mean(axis=0)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    shares = np.linalg.eigvalsh(z @ z.T / 20)
    shares = shares[shares > 1e-12]
    assert vendi_score(x, y) == pytest.approx(np.exp(-np.sum(shares * np.log(shares))), rel=1e-9)
    assert vendi_score(x, np.repeat(y, 3, axis=0)) == pytest.approx(vendi_score(x, y), rel=1e-9)


def test_vendi_of_images_without_direction():
    same = np.full((4, 3), 2.0, np.float32)
    assert vendi_score(same, same) == pytest.approx(1)
    assert vendi_score(same, np.concatenate([same, same + np.eye(3)[:1]])) == pytest.approx(2)
    # three images that are the centre up to a float64's last digit: where rounding points is no variety
    last = np.full((3, 3), 2.0) + np.diag(np.spacing(np.full(3, 2.0)))
    assert vendi_score(same, last) == pytest.approx(1)
