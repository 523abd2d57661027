"""Every sampler against distributions that are known: what it makes of them, per class, with and without guidance.

Deterministic samplers are compared with a fine float64 integration of the ODE from the same noise, stochastic
ones with the SDE's distribution; at few steps also with the published update written out in float64.
"""

import math

import pytest
import torch
from exact_trajectories import exact_diffusion, exact_flow
from two_classes import TWO

from ltbench import rng
from ltbench.diffusion.calibration import SDS, SPACINGS, calibrate, calibration_table, settings_of, unfit
from ltbench.diffusion.closed_form import ClosedForm
from ltbench.diffusion.registry import SAMPLERS, kind
from ltbench.diffusion.samplers import sample_batch
from ltbench.diffusion.spacing import make_path
from ltbench.specs import SampleSpec

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


def published_update(spec: SampleSpec, labels: torch.Tensor) -> torch.Tensor:
    """Return what the equations of Lu et al. (2022) make, in float64 and in y = x / sqrt(abar), from the same noise.

    Multistep, data prediction. Each order's correction needs as many earlier predictions; the last step is of first order
    where it goes to sigma = 0, and below 15 steps the last but one is at most of second.
    """
    order = 1 if spec.sampler == "ddim" else spec.order
    draws = generators_of(len(labels))
    path = make_path(spec)
    sigmas = [path.sigma(t) for t in path.timesteps] + [0.0]
    x = torch.stack([torch.randn(1, 8, 8, generator=g) for g in draws]).double()
    y = x * (1 + sigmas[0] ** 2) ** 0.5
    earlier: list[tuple[torch.Tensor, float]] = []  # (prediction, the step in log-SNR that led away from it)
    for i in range(spec.steps):
        here, there = sigmas[i], sigmas[i + 1]
        level = torch.tensor(1 / (1 + here**2), dtype=torch.float64)
        data = y - here * TWO.guided(level.sqrt() * y, level, labels, spec.guidance)
        h = math.log(here / there) if there else math.inf
        left = spec.steps - 1 - i
        use = min(order, i + 1, 1 if not left else 2 if left == 1 and spec.steps < 15 else 3)
        shrink = math.exp(-h)
        first = second = torch.zeros_like(y)
        if use > 1:
            (m1, h1) = earlier[-1]
            first = (data - m1) * h / h1
        if use == 2:
            first = first / 2 * (1 - shrink) if kind(spec.sampler) != "stochastic" else first / 2
        if use == 3:
            (m2, h2) = earlier[-2]
            r0, r1 = h1 / h, h2 / h
            difference = (first - (m1 - m2) / r1) / (r0 + r1)
            first = (first + r0 * difference) * (1 + (shrink - 1) / h)
            second = -difference * ((shrink - 1 + h) / h**2 - 0.5)
        if kind(spec.sampler) == "stochastic":
            noise = torch.stack([torch.randn(1, 8, 8, generator=g) for g in draws]).double()
            y = shrink**2 * y + (1 - shrink**2) * (data + first) + there * (1 - shrink**2) ** 0.5 * noise
        else:
            y = shrink * y + (1 - shrink) * data + first + second
        earlier.append((data, h))
    return y


OFFERED = [s for name in SAMPLERS.all() if SAMPLERS[name].steps is None for s in settings_of(SAMPLERS[name])]


@pytest.mark.parametrize("omega", [0.0, 1.0])
@pytest.mark.parametrize("spec", OFFERED, ids=lambda s: f"{s.sampler}-{s.order}-{s.spacing}-{s.steps}")
def test_all_that_is_offered_is_the_published_update(spec: SampleSpec, omega: float) -> None:
    spec, labels = spec.model_copy(update={"guidance": omega}), torch.arange(8) % 2
    torch.testing.assert_close(run(TWO, spec, labels), published_update(spec, labels), atol=5e-4, rtol=0)


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
    assert sentence
    assert spec.sampler in sentence
    assert f"{spec.steps} steps" in sentence
    assert "logsnr" in sentence


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
