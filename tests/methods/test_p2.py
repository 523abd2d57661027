"""P2 weights against closed formulas."""

import numpy as np
import pytest
import torch
from weights_golden import ABAR, ARRAYS, SNR

from ltbench.baselines import p2


@pytest.mark.parametrize("gamma", ["0.5", "1"])
def test_p2(gamma):
    np.testing.assert_allclose(p2.p2(SNR, 1.0, float(gamma)), ARRAYS[f"p2_k1_{gamma}"], rtol=1e-10)
    if gamma == "1":
        torch.testing.assert_close(p2.p2(SNR, 1.0, 1.0), 1 - ABAR)
