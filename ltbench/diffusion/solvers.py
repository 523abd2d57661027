"""The built-in samplers, from standard normal noise to images: free functions of one signature.

- ``ancestral`` (Ho et al. 2020, Algorithm 2), all 1000 steps, variance beta_t ("fixedlarge"), no noise at the
  last step: what CBDM and CORAL release.
- ``dpmsolver++`` (Lu et al. 2022), deterministic multistep of order 1 to 3; the last step is of order 1.
- ``sde-dpmsolver++`` (Lu et al. 2022, appendix), its stochastic form of order 1 or 2: noise is added at each step.
- ``ddim`` with eta = 0 (Song et al. 2021) is DPM-Solver++ of order 1 and is run as such: diffusers' own
  DDIMScheduler steps by 1000 // n, which is wrong where n does not divide 1000.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ltbench.diffusion.base import Path, Sampler

if TYPE_CHECKING:
    from torch import Tensor

Denoise = Callable[["Tensor", int], "Tensor"]
Noise = Callable[[], "Tensor"]


def ancestral(denoise: Denoise, x: Tensor, path: Path, noise: Noise) -> Tensor:
    """Run x_{t-1} = mean(x0_hat, x_t) + sqrt(beta_t) z, without noise at t = 0.

    Written out because diffusers' DDPMScheduler draws its noise itself; equal to it to the last bit.
    """
    levels = path.alpha_bar
    for t in path.timesteps:
        level, previous = float(levels[t]), float(levels[t - 1]) if t else 1.0
        signal = level / previous
        eps = denoise(x, t)
        x0 = (x - (1 - level) ** 0.5 * eps) / level**0.5
        of_x0 = previous**0.5 * (1 - signal) / (1 - level)
        of_x = signal**0.5 * (1 - previous) / (1 - level)
        x = of_x0 * x0 + of_x * x
        if t:
            x = x + (1 - signal) ** 0.5 * noise()
    return x


def dpmsolver(denoise: Denoise, x: Tensor, path: Path, _: Noise) -> Tensor:
    """Run DPM-Solver++ of the path's order along the ODE."""
    scheduler = _scheduler(path, "dpmsolver++", path.order)
    for t in path.timesteps:
        x = scheduler.step(denoise(x, t), t, x).prev_sample
    return x


def sde_dpmsolver(denoise: Denoise, x: Tensor, path: Path, noise: Noise) -> Tensor:
    """Run SDE-DPM-Solver++ of the path's order."""
    scheduler = _scheduler(path, "sde-dpmsolver++", path.order)
    for t in path.timesteps:
        x = scheduler.step(denoise(x, t), t, x, variance_noise=noise()).prev_sample
    return x


def ddim(denoise: Denoise, x: Tensor, path: Path, _: Noise) -> Tensor:
    """Run DDIM with eta = 0."""
    scheduler = _scheduler(path, "dpmsolver++", 1)
    for t in path.timesteps:
        x = scheduler.step(denoise(x, t), t, x).prev_sample
    return x


def _scheduler(path: Path, algorithm: str, order: int) -> Any:
    """Return diffusers' scheduler on the path, working on abar in float64 as training does."""
    import torch
    from diffusers import DPMSolverMultistepScheduler

    scheduler: Any = DPMSolverMultistepScheduler(
        num_train_timesteps=len(path.alpha_bar), solver_order=order, algorithm_type=algorithm
    )
    scheduler.alphas_cumprod = torch.from_numpy(path.alpha_bar)
    scheduler.set_timesteps(timesteps=list(path.timesteps))
    return scheduler


BUILT_IN = (
    Sampler(
        "ancestral",
        "stochastic",
        ancestral,
        "ancestral sampling, all steps, fixed-large variance (Ho et al. 2020)",
        steps=1000,
    ),
    Sampler(
        "ddim",
        "deterministic",
        ddim,
        "DDIM, eta = 0 (Song et al. 2021)",
        limits="first order: at 20 steps its images are too smooth by about 12 % of their standard deviation",
    ),
    Sampler(
        "dpmsolver++",
        "deterministic",
        dpmsolver,
        "DPM-Solver++, multistep (Lu et al. 2022)",
        orders=(1, 2, 3),
    ),
    Sampler(
        "sde-dpmsolver++",
        "stochastic",
        sde_dpmsolver,
        "SDE-DPM-Solver++, multistep (Lu et al. 2022)",
        orders=(1, 2),
    ),
)
