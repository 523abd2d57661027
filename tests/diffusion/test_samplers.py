"""Samplers against closed-form Gaussian data, the released ancestral formula and their promises on noise.

For data x0 ~ N(mu_y, s^2) the optimal denoiser and the probability-flow ODE are known exactly, so a
sampler's error is its discretisation alone.
"""

import math
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
from gaussian_classes import ABAR, LABELS, Gaussian, N, Scale, ode, trajectory
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from ltbench.diffusion.base import Path, Sampler
from ltbench.diffusion.registry import SAMPLERS
from ltbench.diffusion.samplers import Guided, clip_x0, guide, guided_eps, sample, to_uint8
from ltbench.diffusion.solvers import Denoise, Noise
from ltbench.diffusion.unet import build_denoiser
from ltbench.errors import Interrupted, LtbenchError
from ltbench.method import Prediction
from ltbench.plugins import Extension
from ltbench.specs import SampleSpec


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


class Graphed(nn.Module):
    """A network that writes over what any of its kind predicted before, as CUDA graphs do with the memory they share."""

    shape, num_classes = Scale.shape, Scale.num_classes

    def __init__(self, network: nn.Module, shared: list[Tensor]) -> None:
        super().__init__()
        self.network, self.shared = network, shared

    def forward(self, x: Tensor, t: Tensor, label: Tensor) -> Prediction:
        made = self.network(x, t, label)
        for last in self.shared:
            last.fill_(math.nan)
        self.shared[:] = [made.eps]
        return made


def both_steps_of_heun(denoise: Denoise, x: Tensor, path: Path, _noise: Noise) -> Tensor:
    for t in path.timesteps:
        first = denoise(x, t)
        x = x - 0.1 * (first + denoise(x - 0.1 * first, t)) / 2
    return x


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize(
    "settings", [{}, {"guidance": 1.0}, {"guidance": 1.0, "rule": "auto", "bad_step": 1}]
)
@pytest.mark.parametrize("sampler", ["ancestral", "dpmsolver++", "heun"])
def test_no_prediction_is_read_after_the_next_call_has_written_over_it(
    sampler: str, settings: dict[str, Any], clip: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    heun = Sampler("heun", "deterministic", both_steps_of_heun, "a test's", evaluations=lambda n: 2 * n)
    found = {**SAMPLERS.extensions(), "heun": Extension("heun", heun, "here")}
    monkeypatch.setattr(SAMPLERS, "_found", found)
    spec = SampleSpec(sampler=sampler, steps=1000 if sampler == "ancestral" else 5, clip=clip, **settings)
    shared: list[Tensor] = []

    def images(wrap: Callable[[nn.Module], nn.Module]) -> Tensor:
        weaker = Scale()
        weaker.scale = weaker.scale / 2
        return sample(guide(wrap(Scale()), spec, None, wrap(weaker)), LABELS[:4], sampler=spec)

    assert torch.equal(images(lambda network: Graphed(network, shared)), images(lambda network: network))
    assert shared


def test_every_evaluation_is_a_step_of_its_own_to_cuda_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a training's steps the next passes counted as the last step's: each sampler step was recorded anew."""
    began: list[int] = []
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: began.append(1))
    monkeypatch.delitem(sys.modules, "torch._inductor.cudagraph_trees", raising=False)
    sample(Gaussian(), LABELS[:2], sampler=ode(5))
    assert not began  # nothing is compiled, and nothing is loaded for it
    monkeypatch.setitem(sys.modules, "torch._inductor.cudagraph_trees", ModuleType("stands_in"))
    sample(Gaussian(), LABELS[:2], sampler=ode(5, guidance=1.0))
    assert len(began) == 5


@pytest.mark.parametrize(
    ("spec", "omega", "says"),
    [
        (ode(), 0.0, r"guidance 0, fp32\): the network itself predicts NaN or far too much noise"),
        (ode(precision="bf16"), 0.0, r"guidance 0, bf16\): set sample\.precision=fp32$"),
        (ode(guidance=2.0), 2.0, r"guidance 2, fp32\): lower sample\.guidance$"),
        (ode(guidance=2.0, precision="bf16"), 2.0, r"lower sample\.guidance or set sample\.precision=fp32$"),
        (ode(), lambda _t, _labels: 3.0, r"guidance by a function, fp32\): let the function return less$"),
    ],
)
def test_images_that_are_not_finite_have_a_cause(spec, omega, says) -> None:
    broken = Scale()
    broken.scale = torch.full((3,), math.nan)
    with pytest.raises(LtbenchError, match=says):
        sample(Guided(broken, omega), LABELS[:2], sampler=spec)
