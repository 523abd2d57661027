"""Finding, checking and combining methods; other people's packages; what a spec keeps."""

import importlib
import sys
import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltbench.errors import UsageError
from ltbench.method import Method, Needs, registry
from ltbench.specs import MethodSpec

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
    (
        PLUGIN.replace("strength:", "variant: str = 'weak'\n        strength:").replace(
            'paper = "Nobody, nowhere"', "VARIANTS = {'weak': {}, 'strong': {'strength': 'very'}}"
        ),
        "ValueError: shrink's variant strong cannot be built: shrink.strength must be a number, not 'very'",
    ),
    (PLUGIN.replace(" = 1.0", ""), "TypeError: Settings.__init__() missing 1 required"),
    (
        PLUGIN.replace('paper = "Nobody, nowhere"', "VARIANTS = {'released': {}}"),
        "TypeError: shrink has VARIANTS, so its Hyperparameters need a field 'variant'",
    ),
]
PAPER = 'paper = "Nobody, nowhere"'
BROKEN += [
    (PLUGIN.replace(PAPER, line), reason)
    for line, reason in (
        ("needs = {'draw': 'balanced'}", "ValueError: shrink's needs must be a Needs, as in Needs(draw="),
        (
            "PARTS = 'expert'",
            "TypeError: shrink's PARTS must be names in a tuple, as in ('expert',), not 'expert'",
        ),
        ("PARTS = 3", "TypeError: shrink's PARTS must be names in a tuple, as in ('expert',), not 3"),
        ("PARTS = (3,)", "TypeError: shrink's PARTS must be names in a tuple"),
        ("VARIANTS = {'strong'}", "TypeError: shrink's VARIANTS must be a dictionary of name"),
        ("VARIANTS = {'strong': 2}", "TypeError: shrink's VARIANTS must be a dictionary of name"),
        (
            "__init__ = lambda self, hp=None: setattr(self, 'needs', 'balanced')",
            "ValueError: shrink's needs must be",
        ),
    )
]
BROKEN += [
    (
        PLUGIN.replace("@dataclass(frozen=True)", ""),
        "TypeError: shrink's Hyperparameters must be a frozen data",
    ),
    (PLUGIN.replace('name = "shrink"', "name = 5"), "ValueError: the name 5 must be lower-case letters"),
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


def test_what_a_method_raises_when_it_is_built_is_one_sentence(install):
    drawn = "def __init__(self, hp=None): super().__init__(hp); self.needs = Needs(draw=self.hp.strength)"
    source = PLUGIN.replace("import Method", "import Method, Needs").replace(PAPER, drawn)
    install("lt_shrink", source, "shrink", "Shrink")
    assert registry.create_method("shrink", strength=0.5).needs == Needs(draw=0.5)
    with pytest.raises(UsageError, match=r"shrink: the power of a draw must be in \[0, 1\], not 2"):
        registry.create_method("shrink", strength=2)
