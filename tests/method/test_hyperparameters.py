"""Hyperparameters: checked, named where they differ, mistakes in one sentence."""

import dataclasses
from typing import ClassVar

import pytest
import torch

from ltbench.errors import UsageError
from ltbench.method import Method, registry
from ltbench.plugins import Extension
from ltbench.specs import MethodSpec, RunSpec, train_key


def test_a_variant_is_applied_before_what_is_given():
    hp = registry.create_method("coral", variant="released", lambda_per="sample", w="0.5").hp
    assert (hp.lambda_per, hp.second_temperature, hp.mask_dropped, hp.w) == ("sample", True, True, 0.5)
    assert hp.variant == "custom"  # neither formula
    spelled_out = {"lambda_per": "batch", "second_temperature": True, "mask_dropped": True}
    assert registry.create_method("coral", **spelled_out, w=3).hp.variant == "released_formula"
    with pytest.raises(dataclasses.FrozenInstanceError):
        hp.w = 1.0


def test_a_spec_keeps_only_what_differs():
    plain = registry.resolve("coral", {"coral": {"w": 0.01, "variant": "published", "tau_r": 1}})
    assert plain == MethodSpec(name="coral")
    released = registry.resolve("coral", {"coral": {"variant": "released"}})
    assert released.hyperparameters == {
        "coral": {
            "w": 0.5,
            "tau_r": 0.3,
            "lambda_per": "batch",
            "second_temperature": True,
            "mask_dropped": True,
        }
    }
    spelled_out = registry.resolve("coral", released.hyperparameters)
    assert train_key(RunSpec(method=spelled_out)) == train_key(RunSpec(method=released))
    assert train_key(RunSpec(method=plain)) != train_key(RunSpec(method=released))
    assert registry.resolve("t2h+cbdm", {"cbdm": {"tau": 2}}).model_dump() == {
        "name": "cbdm+t2h",
        "hyperparameters": {"cbdm": {"tau": 2.0}},
    }


def test_a_hyper_parameter_of_minus_zero_is_zero():
    assert str(registry.create_method("coral", w=-0.0).hp.w) == "0.0"


@dataclasses.dataclass(frozen=True)
class Weights:
    variant: str = "weak"
    weight: float = 1.0

    def __post_init__(self):
        assert self.weight < 10, "weight must be below 10"
        if self.weight == 7:
            raise AssertionError
        if self.weight > 5:
            raise TypeError("weight is too much")


class Varied(Method):
    name = "varied"
    Hyperparameters = Weights
    VARIANTS: ClassVar = {"weak": {}, "strong": {"weight": 2}, "stronger": {"weight": "3"}}


@pytest.fixture
def varied(monkeypatch):
    found = dict(registry.METHODS.extensions())
    monkeypatch.setattr(registry.METHODS, "_found", found | {"varied": Extension("varied", Varied, "here")})


@pytest.mark.usefixtures("varied")
def test_a_variants_value_is_typed_as_a_given_one_is():
    """2 of a variant and 2.0 of a command were one training with two keys."""
    strong, given = (
        registry.resolve("varied", {"varied": h}) for h in ({"variant": "strong"}, {"weight": 2})
    )
    assert repr(strong) == repr(given)
    assert train_key(RunSpec(method=strong)) == train_key(RunSpec(method=given))
    assert registry.create_method("varied", variant="stronger").hp == Weights("stronger", 3.0)


@pytest.mark.usefixtures("varied")
@pytest.mark.parametrize(
    ("weight", "says"),
    [
        (10, "varied: weight must be below 10"),
        (7, "varied: its settings are refused (AssertionError)"),
        (6, "varied: weight is too much"),
    ],
)
def test_a_plug_in_may_refuse_a_value_by_any_exception_of_its_kind(weight, says):
    with pytest.raises(UsageError) as caught:
        registry.create_method("varied", weight=weight)
    assert str(caught.value).splitlines()[0] == says


class Faulty(Method):
    """Its constructor has mistakes of its own, which no setting mends."""

    name = "faulty"
    Hyperparameters = Weights

    def __init__(self, hp=None):
        super().__init__(hp)
        if self.hp.weight == 2:
            raise ValueError("weight must not be 2")
        if self.hp.weight == 3:
            self.hp.weight + None
        if self.hp.weight == 4:
            self.hp.wieght  # noqa: B018 - the mistake
        if self.hp.weight == 5:
            torch.nn.Linear("a", 3)  # a mistake that torch finds


@pytest.mark.parametrize(
    ("weight", "says"),
    [
        (2, "faulty: weight must not be 2$"),
        (3, "the code of method faulty failed, which no setting mends: TypeError: unsupported .*, in test_h"),
        (
            4,
            "the code of .* mends: AttributeError: .* no attribute 'wieght', in test_hyperparameters.py line",
        ),
        (5, "the code of .* mends: TypeError: empty.*, in test_hyperparameters.py line"),
    ],
)
def test_a_fault_of_a_methods_code_is_told_apart_from_a_refused_setting(weight, says, monkeypatch):
    found = dict(registry.METHODS.extensions())
    added = {"faulty": Extension("faulty", Faulty, "package theirs 1.0", True)}
    monkeypatch.setattr(registry.METHODS, "_found", found | added)
    with pytest.raises(UsageError, match=f"^{says}") as caught:
        registry.create_method("faulty", weight=weight)
    assert caught.value.__cause__ is not None


def test_a_fault_of_the_trees_own_method_stays_a_traceback(monkeypatch):
    """Who writes methods/x.py needs the line that failed, and all that led to it."""
    found = dict(registry.METHODS.extensions())
    added = {"faulty": Extension("faulty", Faulty, "ltbench.methods.faulty")}
    monkeypatch.setattr(registry.METHODS, "_found", found | added)
    with pytest.raises(AttributeError, match="wieght"):
        registry.create_method("faulty", weight=4)
    with pytest.raises(UsageError, match="^faulty: weight must not be 2$"):
        registry.create_method("faulty", weight=2)


BAD = [
    ("corl", {}, "unknown method 'corl'; did you mean 'coral'?"),
    ("coral+", {}, "'coral+' is no method name: join names by single +, as in 'coral+t2h'"),
    ("", {}, "'' is no method name: join names by single +, as in 'coral+t2h'"),
    ("t2h+t2h", {}, "t2h stands twice in 't2h+t2h': name each method once"),
    ("ddpm+coral", {}, "ddpm adds nothing to 'coral+ddpm': write 'coral'"),
    (
        "sqrt_sampling+class_balanced",
        {},
        "class_balanced and sqrt_sampling cannot be combined: "
        "each would choose how images are drawn; leave one out",
    ),
    (
        "ccua+tempered",
        {"ccua": {"variant": "resampled"}},
        "ccua and tempered cannot be combined: each would choose how images are drawn; leave one out",
    ),
    ("tempered", {"tempered": {"power": 2}}, "tempered: power must be in [0, 1]"),
    ("cm", {"cm": {"ratio": 0}}, "cm: ratio must be in (0, 1]"),
    ("coral", {"t2h": {}}, "'coral' takes no hyper-parameters of t2h"),
    ("coral", {"coral": {"tau_s": 1}}, "unknown hyper-parameter 'tau_s' of coral; did you mean 'tau_sc'?"),
    ("ddpm", {"ddpm": {"w": 1}}, "unknown hyper-parameter 'w' of ddpm: it has none"),
    (
        "coral",
        {"coral": {"variant": "relesed"}},
        "unknown variant 'relesed' of coral; did you mean 'released'?",
    ),
    ("ddpm", {"ddpm": {"variant": "released"}}, "unknown hyper-parameter 'variant' of ddpm: it has none"),
    ("coral", {"coral": {"w": "much"}}, "coral.w must be a number, not 'much'"),
    ("coral", {"coral": {"w": True}}, "coral.w must be a number, not True"),
    ("coral", {"coral": {"w": float("nan")}}, "coral.w must be a number, not nan"),
    ("coral", {"coral": {"dim": 1.5}}, "coral.dim must be an integer, not 1.5"),
    ("coral", {"coral": {"mask_dropped": 7}}, "coral.mask_dropped must be true or false, not 7"),
    ("t2h", {"t2h": {"gate": "both"}}, "t2h.gate must be one of t2h, h2t, full, not 'both'"),
    ("t2h", {"t2h": {"until_time": "x"}}, "t2h.until_time must be an integer or none, not 'x'"),
    ("t2h", {"t2h": {"from_time": -1}}, "t2h: from_time and until_time must be 0 or more"),
    ("coral", {"coral": {"w": -1}}, "coral: w must be 0 or more"),
    ("coral", {"coral": {"tau_sc": 0}}, "coral: tau_sc and tau_r must be more than 0"),
    ("coral", {"coral": {"dim": 0}}, "coral: dim must be 1 or more"),
    ("cbdm", {"cbdm": {"gamma": -1}}, "cbdm: tau and gamma must be 0 or more"),
    ("cbdm", {"cbdm": {"draws": 0}}, "cbdm: draws must be 1 or more"),
    ("cbdm", {"cbdm": {"draws": 10**30}}, "cbdm: draws must be at most 1000"),  # its plan did not end
    ("coral", {"coral": {"dim": 10**30}}, "coral: dim must be at most 65536"),
    ("t2h", {"t2h": {"from_time": 10**30}}, "t2h: from_time and until_time must be at most 1000"),
    ("t2h", {"t2h": {"until_time": 1001}}, "t2h: from_time and until_time must be at most 1000"),
    (
        "t2h",
        {"t2h": {"from_time": 700, "until_time": 600}},
        "t2h: no time step from 700 is below 600, so that no transfer would be kept: lower from_time",
    ),
    (
        "t2h",
        {"t2h": {"from_time": 1000}},
        "t2h: no time step from 1000 is below 1000, so that no transfer would be kept: lower from_time",
    ),
    (
        "tempered",
        {"tempered": {"power": 0.3, "smallest_draw": 0.5}},
        "tempered: smallest_draw sets the power, so that a power beside it is not read: give one of them",
    ),
    ("inverse_frequency", {"inverse_frequency": {"power": -1}}, "inverse_frequency: power must be in [0, 4]"),
    ("inverse_frequency", {"inverse_frequency": {"power": 13}}, "inverse_frequency: power must be in [0, 4]"),
    ("effective_number", {"effective_number": {"beta": 1}}, "effective_number: beta must be in [0, 1)"),
]


@pytest.mark.parametrize(("name", "hyperparameters", "message"), BAD)
def test_a_mistake_is_one_sentence(name, hyperparameters, message):
    with pytest.raises(UsageError) as caught:
        registry.resolve(name, hyperparameters)
    assert str(caught.value) == message
