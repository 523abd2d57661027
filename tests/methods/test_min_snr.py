"""Min-SNR weights against closed formulas."""

import numpy as np
import pytest
import torch
from tiny_runs import digits
from weights_golden import ABAR, ARRAYS, SNR

from ltbench.baselines import min_snr
from ltbench.method import Needs, registry
from ltbench.specs import TrainSpec
from ltbench.training.batches import BatchSource


@pytest.mark.parametrize("gamma", [1, 5, 20])
def test_min_snr(gamma):
    np.testing.assert_allclose(min_snr.min_snr(SNR, gamma), ARRAYS[f"min_snr_{gamma}"], rtol=1e-10)


def test_min_snrs_stated_values():
    weights = min_snr.min_snr(SNR, 5.0)
    assert weights[0].item() == pytest.approx(5.0e-4, rel=1e-3)
    assert weights.mean().item() == pytest.approx(0.913, abs=5e-4)
    assert weights[129] < 1 == weights[130]


@pytest.mark.parametrize(
    ("name", "golden"), [("min_snr", "min_snr_5"), ("p2", "p2_k1_1"), ("min_snr+p2", None)]
)
def test_a_batch_is_weighed_by_its_times_to_single_precision(name, golden):
    """Also at t = 0, where 1 - abar taken from a single-precision abar is off by 2e-4 of itself."""
    source = BatchSource(digits(), TrainSpec(batch_size=512), Needs(), 0, torch.device("cpu"))
    source._alpha_bar = ABAR
    batches = [source(step) for step in range(3)]
    expected = ARRAYS[golden] if golden else ARRAYS["min_snr_5"] * ARRAYS["p2_k1_1"]
    for batch in batches:
        weights = registry.create(name).weights(batch)
        np.testing.assert_allclose(weights, expected[batch.t], rtol=1e-5)
    assert min(int(batch.t.min()) for batch in batches) < 3
