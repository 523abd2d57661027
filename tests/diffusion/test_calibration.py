"""Every sampler against distributions that are known: what it makes of them, per class, with and without guidance.

Deterministic samplers are compared with a fine float64 integration of the ODE from the same noise, stochastic
ones with the SDE's distribution; at few steps also with the published update written out in float64.
"""

import math

import pytest
import torch

from ltbench import rng
from ltbench.diffusion.calibration import SDS, SPACINGS, calibrate, calibration_table, settings_of, unfit
from ltbench.diffusion.closed_form import ClosedForm, exact_diffusion, exact_flow
from ltbench.diffusion.registry import SAMPLERS, kind
from ltbench.diffusion.samplers import sample_batch
from ltbench.diffusion.spacing import make_path, timesteps
from ltbench.spec import SampleSpec

TWO = ClosedForm([-0.5, 0.4], [0.1, 0.3], [0.9, 0.1], (1, 8, 8))
EVERY = [(name, order) for name in SAMPLERS.all() for order in SAMPLERS[name].orders or (2,)]
FAST = [pair for pair in EVERY if SAMPLERS[pair[0]].steps is None]


def spec_of(sampler: str, order: int = 2, steps: int = 20, **settings: object) -> SampleSpec:
    steps = SAMPLERS[sampler].steps or steps
    return SampleSpec(sampler=sampler, order=order, steps=steps, **settings)


def generators_of(count: int) -> list[torch.Generator]:
    return [rng.generator(0, "sample", i) for i in range(count)]


def start_of(count: int) -> torch.Tensor:
    return torch.stack([torch.randn(1, 8, 8, generator=g) for g in generators_of(count)])


def run(model: ClosedForm, spec: SampleSpec, labels: torch.Tensor) -> torch.Tensor:
    return sample_batch(model, labels, spec, generators_of(len(labels)), "cpu").double()


# -- without guidance: the truth is the distribution itself ------------------------------------------------------


@pytest.mark.parametrize(("sampler", "order"), EVERY)
def test_all_steps_make_the_distribution(sampler: str, order: int) -> None:
    labels = torch.arange(600) % 2
    made = run(TWO, spec_of(sampler, order, 1000), labels)
    first_order = (sampler, order) == ("sde-dpmsolver++", 1)  # off by the size of its step still
    for k in (0, 1):
        pixels = made[labels == k]  # 19,200: standard errors .0072 s of the mean, .51 % of the spread
        assert pixels.mean().item() == pytest.approx(TWO.means[k].mean().item(), abs=0.03 * SDS[k])
        assert pixels.std().item() == pytest.approx(SDS[k], rel=0.05 if first_order else 0.02)


@pytest.mark.parametrize(("sampler", "tolerance"), [("dpmsolver++", 0.03), ("sde-dpmsolver++", 0.05)])
@pytest.mark.parametrize("sd", [0.08, 0.1, 0.2, 0.3])
def test_twenty_steps_of_the_default_are_good(sampler: str, tolerance: float, sd: float) -> None:
    model = ClosedForm([0.2], [sd], [1.0], (1, 16, 16))
    made = run(model, spec_of(sampler), torch.zeros(128, dtype=torch.long))
    assert made.std().item() == pytest.approx(sd, rel=tolerance)
    assert made.mean().item() == pytest.approx(0.2, abs=0.03 * sd)


def test_the_first_order_of_ddim_is_what_is_said_of_it() -> None:
    errors = calibrate(spec_of("ddim")).errors
    assert all(error == pytest.approx(-0.12, abs=0.01) for error in errors)
    assert "12 %" in SAMPLERS["ddim"].limits


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize(("sampler", "order"), FAST)
def test_more_steps_come_to_the_truth_in_every_spacing(sampler: str, order: int, spacing: str) -> None:
    coarse, fine = (calibrate(spec_of(sampler, order, n, spacing=spacing)) for n in (20, 400))
    for few, many in zip(coarse.errors, fine.errors, strict=True):
        assert abs(many) < max(abs(few) / 2, 0.02)


@pytest.mark.parametrize("steps", [10, 20, 50])
@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize(("sampler", "order"), [pair for pair in FAST if pair[1] < 3])
def test_few_steps_are_the_published_update(sampler: str, order: int, spacing: str, steps: int) -> None:
    """In y = x / sqrt(abar): first order, and the multistep correction of Lu et al. (2022), from the same noise."""
    order = 1 if sampler == "ddim" else order
    spec = spec_of(sampler, order, steps, spacing=spacing)
    labels = torch.arange(8) % 2
    draws = generators_of(8)
    path = make_path(spec)
    sigmas = [path.sigma(t) for t in path.timesteps] + [0.0]
    x = torch.stack([torch.randn(1, 8, 8, generator=g) for g in draws]).double()
    y, before, last_h = x * (1 + sigmas[0] ** 2) ** 0.5, None, 0.0
    for i in range(steps):
        here, there = sigmas[i], sigmas[i + 1]
        level = torch.tensor(1 / (1 + here**2), dtype=torch.float64)
        data = y - here * TWO.guided(level.sqrt() * y, level, labels, 0.0)
        h = math.log(here / there) if there else math.inf
        slope = torch.zeros_like(y)
        if before is not None and order == 2 and there and not (steps < 15 and i == steps - 1):
            slope = (data - before) * h / last_h / 2
        shrink = math.exp(-h)
        if kind(sampler) == "stochastic":
            noise = torch.stack([torch.randn(1, 8, 8, generator=g) for g in draws]).double()
            y = shrink**2 * y + (1 - shrink**2) * (data + slope) + there * (1 - shrink**2) ** 0.5 * noise
        else:
            y = shrink * y + (1 - shrink) * (data + slope)
        before, last_h = data, h
    torch.testing.assert_close(run(TWO, spec, labels), y, atol=2e-4, rtol=0)


# -- with guidance: a fine integration is the truth ---------------------------------------------------------------


@pytest.mark.parametrize("omega", [0.0, 1.0, 3.0])
@pytest.mark.parametrize(("sampler", "order"), [pair for pair in EVERY if kind(pair[0]) == "deterministic"])
def test_deterministic_samplers_solve_the_guided_ode(sampler: str, order: int, omega: float) -> None:
    labels = torch.arange(40) % 2
    exact = exact_flow(lambda x, a: TWO.guided(x, a, labels, omega), start_of(40), 1000)
    made = run(TWO, spec_of(sampler, order, 1000, guidance=omega), labels)
    first_order = sampler == "ddim" or order == 1
    assert (made - exact).square().mean().sqrt().item() < (5e-3 if first_order else 1e-3)
    quick = run(TWO, spec_of(sampler, order, 20, guidance=omega), labels)
    for k in (0, 1):
        ours, true = quick[labels == k], exact[labels == k]
        assert ours.mean().item() == pytest.approx(true.mean().item(), abs=0.06 if first_order else 0.03)
        assert ours.std().item() == pytest.approx(true.std().item(), rel=0.2 if first_order else 0.08)


@pytest.mark.parametrize("omega", [1.0, 3.0])
@pytest.mark.parametrize(("sampler", "order"), [pair for pair in EVERY if kind(pair[0]) == "stochastic"])
def test_stochastic_samplers_solve_the_guided_sde(sampler: str, order: int, omega: float) -> None:
    labels = torch.ones(100, dtype=torch.long)
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(100, 1, 8, 8, generator=generator)
    exact = exact_diffusion(lambda x, a: TWO.guided(x, a, labels, omega), start, generator, 500)
    made = run(TWO, spec_of(sampler, order, 1000, guidance=omega), labels)
    assert made.mean().item() == pytest.approx(exact.mean().item(), abs=0.02)
    assert made.std().item() == pytest.approx(exact.std().item(), rel=0.05)


# -- what is offered, and what is said of it -----------------------------------------------------------------------


def test_the_table_holds_all_that_is_offered() -> None:
    rows = list(calibration_table(["ddim"], steps=(5, 20)))
    assert [(row.sample.spacing, row.sample.steps) for row in rows] == [
        (s, n) for s in SPACINGS for n in (5, 20)
    ]
    assert len(list(settings_of(SAMPLERS["dpmsolver++"]))) == 3 * len(SPACINGS) * 4
    (ancestral,) = settings_of(SAMPLERS["ancestral"])
    assert ancestral == SampleSpec()


@pytest.mark.parametrize(
    "spec",
    [
        spec_of("dpmsolver++", spacing="linspace"),
        spec_of("dpmsolver++", spacing="leading"),
        spec_of("dpmsolver++", spacing="trailing"),
        spec_of("dpmsolver++", 3, spacing="trailing"),
        spec_of("ddim"),
        spec_of("sde-dpmsolver++", 1),
    ],
)
def test_settings_that_distort_are_named_in_one_sentence(spec: SampleSpec) -> None:
    sentence = unfit(spec)
    assert (
        sentence and spec.sampler in sentence and f"{spec.steps} steps" in sentence and "logsnr" in sentence
    )


@pytest.mark.parametrize(
    "spec",
    [
        SampleSpec(),
        spec_of("dpmsolver++"),
        spec_of("sde-dpmsolver++"),
        spec_of("dpmsolver++", 3),
        spec_of("ddim", steps=100),
    ],
)
def test_nothing_is_said_of_good_settings(spec: SampleSpec) -> None:
    assert unfit(spec) is None


def test_log_snr_is_uniform_where_whole_steps_allow_it() -> None:
    visited = timesteps(20, "logsnr")
    sigma = ((1 - TWO.levels) / TWO.levels).sqrt()[visited.copy()].log()
    gaps = -sigma.diff()
    assert visited[0] == 999 and visited[-1] == 0
    assert gaps[:14].std() / gaps.mean() < 0.02  # later ones are a few whole steps wide
    assert (timesteps(1000, "logsnr") == timesteps(1000, "trailing")).all()
