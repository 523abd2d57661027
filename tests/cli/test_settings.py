"""The listing of settings: bounds, defaults, and keys by a part of their name."""

import pytest

from ltbench.specs import RunSpec


def test_settings_lists_every_field_with_default_and_bounds(run_here):
    code, out = run_here("settings")
    assert code == 0
    for section in ("data", "model", "train", "sample", "score"):
        for name in type(getattr(RunSpec(), section)).model_fields:
            hidden = f"{section}.{name}" in ("data.content", "train.init_weights", "train.imported")
            assert (f"{section}.{name} " in out) != hidden
    assert "train.steps 150000 int >= 1 optimiser steps" in out


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("train.steps", "train.steps 150000"),
        ("steps", "sample.steps 1000"),
        ("guidance", "sample.guidance 0"),
        ("precision", "train.precision fp32 fp32 | tf32 | bf16"),
        ("sample", "sample.per_class 5000"),
    ],
)
def test_settings_finds_a_key_by_its_end_its_section_or_its_short_name(run_here, key, shown):
    code, out = run_here("settings", key)
    assert code == 0
    assert shown in out
    assert "--set" in out


def test_settings_of_an_unknown_key_names_the_nearest(run_here):
    code, out = run_here("settings", "train.stepps")
    assert code == 2
    assert "did you mean 'train.steps'" in out
