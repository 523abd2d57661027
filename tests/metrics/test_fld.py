"""FLD: the field's own code, and copies of the training set."""

import dataclasses

import numpy as np
import pytest
import torch
from group_golden import GENERATED, GOLDEN, TEST, TRAINING

from ltbench.metrics.fld import Mixture, feature_likelihood_divergence, standardised
from ltbench.rng import numpy_generator


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
    assert feature_likelihood_divergence(training, test, fresh, seed=1)["gap"] == pytest.approx(new["gap"])
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


@pytest.mark.parametrize("made", [20, 9])
def test_flds_baseline_of_few_generated_images_is_fitted_to_all_others(made, monkeypatch):
    """Centres are at most as many as were generated; the rest, not the other half, fits them. It fitted the half."""
    monkeypatch.setattr("ltbench.metrics.fld.FEWEST", 5)
    rng = np.random.default_rng(4)
    training, test, generated = (rng.normal(size=(n, 3)) for n in (61, 24, made))
    x, y, g = standardised(*(torch.tensor(a) for a in (test, training, test, generated)))
    order = numpy_generator(0, "fld halves").permutation(61)
    centres, rest = x[order[:made]], x[order[made:]]
    samples, baseline = Mixture.start(g, x).fitted(x), Mixture.start(centres, rest).fitted(rest)
    expected = 100 * (samples.nll(y) - baseline.nll(y))
    assert feature_likelihood_divergence(training, test, generated)["fld"] == pytest.approx(expected)


def test_fld_does_not_depend_on_the_order_of_a_training_set_of_several_batches(monkeypatch):
    """Class after class, the last batch was of the tail alone and had the last word on every variance."""
    monkeypatch.setattr("ltbench.metrics.fld._BATCH", 50)
    rng = np.random.default_rng(5)
    head, tail = rng.normal(0, 1, size=(120, 3)), rng.normal(6, 1, size=(60, 3))
    test, generated = (
        np.concatenate([rng.normal(0, 1, (60, 3)), rng.normal(6, 1, (60, 3))]) for _ in range(2)
    )
    sets = [np.concatenate([head, tail]), np.concatenate([tail, head])]
    one, other = (feature_likelihood_divergence(x, test, generated)["gap"] for x in sets)
    spread = [feature_likelihood_divergence(sets[0], test, generated, seed=s)["gap"] for s in range(1, 6)]
    assert abs(one - other) < 4 * np.std(spread, ddof=1)


def test_a_mixture_is_a_value():
    mixture = Mixture.start(torch.zeros(2, 1, dtype=torch.float64), torch.ones(2, 1, dtype=torch.float64))
    with pytest.raises(dataclasses.FrozenInstanceError):
        mixture.centres = torch.ones(2, 1)
