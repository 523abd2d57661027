"""Memorisation: its threshold, copies, and how little few held-out images can tell."""

import numpy as np
import pytest
from metric_sets import normal
from scipy.spatial.distance import cdist

from ltbench.errors import UsageError
from ltbench.metrics.memorisation import memorisation


def test_memorisations_threshold_is_the_fifth_of_99_held_out_distances():
    """j = floor(.05 (n + 1)) = 5 of n = 99 (4 from n alone); strictly below counts, a tie does not."""
    training, heldout = np.zeros((1, 1)), np.arange(1.0, 100.0)[:, None]
    generated = np.array([[4.0], [5.0], [6.0]])
    found = memorisation(training, heldout, generated)
    assert found.threshold == 5
    assert found.expected == 5 / 100
    assert found.rate == 1 / 3
    assert memorisation(training, heldout, np.full((4, 1), 5.0)).rate == 0
    assert memorisation(training, heldout, np.full((4, 1), -5.0)).rate == 0
    assert memorisation(training, heldout, np.full((4, 1), np.nextafter(5.0, 0))).rate == 1


@pytest.mark.parametrize(("n_train", "n_heldout"), [(5, 9), (5, 100), (200, 40)])
def test_memorisation_rate_is_as_expected_for_new_images(n_train, n_heldout):
    found = [
        memorisation(normal(3 * i, n_train), normal(3 * i + 1, n_heldout), normal(3 * i + 2, 50))
        for i in range(300)
    ]
    rates = np.array([f.rate for f in found])
    assert abs(rates.mean() - found[0].expected) < 3 * rates.std() / np.sqrt(len(rates))
    # an exact test keeps its level, and is not idle
    rejected = np.mean([f.p_value <= 0.1 for f in found])
    assert 0.01 <= rejected <= 0.1 + 3 * np.sqrt(0.09 / 300)


def test_memorisation_finds_copies_in_a_class_of_five():
    train, heldout = normal(0, 5), normal(1, 100)
    copies = train[[3, 1, 1, 4]] + 1e-3
    found = memorisation(train, heldout, np.concatenate([copies, normal(2, 4, shift=9)]))
    assert found.rate == 0.5
    assert found.expected == 5 / 101
    assert found.p_value < 1e-3
    assert found.nearest[:4].tolist() == [3, 1, 1, 4]
    np.testing.assert_allclose(found.distance[:4], 1e-3 * np.sqrt(8))
    pairs = found.pairs(3)
    assert len(pairs) == 3
    assert all(i < 4 and t == found.nearest[i] for i, t, _ in pairs)
    assert [d for *_, d in pairs] == sorted(d for *_, d in pairs)


def test_memorisation_says_how_little_few_heldout_images_can_tell():
    found = memorisation(normal(0, 1), normal(1, 3), normal(2, 10))
    assert found.expected == 0.25  # the least that three held-out images can resolve
    assert found.threshold == pytest.approx(cdist(normal(1, 3), normal(0, 1)).min())
    with pytest.raises(UsageError, match="quantile"):
        memorisation(normal(0), normal(1), normal(2), quantile=1)
    with pytest.raises(UsageError, match="at least 1 held-out images, got 0"):
        memorisation(normal(0), normal(1, 0), normal(2))


def test_the_threshold_is_the_order_statistic_of_one_image_more():
    # 98 held-out images at distances 1 .. 98: j = floor(.05 (98 + 1)) = 4, so copies lie nearer than 4
    found = memorisation(
        np.zeros((1, 1)), np.arange(1.0, 99.0)[:, None], np.array([[3.5], [4.5]]), quantile=0.05
    )
    assert found.threshold == 4
    assert found.expected == 4 / 99
    assert found.rate == 0.5
