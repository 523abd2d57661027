"""The official code's objectives on data of ten and of five classes."""

import pytest
from objective_golden import Golden


@pytest.fixture(params=[10, 5], ids=["k10", "k5"])
def golden(request):
    """Return one seeded mini-batch with its official values and gradients."""
    return Golden(request.param)
