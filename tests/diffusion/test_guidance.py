"""Rules of guidance against their formulas, exact denoisers and the passes that a network is really asked for."""

import dataclasses
import re
import subprocess
import sys
from importlib import metadata

import numpy as np
import pytest
import torch
from exact_trajectories import exact_flow
from guidance_golden import GOLDEN, LABELS, PRIOR, ROWS, SCALE, Stated, close, spec
from torch import Tensor, nn

from ltbench import rng
from ltbench.diffusion.closed_form import ClosedForm
from ltbench.diffusion.guidance import RULES, Rule, evaluations, make_omega
from ltbench.diffusion.registry import SAMPLERS, Sampler
from ltbench.diffusion.samplers import guide, guided_eps, sample, sample_batch
from ltbench.diffusion.schedule import alpha_bar
from ltbench.diffusion.spacing import timesteps
from ltbench.errors import UsageError
from ltbench.method import Prediction
from ltbench.plugins import Extension
from ltbench.specs import SampleSpec
from ltbench.study.file import load_study


def test_plain_guidance_and_autoguidance_are_the_golden_ones() -> None:
    network = Stated(GOLDEN["eps_c"], GOLDEN["eps_u"])
    weaker = Stated(GOLDEN["eps_bad"], np.zeros_like(GOLDEN["eps_u"]))
    close(guided_eps(network, ROWS, 10, LABELS, SCALE), GOLDEN["cfg"])
    close(guided_eps(network, ROWS, 10, LABELS, SCALE, weaker), GOLDEN["autoguidance"])


EXACT = ClosedForm([0.4, -0.5], [0.1, 0.3], [0.9, 0.1], (1, 4, 4))
CLASSES = torch.arange(32) % 2
SAMPLERS_TRIED = [
    {"sampler": "ancestral", "steps": 1000},
    {"sampler": "ddim", "steps": 7},
    {"sampler": "dpmsolver++", "steps": 20, "order": 3},
    {"sampler": "sde-dpmsolver++", "steps": 10, "spacing": "karras"},
]
FEW = SAMPLERS_TRIED[1:]


def images(other: nn.Module | None = None, **settings: object) -> Tensor:
    chosen = spec(**settings)
    generators = [rng.generator(0, "sample", i) for i in range(32)]
    return sample_batch(guide(EXACT, chosen, np.array([0.9, 0.1]), other), CLASSES, chosen, generators, "cpu")


@pytest.mark.parametrize("how", FEW, ids=lambda how: how["sampler"])
@pytest.mark.parametrize(
    ("settings", "as_plain"),
    [
        ({"rule": "interval"}, SCALE),  # everywhere
        ({"rule": "interval", "sigma_low": 1e4}, 0.0),  # nowhere
        ({"rule": "interval", "sigma_high": 1e-3}, 0.0),
        ({"rule": "per_class"}, SCALE),
        ({"rule": "per_class", "omega_factors": (1.0, 1.0)}, SCALE),
        ({"rule": "per_class", "omega_factors": (0.0, 0.0)}, 0.0),
    ],
)
def test_a_rule_that_amounts_to_plain_guidance_gives_its_images_bit_for_bit(
    how: dict[str, object], settings: dict[str, object], as_plain: float
) -> None:
    assert torch.equal(images(**how, **settings), plain(how, as_plain))


def plain(how: dict[str, object], guidance: float) -> Tensor:
    chosen = SampleSpec.model_validate({**how, "guidance": guidance})
    generators = [rng.generator(0, "sample", i) for i in range(32)]
    return sample_batch(EXACT, CLASSES, chosen, generators, "cpu")


class Unlabelled(nn.Module):
    """The exact denoiser without any label, whatever label it is given."""

    shape, num_classes = EXACT.shape, EXACT.num_classes

    def forward(self, x: Tensor, t: Tensor, label: Tensor) -> Prediction:
        return EXACT(x, t, torch.full_like(label, 2))


@pytest.mark.parametrize("how", FEW, ids=lambda how: how["sampler"])
def test_away_from_a_network_that_knows_no_labels_is_plain_guidance(how: dict[str, object]) -> None:
    guided = images(Unlabelled(), **how, rule="auto", bad_step=1)
    torch.testing.assert_close(guided, plain(how, SCALE), atol=1e-5, rtol=0)


@pytest.mark.parametrize("how", FEW, ids=lambda how: how["sampler"])
def test_away_from_itself_is_no_guidance(how: dict[str, object]) -> None:
    guided = images(EXACT, **how, rule="auto", bad_step=1)
    torch.testing.assert_close(guided, plain(how, 0.0), atol=1e-5, rtol=0)


def test_classes_with_different_omegas_are_sampled_as_if_each_were_alone() -> None:
    how = SAMPLERS_TRIED[2]
    mixed = images(**how, rule="per_class", omega_factors=(0.0, 2.0))
    for label, omega in ((0, 0.0), (1, 2 * SCALE)):
        assert torch.equal(mixed[label == CLASSES], plain(how, omega)[label == CLASSES])


def test_a_guided_interval_ends_where_the_exact_equation_does() -> None:
    """Against Heun's method on the exact denoiser, guided where .3 < sigma <= 5, from the same start."""
    low, high = 0.3, 5.0

    def guided(x: Tensor, level: Tensor) -> Tensor:
        sigma = ((1 - level) / level) ** 0.5
        return EXACT.guided(x, level, CLASSES, SCALE if low < sigma <= high else 0.0)

    start = torch.stack(
        [torch.randn(EXACT.shape, generator=rng.generator(0, "sample", i)) for i in range(32)]
    )
    exact = exact_flow(guided, start)
    how = {"sampler": "ddim", "steps": 300}
    found = images(**how, rule="interval", sigma_low=low, sigma_high=high).double()
    assert (found - exact).abs().mean() < 0.003
    assert all((plain(how, omega).double() - exact).abs().mean() > 0.015 for omega in (0.0, SCALE))


class Counting(nn.Module):
    """A silent network of ten classes that counts the images of all its passes."""

    shape, num_classes = (1, 2, 2), 10

    def __init__(self) -> None:
        super().__init__()
        self.images = 0

    def forward(self, x: Tensor, _t: Tensor, _label: Tensor) -> Prediction:
        self.images += len(x)
        return Prediction(torch.zeros_like(x), x)


RULES_TRIED = [
    {},
    {"guidance": 0.0},
    {"rule": "interval", "sigma_low": 0.28, "sigma_high": 2.9},
    {"rule": "interval", "sigma_low": 1e4},
    {"rule": "schedule", "schedule": "cosine"},
    {"rule": "schedule", "schedule": "powered_cosine", "schedule_power": 40},  # 0 at the noisiest steps
    {"rule": "schedule", "schedule": "ccua_linear", "guidance": 1.0},  # 0 at t = 500
    {"rule": "schedule", "schedule": "ccua_linear", "guidance": 0.0},
    {"rule": "per_class", "omega_power": -0.5},
    {"rule": "per_class", "omega_factors": (0, 0, 0, 0, 0, 0, 0, 1, 2, 3)},
    {"rule": "auto", "bad_step": 1},
]


@pytest.mark.parametrize("how", SAMPLERS_TRIED, ids=lambda how: how["sampler"])
@pytest.mark.parametrize("settings", RULES_TRIED, ids=lambda s: " ".join(map(str, s.values())) or "cfg")
def test_the_stated_evaluations_are_the_passes_made(
    how: dict[str, object], settings: dict[str, object]
) -> None:
    chosen = spec(**{**how, **settings})
    network, weaker, labels = Counting(), Counting(), torch.arange(10).repeat(2)
    guided = guide(network, chosen, PRIOR, weaker)
    size = 20 if chosen.steps == 1000 else 7  # whole and in parts
    sample(guided, labels, sampler=chosen, batch_size=size)
    stated = evaluations(chosen, PRIOR)
    assert (network.images, weaker.images) == pytest.approx((20 * stated.own, 20 * stated.other), rel=1e-12)
    assert stated.nfe == stated.own + stated.other


def test_evaluations_by_hand() -> None:
    assert evaluations(SampleSpec()).nfe == 1000
    assert evaluations(spec(0.5)).nfe == 40
    assert evaluations(spec(rule="per_class", omega_factors=(0, 0, 1)), np.ones(3) / 3).nfe == pytest.approx(
        20 + 20 / 3
    )
    assert evaluations(spec(rule="auto", bad_step=1)) == evaluations(spec(rule="auto", bad_weights="ab" * 32))
    assert (
        evaluations(spec(rule="auto", bad_step=1)).own,
        evaluations(spec(rule="auto", bad_step=1)).other,
    ) == (20, 20)
    sigma = ((1 - alpha_bar()) / alpha_bar()).sqrt().numpy()[timesteps(20, "logsnr")]
    inside = int(((sigma > 0.28) & (sigma <= 2.9)).sum())
    assert evaluations(spec(rule="interval", sigma_low=0.28, sigma_high=2.9)).nfe == 20 + inside
    assert 0 < inside < 20


def test_rules_and_what_they_cost_are_values() -> None:
    for thing, name in ((RULES["cfg"], "name"), (evaluations(SampleSpec()), "own")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(thing, name, None)


def heun(denoise, x, path, _noise):
    """Ask twice a step, but once in the last: as a second-order sampler of another package does."""
    for t, after in zip(path.timesteps, (*path.timesteps[1:], None), strict=True):
        denoise(x, t)
        if after is not None:
            denoise(x, after)
    return x


@pytest.fixture
def two_plugins(monkeypatch: pytest.MonkeyPatch):
    """A sampler that asks more than once a step, and a rule with a parameter of its own, as of installed packages."""

    def ramp(facts):
        top = facts.values["top"]
        return lambda t, labels: np.where(
            labels < 5, 0.0, facts.sample.guidance * top * t / len(facts.alpha_bar)
        )

    things = {
        SAMPLERS.group: Sampler(
            "heun", "deterministic", heun, "a test's", evaluations=lambda steps: 2 * steps - 1
        ),
        RULES.group: Rule("ramp", ramp, "a test's", ("sigma_low",), {"top": 2.0}),
    }
    entries = {group: metadata.EntryPoint("anything", "tests:THING", group) for group in things}
    monkeypatch.setattr(metadata.EntryPoint, "load", lambda self: things[self.group])
    monkeypatch.setattr(metadata, "entry_points", lambda group: [entries[group]] if group in entries else [])
    for point in (SAMPLERS, RULES):
        monkeypatch.setattr(point, "_found", None)
    yield
    for point in (SAMPLERS, RULES):
        point.forget()


@pytest.mark.usefixtures("two_plugins")
def test_packages_samplers_and_rules_are_counted_too() -> None:
    settings = ["sample.sampler=heun", "sample.steps=6", "guidance=1.5"]
    (run,) = load_study(sets=[*settings, "sample.rule=ramp", "sample.rule_values=top=3"]).runs
    assert run.sample.rule_label == "ramp (top 3)"
    for chosen in (run.sample, spec(sampler="heun", steps=6), spec(0.0, sampler="heun", steps=6)):
        network = Counting()
        sample(guide(network, chosen, PRIOR), torch.arange(10), sampler=chosen)
        assert network.images == 10 * evaluations(chosen, PRIOR).nfe
    # eleven calls, two of them at the last time step, 0, where the ramp is 0; elsewhere half of the classes are guided
    assert evaluations(run.sample, PRIOR).nfe == 11 + 0.5 * 9
    assert make_omega(run.sample, PRIOR)(500, np.array([0, 9])).tolist() == [0.0, 1.5 * 3 * 0.5]


@pytest.mark.usefixtures("two_plugins")
@pytest.mark.parametrize(
    ("sets", "says"),
    [
        (["sample.rule=ramp", "sample.sigma_high=3"], "sample.rule=ramp does not read sample.sigma_high"),
        (["sample.rule=ramp", "sample.rule_values=tip=3"], "has no parameter 'tip': it has top"),
        (["sample.rule=ramp", "sample.rule_values=top=x"], "top must be a number, as in top=2, not 'x'"),
        (["sample.rule=ramp", "sample.rule_values=top=nan"], "top must be a number, as in top=2, not 'nan'"),
        (
            ["sample.rule=ramp", "sample.rule_values=top=1e999"],
            "top must be a number, as in top=2, not 'inf'",
        ),
        (["sample.rule=ramp", "sample.rule_values=top=1,top=2"], "rule_values sets top twice"),
        (
            ["sample.rule=rmp"],
            "must be auto, cfg, interval, per_class, ramp or schedule, not 'rmp'; did you mean 'ramp'",
        ),
    ],
)
def test_what_a_packages_rule_does_not_read_is_refused(sets: list[str], says: str) -> None:
    with pytest.raises(UsageError, match=rf"--set sample\.rule.*{re.escape(says)}"):
        load_study(sets=["guidance=1", *sets])


@pytest.mark.parametrize(
    ("returned", "says"),
    [
        (lambda _t, _labels: None, "returned a NoneType at t = "),
        (lambda _t, labels: np.ones((len(labels), 1)), r"returned an array \(4, 1\) at t = "),
        (lambda _t, _labels: np.ones(7), r"returned an array \(7,\) at t = "),
        (lambda _t, _labels: "1", "returned a str at t = "),
        (lambda _t, _labels: 1j, "returned a complex at t = "),
        (lambda _t, _labels: float("nan"), "returned nan at t = "),
        (lambda _t, labels: torch.ones(len(labels), device="meta"), "returned a Tensor at t = "),
        (None, r"made a NoneType: its make must return a function omega\(t, labels\)"),
    ],
)
def test_a_packages_rule_that_returns_no_numbers_is_named(
    returned: object, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None gave images that are not finite, and (B, 1) an error of numpy's."""
    odd = Extension("odd", Rule("odd", lambda _facts: returned, "a test's"), "here", foreign=True)
    monkeypatch.setattr(RULES, "_found", {**RULES.extensions(), "odd": odd})
    chosen = spec(rule="odd")
    with pytest.raises(UsageError, match=f"the guidance rule odd {says}"):
        sample(guide(EXACT, chosen, PRIOR), CLASSES[:4], sampler=chosen)
    with pytest.raises(UsageError, match="the guidance rule odd "):
        evaluations(chosen, np.full(4, 0.25))


@pytest.mark.parametrize("value", [2, True, np.float32(1.5), torch.tensor([0.5, 1.0])])
def test_a_packages_rule_may_return_any_number(value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = Extension(
        "odd", Rule("odd", lambda _facts: lambda _t, _labels: value, "a test's"), "here", foreign=True
    )
    monkeypatch.setattr(RULES, "_found", {**RULES.extensions(), "odd": odd})
    assert np.array_equal(make_omega(spec(rule="odd"), PRIOR)(3, np.arange(2)), np.asarray(value, np.float64))


@pytest.mark.parametrize(
    ("settings", "prior", "says"),
    [
        ({"rule": "per_class", "omega_factors": (1.0, 2.0)}, PRIOR, "has 2 numbers for the 10 classes"),
        ({"rule": "per_class", "omega_power": 1.0}, None, "goes by the classes' numbers of training images"),
        (
            {"rule": "per_class", "omega_power": -0.5},
            np.array([0.5, 0.0, 0.5, 0.0]),
            r"omega_power=-0.5 has no value for class 1, which has no training images",
        ),
        ({"rule": "auto", "bad_step": 3}, PRIOR, "guides away from a weaker network: give one"),
    ],
)
def test_a_rule_that_lacks_something_says_what(
    settings: dict[str, object], prior: np.ndarray | None, says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        guide(EXACT, spec(**settings), prior)


def test_a_wrong_rule_is_left_out_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = metadata.EntryPoint("anything", "tests:THING", RULES.group)
    monkeypatch.setattr(metadata, "entry_points", lambda group: [entry] if group == RULES.group else [])
    try:
        for thing in (heun, Rule("odd", heun, "", ("steps",)), Rule("odd", heun, "", away_from="both")):
            monkeypatch.setattr(metadata.EntryPoint, "load", lambda _self, thing=thing: thing)
            RULES.forget()
            assert list(RULES.all()) == ["auto", "cfg", "interval", "per_class", "schedule"]
            assert list(RULES.broken()) == ["anything"]
    finally:
        monkeypatch.undo()
        RULES.forget()


def test_counting_plain_guidance_and_listing_rules_load_no_heavy_library() -> None:
    code = (
        "import sys; from ltbench.diffusion.guidance import RULES, evaluations; from ltbench.specs import SampleSpec; "
        "RULES.all(); evaluations(SampleSpec(guidance=1.0)); print('torch' in sys.modules, 'diffusers' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["False", "False"]
