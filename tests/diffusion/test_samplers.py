"""Samplers against closed-form Gaussian data, the released ancestral formula and their promises on noise.

For data x0 ~ N(mu_y, s^2) the optimal denoiser and the probability-flow ODE are known exactly, so a
sampler's error is its discretisation alone.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from ltbench import rng
from ltbench.diffusion.samplers import (
    clip_x0,
    guided_eps,
    sample,
    sample_batch,
    timesteps,
    to_uint8,
)
from ltbench.diffusion.schedule import alpha_bar, betas
from ltbench.diffusion.spacing import make_path
from ltbench.diffusion.unet import build_denoiser
from ltbench.errors import Interrupted, LtbenchError
from ltbench.method import Prediction
from ltbench.specs import SampleSpec

ABAR = alpha_bar()
MEAN = torch.tensor([0.3, -0.4, 0.0], dtype=torch.float64)  # of class 0, class 1 and the null label
STD = 0.25
N = 64
LABELS = torch.arange(N) % 2


class Gaussian(nn.Module):
    """The optimal denoiser of N(MEAN[label], STD^2) pixels, in float64 inside."""

    shape = (1, 8, 8)
    num_classes = 2

    def forward(self, x: Tensor, t: Tensor, label: Tensor) -> Prediction:
        signal, noise = (level.sqrt().view(-1, 1, 1, 1) for level in (ABAR[t], 1 - ABAR[t]))
        mean = MEAN[label].view(-1, 1, 1, 1)
        eps = noise * (x - signal * mean) / (signal**2 * STD**2 + noise**2)
        return Prediction(eps.to(x.dtype), eps)


class Scale(nn.Module):
    """eps = scale[label] * x; remembers the labels of each call."""

    shape = (1, 4, 4)
    num_classes = 2

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.tensor([0.5, -0.25, 0.125])
        self.calls: list[Tensor] = []

    def forward(self, x: Tensor, _t: Tensor, label: Tensor) -> Prediction:
        self.calls.append(label)
        return Prediction(self.scale[label].view(-1, 1, 1, 1) * x, x)


def ode(steps: int = 20, **settings: Any) -> SampleSpec:
    return SampleSpec(**{"sampler": "dpmsolver++", "steps": steps} | settings)


def trajectory(spec: SampleSpec, denoiser: nn.Module | None = None, labels: Tensor = LABELS) -> Tensor:
    generators = [rng.generator(spec.seed, "sample", i) for i in range(len(labels))]
    return sample_batch(denoiser or Gaussian(), labels, spec, generators, "cpu")


def exact_flow(spec: SampleSpec) -> Tensor:
    """The exact ODE solution from the first to the last visited step, then the exact E[x0 | x_t]."""
    visited = timesteps(spec.steps, spec.spacing)
    first, last = (ABAR[int(visited[i])] for i in (0, -1))
    start = torch.stack(
        [torch.randn(1, 8, 8, generator=rng.generator(spec.seed, "sample", i)) for i in range(N)]
    )
    mean = MEAN[LABELS].view(-1, 1, 1, 1)
    z = (start.double() - first.sqrt() * mean) / (first * STD**2 + 1 - first).sqrt()
    return mean + last.sqrt() * STD**2 / (last * STD**2 + 1 - last).sqrt() * z


def error(spec: SampleSpec) -> float:
    return (trajectory(spec).double() - exact_flow(spec)).abs().mean().item()


# --- convergence ---------------------------------------------------------------------------------------------


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


# --- each sampler is what its name says ------------------------------------------------------------------------


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


@given(st.integers(1, 1000), st.sampled_from(["logsnr", "karras", "trailing", "leading", "linspace"]))
def test_timesteps_descend_without_repeats(steps: int, spacing: str) -> None:
    visited = timesteps(steps, spacing)
    assert len(visited) == steps
    assert visited.dtype == np.int64
    assert (np.diff(visited) < 0).all()
    assert visited[-1] >= 0
    assert visited[0] <= 999
    assert visited[0] == 999 or spacing == "leading"
    assert visited[-1] == 0 or spacing == "trailing" or steps == 1
    assert make_path(ode(steps, spacing=spacing)).timesteps == tuple(visited.tolist())


def test_ancestral_visits_every_step() -> None:
    assert make_path(SampleSpec()).timesteps == tuple(range(999, -1, -1))


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


# --- guidance, clipping, pixels --------------------------------------------------------------------------------


@pytest.mark.parametrize("omega", [0.0, 0.6, 1.5])
def test_guidance_is_the_formula(omega: float) -> None:
    denoiser, labels = Scale(), torch.tensor([0, 1, 1])
    x = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    eps = guided_eps(denoiser, x, 10, labels, omega)
    factor = denoiser.scale[labels] + omega * (denoiser.scale[labels] - denoiser.scale[2])
    torch.testing.assert_close(eps, factor.view(-1, 1, 1, 1) * x)
    (seen,) = denoiser.calls  # one pass through the network either way
    assert seen.tolist() == ([0, 1, 1, 2, 2, 2] if omega else [0, 1, 1])


def test_guidance_pushes_classes_apart() -> None:
    plain, guided = trajectory(ode(50)), trajectory(ode(50, guidance=1.0))
    assert guided[LABELS == 0].mean() > plain[LABELS == 0].mean() + 0.1
    assert guided[LABELS == 1].mean() < plain[LABELS == 1].mean() - 0.1


@pytest.mark.parametrize("spec", [SampleSpec(clip=True), ode(clip=True), ode(clip=True, sampler="ddim")])
def test_clip_keeps_x0_in_range(spec: SampleSpec) -> None:
    """A denoiser that sees no noise at all predicts x0 = x_t / sqrt(abar), far outside."""
    silent = Scale()
    silent.scale = torch.zeros(3)
    assert trajectory(spec, silent, LABELS[:3]).abs().max() <= 1 + 1e-4
    assert trajectory(spec.model_copy(update={"clip": False}), silent, LABELS[:3]).abs().max() > 10


@given(st.integers(0, 999), st.floats(-3, 3), st.floats(-3, 3))
def test_clip_changes_eps_only_where_x0_is_outside(t: int, x: float, eps: float) -> None:
    level = ABAR[t].item()
    x0 = (x - (1 - level) ** 0.5 * eps) / level**0.5
    clipped = clip_x0(
        torch.tensor(eps, dtype=torch.float64), torch.tensor(x, dtype=torch.float64), level
    ).item()
    again = (x - (1 - level) ** 0.5 * clipped) / level**0.5
    assert again == pytest.approx(min(max(x0, -1), 1), abs=1e-9)
    if abs(x0) <= 1:
        assert clipped == pytest.approx(eps, abs=1e-9)


def test_pixels_round_to_nearest_and_round_trip() -> None:
    pixels = torch.arange(256)
    assert torch.equal(to_uint8(pixels / 127.5 - 1).long(), pixels)
    assert to_uint8(torch.tensor([-7.0, -1.0, 0.9999, 1.0, 7.0])).tolist() == [0, 0, 255, 255, 255]
    assert to_uint8(torch.tensor([0.4, 0.6]) / 127.5).tolist() == [128, 128]  # 127.9 and 128.1


# --- noise belongs to the image --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spec", [SampleSpec(guidance=0.5), ode(guidance=0.5), ode(sampler="ddim"), ode(sampler="sde-dpmsolver++")]
)
def test_image_does_not_depend_on_its_batch(spec: SampleSpec) -> None:
    labels = LABELS[:7]
    whole = sample(Gaussian(), labels, sampler=spec, batch_size=7)
    assert torch.equal(sample(Gaussian(), labels, sampler=spec, batch_size=3), whole)
    some = torch.tensor([5, 0, 6])
    assert torch.equal(
        sample(Gaussian(), labels[some], sampler=spec, indices=some, batch_size=1), whole[some]
    )


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_network_images_do_not_depend_on_the_batch_beyond_rounding(precision: str) -> None:
    denoiser = build_denoiser("tiny", 10, 1, 8, 0.1, seed=0)
    nn.init.normal_(denoiser.unet.conv_out.weight, std=0.02)  # the initial one is silent
    spec = ode(4, guidance=1.0, precision=precision)
    whole = sample(denoiser, torch.arange(6), sampler=spec).int()
    parts = sample(denoiser, torch.arange(6), sampler=spec, batch_size=4).int()
    assert (whole - parts).abs().max() <= (1 if precision == "fp32" else 4)
    assert whole.float().std() > 20


def test_seed_and_index_name_the_noise() -> None:
    one = torch.zeros(1, dtype=torch.long)
    draws = {
        (seed, index): sample(Gaussian(), one, sampler=ode(seed=seed), indices=torch.tensor([index]))
        for seed in (0, 1)
        for index in (0, 1, 2**33)
    }
    images = [tuple(image.flatten().tolist()) for image in draws.values()]
    assert len(set(images)) == len(images)


def test_dropout_is_off() -> None:
    denoiser = build_denoiser("tiny", 10, 1, 8, dropout=0.5).train()
    nn.init.normal_(denoiser.unet.conv_out.weight, std=0.02)
    first, again = (sample(denoiser, torch.arange(3), sampler=ode(3)) for _ in range(2))
    assert torch.equal(first, again)


# --- chunks, stopping --------------------------------------------------------------------------------------------


def test_stopped_sampling_goes_on_where_it_was() -> None:
    spec, asked = ode(5), 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > 12  # in the middle of the third chunk

    chunks: list[Tensor] = []

    def draw() -> None:
        for rows in torch.arange(N).split(10):
            chunks.append(sample(Gaussian(), LABELS[rows], sampler=spec, indices=rows, stop=stop))  # noqa: PERF401

    with pytest.raises(Interrupted, match="run the same command again"):
        draw()
    done = torch.cat(chunks)
    assert len(done) == 20
    rest = sample(Gaussian(), LABELS[20:], sampler=spec, indices=torch.arange(20, N), batch_size=10)
    assert torch.equal(torch.cat([done, rest]), sample(Gaussian(), LABELS, sampler=spec))


def test_stopping_is_asked_before_every_step_of_every_chunk() -> None:
    asked = []
    sample(
        Gaussian(),
        LABELS,
        sampler=ode(5, guidance=1.0),
        batch_size=50,
        stop=lambda: asked.append(1) is not None,
    )
    assert len(asked) == 5 * 2  # 64 images in two chunks


def test_no_labels_give_no_images() -> None:
    assert sample(Gaussian(), torch.empty(0, dtype=torch.long), sampler=ode()).shape == (0, 1, 8, 8)


def test_images_that_are_not_finite_are_refused() -> None:
    broken = Scale()
    broken.scale = torch.full((3,), math.nan)
    with pytest.raises(LtbenchError, match=r"not finite .*guidance 2"):
        sample(broken, LABELS, sampler=ode(guidance=2.0))
