"""What samplers tend to: fine integrations of the guided equations in float64, from noise to x_0.

Written for y = x_t / sqrt(a) and sigma = sqrt((1 - a) / a) the equations are dy = eps dsigma (what deterministic samplers
tend to) and, backwards in time, dy = 2 eps dsigma + sqrt(2 sigma |dsigma|) z (stochastic ones; Karras et al. 2022,
equations 4 and 6, with sigma(t) = t).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import Tensor

from ltbench.diffusion.schedule import alpha_bar

Guided = Callable[[Tensor, Tensor], Tensor]  # (x, abar) -> eps


def _sigmas(steps: int) -> Tensor:
    """Return sigma from the noisiest time step to the least noisy one, uniform in its logarithm."""
    levels = alpha_bar()
    ends = ((1 - levels) / levels).sqrt().log()
    return torch.linspace(ends[-1].item(), ends[0].item(), steps + 1, dtype=torch.float64).exp()


def _noise_at(guided: Guided, y: Tensor, sigma: Tensor) -> Tensor:
    level = 1 / (1 + sigma**2)
    return guided(level.sqrt() * y, level)


def exact_flow(guided: Guided, start: Tensor, steps: int = 2000) -> Tensor:
    """Return x_0 of the probability-flow ODE by Heun's method in float64, and a last jump to the data.

    Parameters
    ----------
    guided
        (x, abar) -> predicted noise, guidance done.
    start
        (B,C,H,W) standard normal: x_t at the noisiest time step.
    steps
        Of Heun's method; its error falls with their square.
    """
    sigmas = _sigmas(steps)
    y = start.double() * (1 + sigmas[0] ** 2).sqrt()
    for here, there in itertools.pairwise(sigmas):
        first = _noise_at(guided, y, here)
        second = _noise_at(guided, y + (there - here) * first, there)
        y = y + (there - here) * (first + second) / 2
    return y - sigmas[-1] * _noise_at(guided, y, sigmas[-1])


def exact_diffusion(guided: Guided, start: Tensor, generator: torch.Generator, steps: int = 2000) -> Tensor:
    """Return x_0 of the reverse-time stochastic equation by fine steps in float64; parameters as `exact_flow`.

    Each step is exact for a prediction of the data that is constant in it, or after the first that goes on
    as it went in the step before (as SDE-DPM-Solver++ of orders 1 and 2).
    """
    sigmas = _sigmas(steps)
    y = start.double() * (1 + sigmas[0] ** 2).sqrt()
    before = None
    for here, there in itertools.pairwise(sigmas):
        data = y - here * _noise_at(guided, y, here)
        ahead = data if before is None else data + (data - before) / 2
        before, share = data, (there / here) ** 2
        noise = torch.randn(y.shape, dtype=torch.float64, generator=generator)
        y = share * y + (1 - share) * ahead + there * (1 - share).sqrt() * noise
    return y - sigmas[-1] * _noise_at(guided, y, sigmas[-1])
