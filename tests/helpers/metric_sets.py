"""Feature sets for the tests of metrics."""

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st


def normal(seed, n=60, d=8, shift=0.0, scale=1.0):
    return np.random.default_rng(seed).normal(shift, scale, (n, d))


ORDERS = pytest.mark.parametrize("swapped", [False, True])
SIZES = pytest.mark.parametrize("sizes", [(90, 70), (50, 120)])
seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=25, deadline=None)
