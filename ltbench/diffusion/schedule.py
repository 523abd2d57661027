"""The forward process q(x_t | x_0) = N(sqrt(abar_t) x_0, (1 - abar_t) I) of Ho et al. (NeurIPS 2020).

Time steps run 0..T-1; step 0 already carries a little noise (beta_0 = 1e-4).
"""

import torch
from torch import Tensor

NUM_TIMESTEPS = 1000
"""T, the number of noise levels."""

BETA_FIRST, BETA_LAST = 1e-4, 0.02


def betas() -> Tensor:
    """Return beta_t, (T,) float64, rising linearly from 1e-4 to 0.02."""
    return torch.linspace(BETA_FIRST, BETA_LAST, NUM_TIMESTEPS, dtype=torch.float64)


def alpha_bar() -> Tensor:
    """Return abar_t = prod_{s <= t} (1 - beta_s), (T,) float64: the share of signal variance left at t.

    The released code rounds beta to float32 first, which moves abar by at most 2.3e-7 of itself.
    """
    return torch.cumprod(1.0 - betas(), dim=0)


def add_noise(x0: Tensor, noise: Tensor, alpha_bar_t: Tensor) -> Tensor:
    """Return x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) noise.

    Parameters
    ----------
    x0, noise
        (B, C, H, W), clean images in [-1, 1] and standard normal noise.
    alpha_bar_t
        (B,), abar at each image's time step; the roots are taken in its precision.
    """
    return mix(x0, noise, alpha_bar_t.sqrt(), (1.0 - alpha_bar_t).sqrt())


def mix(x0: Tensor, noise: Tensor, signal: Tensor, spread: Tensor) -> Tensor:
    """Return signal x_0 + spread noise, for the two roots (B,) of `add_noise` where they are known already."""
    signal, spread = (root.to(x0.dtype).view(-1, 1, 1, 1) for root in (signal, spread))
    return signal * x0 + spread * noise
