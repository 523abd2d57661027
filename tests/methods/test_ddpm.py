"""Plain denoising: the official arrays."""

import numpy as np
import pytest
from objective_golden import terms_of


def test_x_t_is_the_official_forward_process(golden):
    np.testing.assert_allclose(golden.batch().x_t, golden["x_t"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dropped", [False, True])
def test_ddpm(golden, dropped):
    terms = terms_of(golden, "ddpm", golden.batch(dropped))
    assert list(terms) == ["denoising"]
    golden.check(terms, "drop_ddpm" if dropped else "ddpm")
