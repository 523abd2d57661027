"""AuthPct, FLD, CMMD and CCUA's recall: values of the field's own code, and laws that hold for any data."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.cluster import MiniBatchKMeans

from ltbench.errors import UsageError
from ltbench.metrics.authenticity import authenticity_percent
from ltbench.metrics.cmmd import cmmd
from ltbench.metrics.fld import Mixture, feature_likelihood_divergence, standardised
from ltbench.metrics.prd import max_f_beta, prd, prd_curve
from ltbench.metrics.registry import REGISTRY, get_metric
from ltbench.rng import derive, numpy_generator

GOLDEN = np.load(Path(__file__).parents[1] / "goldens" / "group_metrics_k6.npz")
TRAINING, TEST, GENERATED = (GOLDEN[name].astype(np.float64) for name in ("training", "test", "generated"))


# -- the field's own code ---------------------------------------------------------------------------


def test_cmmd_of_the_golden():
    assert cmmd(GOLDEN["reference"], GOLDEN["generated"]) == pytest.approx(float(GOLDEN["cmmd"]), rel=1e-6)


def test_authpct_of_the_golden():
    assert authenticity_percent(TRAINING, GENERATED) == pytest.approx(float(GOLDEN["authpct"]), abs=1e-10)
    assert authenticity_percent(TRAINING, GENERATED) - 50 == pytest.approx(
        float(GOLDEN["authpct_official_minus_50"]), abs=1e-5
    )


def test_ccuas_recall_of_the_golden():
    metric = get_metric("precision_recall_ccua")
    assert metric.extractor == "inception"
    assert dict(metric.settings) == {"k": 3, "strict": True}
    found = metric(reference=GOLDEN["reference"], generated=GOLDEN["generated"])
    assert found["recall_ccua"] == pytest.approx(float(GOLDEN["fld_recall_k3_strict"]), abs=1e-6)
    assert found["precision_ccua"] == pytest.approx(float(GOLDEN["fld_precision_k3_strict"]), abs=1e-6)


def golden_sets():
    test, *others = (torch.from_numpy(x) for x in (TEST, TRAINING, TEST, GENERATED))
    return standardised(test, *others)


def test_flds_first_mixture_is_the_goldens():
    train, test, generated = golden_sets()
    start = Mixture.start(generated, train)
    difference = (start.log_variance.numpy() - GOLDEN["fld_initial_log_sigma2"]).__abs__()
    # The golden's float32 distances lose digits where two images nearly meet.
    assert np.median(difference) < 1e-6
    assert difference.max() < 2e-3
    assert start.nll(test) == pytest.approx(float(GOLDEN["fld_initial_nll_test"]), abs=1e-6)


def test_flds_fitted_mixture_and_gap_are_the_goldens():
    train, test, generated = golden_sets()
    fitted = Mixture.start(generated, train).fitted(train)
    assert fitted.nll(test) == pytest.approx(float(GOLDEN["fld_fitted_nll_test"]), rel=1e-3)
    assert fitted.nll(train) == pytest.approx(float(GOLDEN["fld_fitted_nll_train"]), rel=1e-3)
    found = feature_likelihood_divergence(TRAINING, TEST, GENERATED)
    official = GOLDEN["fld_test_train_gap_over_8_seeds"]  # FLD on the test set, on the training set, gap
    assert found["gap"] == pytest.approx(official[:, 2].mean(), abs=1e-3)
    assert abs(found["fld"] - official[:, 0].mean()) < 3 * official[:, 0].std(ddof=1)


# -- laws and exact small cases -----------------------------------------------------------------------


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


def test_fld_tells_copies_of_the_training_set_from_new_images():
    rng = np.random.default_rng(0)
    training, test, fresh = (rng.normal(size=(200, 4)) for _ in range(3))
    copied = training + rng.normal(0, 0.01, training.shape)
    new, copies = (feature_likelihood_divergence(training, test, x) for x in (fresh, copied))
    assert copies["gap"] < -20 < new["gap"]
    assert copies["fld"] > new["fld"]
    far = feature_likelihood_divergence(training, test, fresh + 3)
    assert far["fld"] > new["fld"]
    assert feature_likelihood_divergence(training, test, fresh) == new
    assert feature_likelihood_divergence(training, test, fresh, seed=1)["gap"] == new["gap"]
    assert feature_likelihood_divergence(training, test, fresh, seed=1)["fld"] != new["fld"]


def test_flds_baseline_is_fitted_to_half_of_the_training_set():
    """Jiralerspong et al.: centres are one half of the training set, their variances those that fit the other half."""
    rng = np.random.default_rng(3)
    training, test, generated = (rng.normal(size=(n, 3)) for n in (40, 24, 50))
    x, y, g = standardised(*(torch.tensor(a) for a in (test, training, test, generated)))
    order = numpy_generator(0, "fld halves").permutation(40)
    one, other = x[order[:20]], x[order[20:]]
    samples, baseline = Mixture.start(g, x).fitted(x), Mixture.start(one, other).fitted(other)
    expected = 100 * (samples.nll(y) - baseline.nll(y))
    assert feature_likelihood_divergence(training, test, generated, seed=0)["fld"] == pytest.approx(expected)


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


def test_what_a_registered_metric_states():
    """Fewest images and default bootstrap are part of what a stored number means."""
    fewest = {
        name: get_metric(name).minimum
        for name in ("frechet", "frechet_infinity", "kid_subsets", "sfid", "fld")
    }
    assert fewest == {"frechet": 2, "frechet_infinity": 200, "kid_subsets": 1000, "sfid": 2024, "fld": 20}
    assert {metric.name for metric in REGISTRY.values() if metric.quick} == {"agreement", "frechet"}


def test_a_mixture_is_a_value():
    mixture = Mixture.start(torch.zeros(2, 1, dtype=torch.float64), torch.ones(2, 1, dtype=torch.float64))
    with pytest.raises(dataclasses.FrozenInstanceError):
        mixture.centres = torch.ones(2, 1)
