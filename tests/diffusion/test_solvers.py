"""Solvers: distributions, orders of convergence, the released formulae and diffusers' own."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from gaussian_classes import ABAR, LABELS, MEAN, STD, Gaussian, N, error, exact_flow, ode, trajectory
from torch import Tensor

from ltbench import rng
from ltbench.diffusion.samplers import guided_eps
from ltbench.diffusion.schedule import betas
from ltbench.specs import SampleSpec


@pytest.mark.parametrize(
    ("spec", "tolerance"),
    [
        (SampleSpec(), 0.04),
        (ode(100, sampler="ddim"), 0.06),
        (ode(50, sampler="ddim", spacing="linspace"), 0.09),
        (ode(20), 0.25),
        (ode(50), 0.04),
        (ode(100, order=3), 0.02),
        (ode(50, sampler="sde-dpmsolver++"), 0.06),
        (ode(100, sampler="sde-dpmsolver++"), 0.04),
        (ode(250, sampler="sde-dpmsolver++", order=1), 0.04),
    ],
    ids=lambda value: f"{value.sampler}{value.order}-{value.steps}" if isinstance(value, SampleSpec) else "",
)
def test_recovers_mean_and_spread_of_each_class(spec: SampleSpec, tolerance: float) -> None:
    x = trajectory(spec)
    for label in (0, 1):
        pixels = x[label == LABELS]  # 2048 draws: the standard error of the mean is 0.022 STD
        assert pixels.mean().item() == pytest.approx(MEAN[label].item(), abs=0.07 * STD)
        assert pixels.std().item() == pytest.approx(STD, rel=tolerance + 0.03)


@pytest.mark.parametrize(
    ("sampler", "order"), [("ddim", 1), ("dpmsolver++", 1), ("dpmsolver++", 2), ("dpmsolver++", 3)]
)
def test_order_of_convergence(sampler: str, order: int) -> None:
    """Twice the steps divide the error by 2^order."""
    coarse, fine = (error(ode(n, sampler=sampler, order=order, spacing="linspace")) for n in (125, 500))
    assert math.log(coarse / fine, 4) > order - 0.15


@pytest.mark.parametrize("spacing", ["trailing", "leading", "linspace"])
@pytest.mark.parametrize("sampler", ["ddim", "dpmsolver++"])
def test_more_steps_come_nearer_the_data(sampler: str, spacing: str) -> None:
    """Against the data themselves, the last jump to x0 included."""
    spreads = [
        trajectory(ode(n, sampler=sampler, spacing=spacing))[LABELS == 0].std().item() for n in (20, 50, 250)
    ]
    exact = exact_flow(ode(1000))[LABELS == 0].std().item()
    gaps = [abs(spread - exact) for spread in spreads]
    assert gaps[0] > 2 * gaps[1] > 4 * gaps[2]


def test_the_stochastic_solver_adds_noise_and_keeps_its_orders() -> None:
    """From one start the ODE's image is one; the SDE's differs, and moves with the sampling seed alone."""
    sde = ode(20, sampler="sde-dpmsolver++")
    assert (trajectory(sde) - trajectory(ode(20))).abs().mean() > 0.1 * STD
    assert torch.equal(trajectory(sde), trajectory(sde))
    with pytest.raises(ValueError, match=r"sde-dpmsolver\+\+ has sample.order 1 or 2"):
        ode(sampler="sde-dpmsolver++", order=3)


def test_higher_order_is_better_at_the_same_cost() -> None:
    errors = [error(ode(125, order=order)) for order in (1, 2, 3)]
    assert errors[0] > 2 * errors[1] > 4 * errors[2]


def test_ancestral_is_the_released_formula() -> None:
    """x_{t-1} = mean(x0_hat, x_t) + sqrt(var_t) z; var = beta_t, posterior variance first; no noise at t = 0."""
    beta, labels = betas(), LABELS[:4]
    previous = torch.cat([torch.ones(1, dtype=torch.float64), ABAR[:-1]])
    posterior = beta * (1 - previous) / (1 - ABAR)
    variance = torch.cat([posterior[1:2], beta[1:]])
    generators = [rng.generator(5, "sample", i) for i in range(4)]
    draw: Callable[[], Tensor] = lambda: torch.stack([torch.randn(1, 8, 8, generator=g) for g in generators])  # noqa: E731
    x = draw().double()
    for t in reversed(range(1000)):
        eps = Gaussian()(x, torch.full((4,), t), labels).eps
        x0 = (x - (1 - ABAR[t]).sqrt() * eps) / ABAR[t].sqrt()
        mean = (previous[t].sqrt() * beta[t] * x0 + (1 - beta[t]).sqrt() * (1 - previous[t]) * x) / (
            1 - ABAR[t]
        )
        x = mean + (variance[t].sqrt() * draw() if t > 0 else 0)
    torch.testing.assert_close(trajectory(SampleSpec(seed=5), labels=labels).double(), x, atol=2e-5, rtol=0)


def test_ddim_is_diffusers_own_where_its_stride_is_exact() -> None:
    theirs: Any = DDIMScheduler(
        beta_end=0.02, beta_start=1e-4, clip_sample=False, timestep_spacing="trailing", set_alpha_to_one=True
    )
    theirs.set_timesteps(50)
    x = torch.stack([torch.randn(1, 8, 8, generator=rng.generator(0, "sample", i)) for i in range(N)])
    for t in theirs.timesteps.tolist():
        x = theirs.step(guided_eps(Gaussian(), x, t, LABELS, 0.0), t, x).prev_sample
    torch.testing.assert_close(trajectory(ode(50, sampler="ddim", spacing="trailing")), x, atol=1e-4, rtol=0)


def test_order_matters_to_dpmsolver_only() -> None:
    assert torch.equal(trajectory(ode(sampler="ddim", order=1)), trajectory(ode(sampler="ddim", order=3)))
    assert not torch.equal(trajectory(ode(order=1)), trajectory(ode(order=2)))


def test_ancestral_is_diffusers_own_to_the_last_bit() -> None:
    theirs: Any = DDPMScheduler(
        beta_end=0.02, beta_start=1e-4, variance_type="fixed_large", clip_sample=False
    )
    theirs.alphas_cumprod = ABAR
    generators = [rng.generator(0, "sample", i) for i in range(4)]
    x = torch.stack([torch.randn(1, 8, 8, generator=g) for g in generators])
    for t in range(999, -1, -1):
        x = theirs.step(guided_eps(Gaussian(), x, t, LABELS[:4], 0.0), t, x, generator=generators).prev_sample
    assert torch.equal(trajectory(SampleSpec(), labels=LABELS[:4]), x)
