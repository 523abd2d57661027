"""Finding, checking and combining methods; other people's packages; what a spec keeps."""

import dataclasses
import importlib
import sys
import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltbench.errors import UsageError
from ltbench.method import Method, Needs, registry
from ltbench.specs import MethodSpec, RunSpec, train_key

IN_TREE = {
    "cbdm",
    "ccua",
    "class_balanced",
    "cm",
    "coral",
    "ddpm",
    "dispersive",
    "effective_number",
    "inverse_frequency",
    "min_snr",
    "p2",
    "sqrt_sampling",
    "t2h",
    "tempered",
}


# -- names and compositions -----------------------------------------------------------------------------


def test_the_methods_in_the_tree_are_found():
    methods = registry.known_methods()
    assert set(methods) >= IN_TREE
    assert list(methods) == sorted(methods)
    assert all(methods[name].paper and methods[name].__doc__ for name in IN_TREE)


def test_a_composition_has_one_name_whatever_the_order():
    assert registry.create("t2h+coral").name == "coral+t2h" == registry.create(" Coral + T2H ").name
    composition = registry.create("t2h+sqrt_sampling+coral", {"t2h": {"balanced_reference": True}})
    assert [name for name, _ in composition.parts] == ["coral", "sqrt_sampling", "t2h"]
    assert composition.needs == Needs(draw="sqrt", reference="balanced", batch_coupled=True)
    assert composition.variant == "coral:published+t2h:custom"
    assert registry.create("cbdm").variant == "released"
    assert registry.create("ddpm").variant == ""


def test_legal_pairs_are_all_but_rivals_for_one_place():
    names = IN_TREE - {"ddpm"}
    draws = {"class_balanced", "sqrt_sampling", "tempered"}
    expected = {f"{a}+{b}" for a in names for b in names if a < b and not {a, b} <= draws}
    mine = {pair for pair in registry.legal_pairs() if set(pair.split("+")) <= IN_TREE}
    assert mine == expected


class OtherTarget(Method):
    name = "other_target"

    def target(self, batch, _rng):
        return batch.x0


def test_two_targets_are_refused():
    with pytest.raises(UsageError, match=r"other_target and t2h cannot be combined: .*denoising target"):
        registry.Composition([registry.create_method("t2h"), OtherTarget()])


# -- hyper-parameters -----------------------------------------------------------------------------------


def test_the_defaults_are_the_stated_variants():
    coral = registry.create_method("coral").hp
    assert (coral.variant, coral.w, coral.tau_sc, coral.tau_r) == ("published", 0.01, 0.1, 1.0)
    assert (coral.lambda_per, coral.second_temperature, coral.mask_dropped) == ("sample", False, False)
    cbdm = registry.create_method("cbdm").hp
    assert (cbdm.variant, cbdm.tau, cbdm.gamma, cbdm.labels, cbdm.time_weight) == (
        "released",
        1.0,
        0.25,
        "train",
        "t/T",
    )
    t2h = registry.create_method("t2h").hp
    assert (t2h.variant, t2h.gate, t2h.balanced_reference) == ("released", "t2h", False)


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


@settings(deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "variant": st.sampled_from(["published", "released"]),
            "w": st.floats(0, 10) | st.integers(0, 10),
            "tau_sc": st.floats(1e-3, 10),
            "lambda_per": st.sampled_from(["sample", "batch"]),
            "second_temperature": st.booleans(),
            "mask_dropped": st.booleans(),
            "dim": st.integers(1, 512),
        },
    )
)
def test_a_resolved_spec_builds_the_same_method_and_resolves_to_itself(hyperparameters):
    spec = registry.resolve("coral", {"coral": hyperparameters})
    spec = MethodSpec.model_validate_json(spec.model_dump_json())
    assert registry.create(spec).parts[0][1].hp == registry.create_method("coral", **hyperparameters).hp
    assert registry.resolve(spec.name, spec.hyperparameters) == spec


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
    ("inverse_frequency", {"inverse_frequency": {"power": -1}}, "inverse_frequency: power must be 0 or more"),
    ("effective_number", {"effective_number": {"beta": 1}}, "effective_number: beta must be in [0, 1)"),
]


@pytest.mark.parametrize(("name", "hyperparameters", "message"), BAD)
def test_a_mistake_is_one_sentence(name, hyperparameters, message):
    with pytest.raises(UsageError) as caught:
        registry.resolve(name, hyperparameters)
    assert str(caught.value) == message


def test_describe_tells_all_that_can_be_set():
    rows = {row.name: row for row in registry.describe()}
    assert set(rows) == set(registry.known_methods())
    coral = rows["coral"]
    assert coral.origin == "ltbench.methods.coral"
    assert coral.needs.batch_coupled
    assert coral.default_variant == "published"
    assert set(coral.variants) == {
        "published",
        "released",
        "released_formula",
    }
    fields = {row.name: row for row in coral.hyperparameters}
    assert (fields["w"].default, fields["w"].type) == (0.01, "a number")
    assert fields["lambda_per"].type == "one of sample, batch"
    for name in IN_TREE:
        assert all(field.help for field in rows[name].hyperparameters)
        registry.create_method(name, **{field.name: field.default for field in rows[name].hyperparameters})


# -- other people's packages ----------------------------------------------------------------------------

PLUGIN = """
    from __future__ import annotations
    from dataclasses import dataclass
    from typing import Annotated
    from pydantic import Field
    from ltbench.method import Method

    @dataclass(frozen=True)
    class Settings:
        strength: Annotated[float, Field(gt=0)] = 1.0

    class Shrink(Method):
        "Pull the predictions to zero."
        name = "shrink"
        paper = "Nobody, nowhere"
        Hyperparameters = Settings

        def regularizers(self, batch, prediction, ctx):
            return {"shrink": self.hp.strength * prediction.eps.square().mean()}
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Put a distribution with one entry point on the path; everything is undone afterwards."""
    modules = []

    def install(package, source, entry, target):
        (tmp_path / f"{package}.py").write_text(textwrap.dedent(source))
        info = tmp_path / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[ltbench.methods]\n{entry} = {package}:{target}\n")
        modules.append(package)

    monkeypatch.syspath_prepend(tmp_path)
    registry.METHODS.forget()
    yield install
    for module in modules:
        sys.modules.pop(module, None)
    monkeypatch.undo()
    importlib.invalidate_caches()
    registry.METHODS.forget()


def test_a_method_of_another_package_is_first_class(install):
    install("lt_shrink", PLUGIN, "shrink", "Shrink")
    assert registry.create_method("shrink", strength=2).hp.strength == 2.0
    assert registry.create("t2h+shrink").name == "shrink+t2h"
    assert "coral+shrink" in registry.legal_pairs()
    row = next(row for row in registry.describe() if row.name == "shrink")
    assert row.origin == "package lt_shrink 1.0"
    assert row.hyperparameters[0].type == "a number"
    with pytest.raises(UsageError, match=r"shrink\.strength should be greater than 0, not -1"):
        registry.create_method("shrink", strength=-1)


BROKEN = [
    ("raise RuntimeError('no such library')", "RuntimeError: no such library"),
    ("import sys; sys.exit(3)", "SystemExit: 3"),
    ("Shrink = 5", "TypeError: 5 is not a subclass of ltbench.method.Method"),
    (PLUGIN.replace('"shrink"\n', '"Shrink!"\n'), "ValueError: the name 'Shrink!' must be lower-case"),
    (
        PLUGIN.replace('"shrink"\n', '"coral"\n'),
        "ValueError: the name 'coral' is taken by ltbench.methods.coral",
    ),
    (
        PLUGIN.replace("frozen=True", "frozen=False"),
        "TypeError: shrink's Hyperparameters must be a frozen dataclass",
    ),
    (PLUGIN.replace(" = 1.0", ""), "TypeError: Settings.__init__() missing 1 required"),
    (
        PLUGIN.replace('paper = "Nobody, nowhere"', "VARIANTS = {'released': {}}"),
        "TypeError: shrink has VARIANTS, so its Hyperparameters need a field 'variant'",
    ),
]


@pytest.mark.parametrize(("source", "reason"), BROKEN)
def test_a_broken_plugin_is_one_warning_and_never_a_crash(install, caplog, source, reason):
    install("lt_broken", source, "broken", "Shrink")
    with caplog.at_level("WARNING", logger="ltbench"):
        methods = registry.known_methods()
        registry.known_methods()
    assert set(methods) >= IN_TREE
    assert methods["coral"].__module__ == "ltbench.methods.coral"
    (record,) = caplog.records
    assert record.getMessage().startswith(
        "method broken is left out: it could not be loaded from package lt_broken"
    )
    assert reason in record.getMessage()
    with pytest.raises(UsageError, match="method 'broken' could not be loaded from package lt_broken"):
        registry.create("broken")
