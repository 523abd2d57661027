"""The Frechet distance: a matrix square root, laws, and its extrapolation in the number of images."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from metric_sets import few, normal, seeds
from scipy.linalg import sqrtm

import ltbench.metrics.frechet
from ltbench.errors import UsageError
from ltbench.metrics.frechet import Statistics, frechet_distance, frechet_infinity


def test_matrix_square_root_agrees():
    real, fake = normal(1, 50, 9), normal(2, 40, 9, 1.0, 2.0)
    s1, s2 = np.cov(real, rowvar=False), np.cov(fake, rowvar=False)
    shift = np.sum((real.mean(0) - fake.mean(0)) ** 2)
    naive = shift + np.trace(s1 + s2 - 2 * sqrtm(s1 @ s2).real)
    assert frechet_distance(real, fake) == pytest.approx(naive, rel=1e-9)


@few
@given(seeds, st.integers(2, 30), st.integers(2, 30), st.integers(1, 12))
def test_frechet_laws(seed, n, m, d):
    x, y = normal(seed, n, d), normal(seed + 1, m, d, 0.5)
    value = frechet_distance(x, y)
    assert frechet_distance(y, x) == pytest.approx(value, rel=1e-9, abs=1e-9)
    assert frechet_distance(x, x[::-1].copy()) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(x, x + 3) == pytest.approx(9 * d, rel=1e-9)
    assert frechet_distance(10 * x, 10 * y) == pytest.approx(100 * value, rel=1e-9, abs=1e-7)
    rotation = np.linalg.qr(normal(seed + 2, d, d))[0]
    assert frechet_distance(x @ rotation, y @ rotation) == pytest.approx(value, rel=1e-9, abs=1e-9)
    assert frechet_distance(Statistics.of(x), Statistics.of(y)) == value


def test_extrapolated_frechet_distance_does_not_grow_with_fewer_images():
    """Reference N(0, I) exactly, generated N(1/2, I) in 8 dimensions: the distance is 2, of 200 images 2.2."""
    reference = Statistics(10**9, torch.zeros(8, dtype=torch.float64), torch.eye(8, dtype=torch.float64))
    found = []
    for seed in range(40):
        x = np.random.default_rng(seed).normal(0.5, 1, (200, 8))
        found.append((frechet_distance(reference, x), frechet_infinity(reference, x, seed=seed)))
    plain, extrapolated = np.mean(found, axis=0)
    error = np.std(found, axis=0, ddof=1) / np.sqrt(len(found))
    assert plain > 2 + 3 * error[0]
    assert abs(extrapolated - 2) < 3 * error[1]
    assert abs(extrapolated - 2) < (plain - 2) / 2


def test_an_exact_line_is_extrapolated_exactly(monkeypatch):
    monkeypatch.setattr(ltbench.metrics.frechet, "frechet_distance", lambda _, x: 3 + 50 / len(x))
    assert frechet_infinity(normal(0), normal(1, 100)) == pytest.approx(3, abs=1e-9)


def test_an_extrapolation_begins_at_twenty_images():
    assert np.isfinite(frechet_infinity(normal(0), normal(1, 20)))
    with pytest.raises(UsageError, match="at least 20 generated images, got 19"):
        frechet_infinity(normal(0), normal(1, 19))
