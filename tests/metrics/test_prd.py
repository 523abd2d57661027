"""PRD: released code's curve and F-scores, and which name is recall."""

import numpy as np
import pytest
from metric_sets import normal
from sklearn.cluster import MiniBatchKMeans

from ltbench.metrics.prd import max_f_beta, prd, prd_curve
from ltbench.metrics.registry import get_metric
from ltbench.rng import derive


def test_released_prd_curve(golden):
    g, _ = golden
    precision, recall = prd_curve(g["prd_ref_hist"], g["prd_eval_hist"])
    np.testing.assert_allclose(precision, g["prd_precision"], rtol=1e-6)
    np.testing.assert_allclose(recall, g["prd_recall"], rtol=1e-6)
    assert max_f_beta(precision, recall, 8) == pytest.approx(g["prd_f8"], rel=1e-6)
    assert max_f_beta(precision, recall, 1 / 8) == pytest.approx(g["prd_f1_8"], rel=1e-6)


def test_prd_names_point_the_right_way():
    modes = 20 * np.eye(4)
    real = np.concatenate([m + normal(i, 50, 4, scale=0.1) for i, m in enumerate(modes)])
    dropped = np.concatenate(
        [modes[0] + normal(9, 100, 4, scale=0.1), modes[1] + normal(8, 100, 4, scale=0.1)]
    )
    got = prd(real, dropped, 1, clusters_per_class=4, runs=2)
    assert got["f1_8"] > 0.9
    assert got["f8"] < 0.6
    back = prd(dropped, real, 1, clusters_per_class=4, runs=2)
    assert (back["f8"], back["f1_8"]) == pytest.approx((got["f1_8"], got["f8"]), abs=0.02)
    same = prd(real, real, 1, clusters_per_class=4, runs=2)
    assert same == pytest.approx({"f8": 1, "f1_8": 1})
    far = prd(real, real + 100, 1, clusters_per_class=4, runs=2)
    assert far == pytest.approx({"f8": 0, "f1_8": 0}, abs=1e-6)
    assert got == prd(real, dropped, 1, clusters_per_class=4, runs=2)


def test_prd_is_asked_for_as_published():
    """Sajjadi et al.'s code: 20 clusters a class, 1001 angles, 10 runs."""
    assert dict(get_metric("prd").settings) == {"clusters_per_class": 20, "angles": 1001, "runs": 10}


def test_prd_of_half_the_modes_by_hand():
    """Four equal modes, two of them generated: precision 1, recall 1/2 at the best slope.

    F_8 = 65 (1/2) / (64 + 1/2), F_1/8 = (65/64) (1/2) / (1/64 + 1/2).
    """
    rng = np.random.default_rng(0)
    modes = 100.0 * np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    reference = np.repeat(modes, 50, axis=0) + rng.normal(size=(200, 2))
    generated = np.repeat(modes[:2], 100, axis=0) + rng.normal(size=(200, 2))
    found = prd(reference, generated, 4, clusters_per_class=1, runs=2)
    assert found["f8"] == pytest.approx(32.5 / 64.5, abs=2e-3)
    assert found["f1_8"] == pytest.approx(65 / 66, abs=2e-3)


def test_prd_takes_the_best_of_ten_starts():
    """Sajjadi et al.'s code: MiniBatchKMeans(n_init=10) on both sets together."""
    rng = np.random.default_rng(0)
    reference, generated = rng.normal(size=(200, 2)), rng.normal(0.5, 1, (200, 2))
    state = derive(0, "prd clustering", 0) & 0xFFFF_FFFF
    clustering = MiniBatchKMeans(12, n_init=10, random_state=state).fit(
        np.concatenate([reference, generated])
    )
    shares = [np.bincount(part, minlength=12) / 200 for part in np.split(clustering.labels_, 2)]
    precision, recall = prd_curve(*shares, 101)
    found = prd(reference, generated, 1, clusters_per_class=12, angles=101, runs=1, seed=0)
    assert found["f8"] == pytest.approx(max_f_beta(precision, recall, 8), rel=1e-12)
    assert found["f1_8"] == pytest.approx(max_f_beta(precision, recall, 1 / 8), rel=1e-12)
