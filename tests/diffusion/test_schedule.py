"""The forward process against the official code's arrays and its own moments."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ltbench.diffusion.schedule import NUM_TIMESTEPS, add_noise, alpha_bar, betas

GOLDENS = Path(__file__).parents[1] / "goldens"


@pytest.mark.parametrize("name", ["objectives_k10.npz", "objectives_k5.npz"])
def test_official_noise_levels_and_noisy_images(name: str) -> None:
    golden = np.load(GOLDENS / name)
    np.testing.assert_allclose(alpha_bar().numpy(), golden["alphas_bar"], rtol=3e-7)
    x0, noise, t = (torch.from_numpy(golden[key]) for key in ("x0", "noise", "t"))
    x_t = add_noise(x0, noise, alpha_bar()[t])
    assert x_t.dtype == torch.float32
    np.testing.assert_allclose(x_t.numpy(), golden["x_t"], atol=1e-6)


def test_schedule_is_the_papers() -> None:
    beta = betas()
    assert beta.dtype == alpha_bar().dtype == torch.float64
    assert (len(beta), beta[0].item(), beta[-1].item()) == (NUM_TIMESTEPS, 1e-4, 0.02)
    assert alpha_bar()[-1].item() == pytest.approx(4.0358e-5, rel=1e-4)  # Ho et al.: almost no signal left


def test_unit_variance_images_keep_unit_variance() -> None:
    generator = torch.Generator().manual_seed(0)
    x0, noise = torch.randn(2, 4, 3, 64, 64, generator=generator)
    x_t = add_noise(x0, noise, alpha_bar()[torch.tensor([0, 300, 600, 999])])
    torch.testing.assert_close(x_t.var(dim=(1, 2, 3)), torch.ones(4), atol=0.05, rtol=0)
