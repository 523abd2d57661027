"""Variants and defaults read from a method's text are those of the loaded method."""

import dataclasses
import itertools
import subprocess
import sys

import pytest

from ltbench.method.registry import create, create_method, known_methods, resolve
from ltbench.runs.variants import current_default, current_variant, declared
from ltbench.specs import MethodSpec

SETTINGS = [
    (name, {key: value})
    for name, method in known_methods().items()
    for settings in method.VARIANTS.values()
    for key, value in settings.items()
]


@pytest.mark.parametrize("name", sorted(known_methods()))
def test_what_a_file_states_is_what_the_loaded_method_has(name):
    method = known_methods()[name]
    default = dataclasses.asdict(method.Hyperparameters())
    default.pop("variant", None)
    assert {k: v for k, v in declared(name).defaults.items() if k != "variant"} == default
    assert declared(name).variants == method.VARIANTS
    for key in default:
        assert current_default(name, key) == getattr(create_method(name).hp, key)
    for variant in method.VARIANTS:
        spec = resolve(name, {name: {"variant": variant}})
        assert current_variant(spec) == create(spec).variant == variant


@pytest.mark.parametrize(("name", "settings"), SETTINGS)
def test_a_part_of_a_variant_is_what_the_loaded_method_calls_it(name, settings):
    spec = MethodSpec(name=name, hyperparameters={name: settings})
    assert current_variant(spec) == create(spec).variant


def test_compositions_and_strangers():
    for first, second in itertools.combinations(("cbdm", "coral", "t2h", "sqrt_sampling"), 2):
        spec = resolve(f"{first}+{second}")
        assert current_variant(spec) == create(spec).variant
    assert (
        current_variant(MethodSpec(name="not_installed", hyperparameters={"not_installed": {"w": 1}})) is None
    )
    assert current_variant(MethodSpec(name="coral", hyperparameters={"coral": {"no_such": 1}})) is None


def test_no_torch_is_loaded_for_it():
    code = """
import sys
from ltbench.runs.variants import current_default, current_variant
from ltbench.specs import MethodSpec
spec = MethodSpec(name="coral", hyperparameters={"coral": {"w": 0.5}})
assert current_variant(spec) == "published" and current_default("coral", "tau_sc") == 0.1
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
