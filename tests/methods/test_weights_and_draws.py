"""Loss weights over time and tempered draws against closed formulas."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_runs import digits

from ltbench.baselines import min_snr, p2
from ltbench.errors import UsageError
from ltbench.method import DrawRatio, Needs, registry
from ltbench.spec import TrainSpec
from ltbench.training.batches import BatchSource, draw_power, draw_prior

ARRAYS = dict(np.load(Path(__file__).parents[1] / "goldens" / "weights_guidance_k10.npz"))
ABAR = torch.from_numpy(ARRAYS["alphas_bar"])
SNR = ABAR / (1 - ABAR)
CPU = torch.device("cpu")


@pytest.mark.parametrize("gamma", [1, 5, 20])
def test_min_snr(gamma):
    np.testing.assert_allclose(min_snr.min_snr(SNR, gamma), ARRAYS[f"min_snr_{gamma}"], rtol=1e-10)


def test_min_snrs_stated_values():
    weights = min_snr.min_snr(SNR, 5.0)
    assert weights[0].item() == pytest.approx(5.0e-4, rel=1e-3)
    assert weights.mean().item() == pytest.approx(0.913, abs=5e-4)
    assert weights[129] < 1 == weights[130]


@pytest.mark.parametrize("gamma", ["0.5", "1"])
def test_p2(gamma):
    np.testing.assert_allclose(p2.p2(SNR, 1.0, float(gamma)), ARRAYS[f"p2_k1_{gamma}"], rtol=1e-10)
    if gamma == "1":
        torch.testing.assert_close(p2.p2(SNR, 1.0, 1.0), 1 - ABAR)


@pytest.mark.parametrize(
    ("name", "golden"), [("min_snr", "min_snr_5"), ("p2", "p2_k1_1"), ("min_snr+p2", None)]
)
def test_a_batch_is_weighed_by_its_times_to_single_precision(name, golden):
    """Also at t = 0, where 1 - abar taken from a single-precision abar is off by 2e-4 of itself."""
    source = BatchSource(digits(), TrainSpec(batch_size=512), Needs(), 0, CPU)
    source._alpha_bar = ABAR
    batches = [source(step) for step in range(3)]
    expected = ARRAYS[golden] if golden else ARRAYS["min_snr_5"] * ARRAYS["p2_k1_1"]
    for batch in batches:
        weights = registry.create(name).weights(batch)
        np.testing.assert_allclose(weights, expected[batch.t], rtol=1e-5)
    assert min(int(batch.t.min()) for batch in batches) < 3


@pytest.mark.parametrize("power", ["0", "0.25", "0.5", "0.75", "1"])
def test_tempered_draws(power):
    counts = torch.from_numpy(ARRAYS["counts"]).double()
    found = draw_prior(counts / counts.sum(), float(power))
    np.testing.assert_allclose(found, ARRAYS[f"draw_power_{power}"], rtol=1e-10)


def test_the_power_of_ccuas_resampling():
    counts = torch.from_numpy(ARRAYS["counts"]).double()
    prior = counts / counts.sum()
    assert draw_power(prior, DrawRatio(0.1)) == pytest.approx(ARRAYS["draw_ccua_brs_power"].item())
    drawn = draw_prior(prior, DrawRatio(0.1))
    assert (drawn.min() / drawn.max()).item() == pytest.approx(0.1)
    # The released f^(k/(K-1)) goes by a class's rank, ours by its count, which is rounded to whole images.
    np.testing.assert_allclose(drawn, ARRAYS["draw_ccua_brs_f0.1"], rtol=3e-3)
    mild = torch.tensor([0.3, 0.4, 0.3])
    assert draw_power(mild, DrawRatio(0.1)) == 1  # never more unequal than the data
    assert draw_power(mild, DrawRatio(1.0)) == 0
    assert draw_power(torch.ones(3) / 3, DrawRatio(1.0)) == 1


@pytest.mark.parametrize(("power", "draw"), [(1.0, "natural"), (0.5, "sqrt"), (0.0, "balanced")])
def test_a_power_that_has_a_name_draws_the_same_images(power, draw):
    settings = TrainSpec(batch_size=16)
    named, numbered = (BatchSource(digits(), settings, Needs(draw=d), 0, CPU) for d in (draw, power))
    for step in (0, 3):
        assert torch.equal(named(step).x0, numbered(step).x0)
        assert torch.equal(named(step).draw_prior, numbered(step).draw_prior)


def test_tempered_asks_for_its_draw():
    assert registry.create_method("tempered").needs == Needs(draw=0.75)
    assert registry.create_method("tempered", smallest_draw=0.1).needs == Needs(draw=DrawRatio(0.1))
    assert registry.create("coral+tempered", {"tempered": {"power": 0.25}}).needs.draw == 0.25
    for bad in (-0.1, 1.5):
        with pytest.raises(ValueError, match=r"the power of a draw must be in \[0, 1\]"):
            Needs(draw=bad)
    with pytest.raises(ValueError, match=r"in \(0, 1\]"):
        DrawRatio(0.0)


@pytest.mark.parametrize(
    ("method", "good", "bad"),
    [
        ("tempered", {"smallest_draw": 1.0}, {"smallest_draw": 1.5}),
        ("tempered", {"smallest_draw": 0.5}, {"smallest_draw": 0.0}),
        ("t2h", {"until_time": 0}, {"until_time": -1}),
        ("t2h", {"from_time": 0}, {"from_time": -1}),
        ("effective_number", {"beta": 0.0}, {"beta": -0.5}),
        ("effective_number", {"beta": 0.999}, {"beta": 1.0}),
    ],
)
def test_the_ends_of_a_settings_range(method, good, bad):
    registry.create(registry.resolve(method, {method: good}))
    with pytest.raises(UsageError):
        registry.create(registry.resolve(method, {method: bad}))
