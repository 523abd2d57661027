"""Precision, recall, density and coverage: the prdc package, laws, and coverage's ceiling."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from metric_sets import ORDERS, SIZES, few, normal, seeds

from ltbench.errors import UsageError
from ltbench.metrics.manifold import Manifold, coverage_ceiling, density_coverage, precision_recall


@ORDERS
@SIZES
def test_prdc_agrees(swapped, sizes):
    from prdc import compute_prdc

    real, fake = normal(1, sizes[0], 16), normal(2, sizes[1], 16, 0.2, 0.9)
    if swapped:
        real, fake = fake, real
    theirs = compute_prdc(real, fake, nearest_k=5)
    got = precision_recall(real, fake, k=5, strict=True) | density_coverage(real, fake, k=5)
    del got["coverage_ceiling"]
    assert got == pytest.approx(theirs)


@few
@given(seeds, st.integers(6, 14), st.integers(6, 14), st.booleans())
def test_manifold_laws(seed, n, m, strict):
    x, y = normal(seed, n, 3), normal(seed + 1, m, 3, 0.5)
    got = precision_recall(x, y, k=3, strict=strict)
    back = precision_recall(y, x, k=3, strict=strict)
    assert (got["precision"], got["recall"]) == (back["recall"], back["precision"])
    assert precision_recall(x, x, k=3, strict=strict) == {"precision": 1, "recall": 1}
    assert precision_recall(x, x + 100, k=3, strict=strict) == {"precision": 0, "recall": 0}
    assert precision_recall(Manifold.of(x), Manifold.of(y), k=3, strict=strict) == got  # smaller k served
    same = density_coverage(x, x, k=5)
    assert (same["density"], same["coverage"]) == (1, 1)  # k open balls hold each point: exact ties stay out
    assert density_coverage(x, x + 100)["density"] == 0
    for memory in (1, 2**13):  # tiles of one row, and of a few
        assert precision_recall(x, y, k=3, strict=strict, memory=memory) == got
        assert density_coverage(x, y, memory=memory) == density_coverage(x, y)


def test_a_manifold_of_a_small_set_serves_every_k_that_the_set_allows():
    """Four points of a line: two neighbours inside at k = 3 by hand; k = 5 is refused as of the bare features."""
    x, y = np.array([[0.0], [1.0], [3.0], [7.0]]), np.array([[-6.0], [5.0], [12.0], [20.0]])
    ready = Manifold.serving(x)
    assert ready.squared.tolist() == [[1, 9, 49], [1, 4, 36], [4, 9, 16], [16, 36, 49]]
    found = precision_recall(ready, y, k=3)
    assert found == precision_recall(x, y, k=3) == {"precision": 0.75, "recall": 1.0}
    with pytest.raises(UsageError, match="k=5 neighbours need at least 6 reference images, got 4"):
        density_coverage(ready, y, k=5)
    large = normal(0, 30, 4)
    assert (Manifold.serving(large).squared == Manifold.of(large).squared).all()
    with pytest.raises(UsageError, match="at least 2 reference images, got 1"):
        Manifold.serving(x[:1])


def test_ties_survive_a_far_origin():
    x = normal(0, 40, 5)
    near, far = precision_recall(x, x[:20] + 1e-3), precision_recall(x + 1e4, x[:20] + 1e4 + 1e-3)
    assert near == far


def test_whole_numbers_tie_exactly_however_far_outliers_lie():
    """Recall in the integers' own arithmetic: most distances tie, and the sets' means are far from most points."""
    for seed in range(40):
        x, y = (normal(2 * seed + side, 50, 1) ** 5 * 10 // 1 for side in (0, 1))
        within, across = np.abs(y - y.T), np.abs(x - y.T)
        radius = np.sort(within + np.diag([np.inf] * 50), axis=1)[:, 4]
        expected = (across < radius).any(axis=1).mean()
        assert precision_recall(x, y, k=5, strict=True)["recall"] == expected


def by_the_dense_matrix(real, fake, k, strict):
    """Precision, recall and coverage from every distance by its difference."""

    def squared(a, b):
        return ((a[:, None] - b) ** 2).sum(axis=2)

    radius, other = (np.sort(squared(x, x), axis=1)[:, k] for x in (real, fake))
    across = squared(real, fake)
    inside = across < radius[:, None] if strict else across <= radius[:, None]
    recalled = across < other if strict else across <= other
    return {"precision": inside.any(axis=0).mean(), "recall": recalled.any(axis=1).mean()}, inside


@pytest.mark.parametrize("far", [1e6, 1e9, 1e12])
@pytest.mark.parametrize("where", ["real", "fake", "both", "both sides"])
@pytest.mark.parametrize("strict", [False, True])
def test_one_extreme_outlier_decides_nothing_about_other_points(far, where, strict):
    real, fake = normal(1, 60, 20), normal(2, 50, 20, 0.3)
    if where != "fake":
        real[-1] = far
    if where != "real":
        fake[-1] = -far if where == "both sides" else far
    expected, _ = by_the_dense_matrix(real, fake, 3, strict)
    assert precision_recall(real, fake, k=3, strict=strict) == expected
    _, inside = by_the_dense_matrix(real, fake, 5, strict=True)
    got = density_coverage(real, fake, k=5)
    assert (got["density"], got["coverage"]) == (inside.sum() / (5 * 50), inside.any(axis=1).mean())


def test_improved_precision_sees_quality_and_recall_variety():
    real = normal(0, 200, 2)
    narrow = precision_recall(real, normal(1, 200, 2, scale=0.2))
    wide = precision_recall(real, normal(1, 200, 2, scale=5))
    assert narrow["precision"] > 0.95
    assert narrow["recall"] < 0.5
    assert wide["precision"] < 0.5
    assert wide["recall"] > 0.95


def test_coverage_ceiling_is_coverage_between_equal_distributions():
    values = [
        density_coverage(normal(2 * i, 40, 3), normal(2 * i + 1, 25, 3))["coverage"] for i in range(400)
    ]
    error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values) - coverage_ceiling(40, 25, 5)) < 3 * error
    assert coverage_ceiling(6, 1000, 5) > 0.999


def test_coverages_ceiling_of_two_real_and_one_generated_image():
    """k = 1: the nearest other point of a real image is the generated one in half of all orders."""
    assert coverage_ceiling(2, 1, k=1) == 0.5
    assert coverage_ceiling(3, 1, k=1) == pytest.approx(1 / 3)  # one of three other points
    assert coverage_ceiling(3, 2, k=2) == pytest.approx(1 - (2 / 4) * (1 / 3))
