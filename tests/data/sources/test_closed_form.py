"""The classes of a known distribution: means and spreads by hand, and draws that have them."""

import numpy as np
import pytest

from ltbench.data.sources.closed_form import SOURCE, class_means, class_sds, draw


def test_means_are_cosines_and_spreads_rise_evenly():
    """Class 0 varies along the width alone: .36 cos(pi (x + 1/2) / 8)."""
    means = class_means()
    assert means.shape == (10, 1, 8, 8)
    row = 0.36 * np.cos(np.pi * np.arange(0.5, 8) / 8)
    np.testing.assert_allclose(means[0, 0], np.tile(row, (8, 1)), atol=1e-15)
    flat = means.reshape(10, 64)
    np.testing.assert_allclose(flat @ flat.T, np.diag(np.diag(flat @ flat.T)), atol=1e-12)  # no two alike
    np.testing.assert_allclose(class_sds()[[0, 9]], [0.08, 0.16])
    np.testing.assert_allclose(np.diff(class_sds()), 0.08 / 9)


def test_draws_have_the_classes_means_and_spreads():
    images = draw(400, 7)
    assert images.labels.tolist() == np.repeat(np.arange(10), 400).tolist()
    values = images.images / 127.5 - 1
    for k in (0, 4, 9):
        of_class = values[images.labels == k]
        assert np.abs(of_class.mean(0) - class_means()[k]).max() < 5 * class_sds()[k] / 20
        rounding = (2 / 255) ** 2 / 12
        assert of_class.std(0).mean() == pytest.approx(np.sqrt(class_sds()[k] ** 2 + rounding), rel=0.02)


def test_the_three_sets_are_the_draws_of_three_seeds(tmp_path):
    splits = SOURCE.load(tmp_path)
    for seed, images in enumerate((splits.pool, splits.reference, splits.heldout)):
        assert images.sha256 == draw(300, seed).sha256
    assert SOURCE.status(tmp_path).found
