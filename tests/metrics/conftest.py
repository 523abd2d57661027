"""Values of the released code of the metrics' authors."""

import numpy as np
import pytest

GOLDENS = {"metrics_n400_d32.npz": 1e-6, "metrics_n60_d128_rank_deficient.npz": 1e-4}


@pytest.fixture(params=GOLDENS, ids=["full rank", "rank deficient"])
def golden(request, pytestconfig):
    """Return the arrays of a golden, and how closely they are met."""
    with np.load(pytestconfig.rootpath / "tests/goldens" / request.param) as arrays:
        return dict(arrays), GOLDENS[request.param]
