"""What a row of scores is a repetition of."""

import pandas as pd
import pytest

from ltbench.diffusion.guidance import evaluations
from ltbench.method.registry import resolve
from ltbench.runs.series import is_hyperparameter, main_sampling_seed, rule_of, settings_of, with_series
from ltbench.specs import MethodSpec, RunSpec, SampleSpec

ROW = {"step": 1, "sampler": "ddim", "nfe": 10, "guidance": 0.0, "origin": "ours", "value": 1.0}


@pytest.mark.parametrize(
    ("method", "stored", "now"),
    [
        # "published" stood for these once; a factor of 1000 lies between them and the name's constants of today.
        (resolve("cbdm", {"cbdm": {"time_weight": "t", "labels": "balanced"}}), "published", "custom"),
        (resolve("cbdm", {"cbdm": {"variant": "published"}}), "published", "published"),
        (resolve("cbdm"), "released", "released"),
        # "released" was CORAL's formula alone once, and now has the released flags' constants as well.
        (
            resolve(
                "coral",
                {"coral": {"lambda_per": "batch", "second_temperature": True, "mask_dropped": True}},
            ),
            "released",
            "released_formula",
        ),
        (MethodSpec(name="not_installed", hyperparameters={"not_installed": {"w": 1}}), "theirs", "theirs"),
    ],
)
def test_a_run_is_called_by_what_its_hyperparameters_are_today(method, stored, now):
    table = pd.DataFrame([{**ROW, "method": method.name, "variant": stored}])
    assert with_series(table, RunSpec(method=method))["variant"].tolist() == [now]


RULES = (
    {},
    {"rule": "interval", "sigma_high": 2.9},
    {"rule": "interval", "sigma_high": 5.0},
    {"rule": "schedule", "schedule": "cosine"},
    {"rule": "schedule", "schedule": "sine"},
    {"rule": "per_class"},  # the same images as plain guidance, but not by the same rule
    {"rule": "auto", "bad_step": 3},
    {"rule": "auto", "bad_weights": "ab" * 32},
)


def test_two_rules_of_guidance_are_never_one_series():
    series, words = [], []
    for rule in RULES:
        spec = RunSpec(sample=SampleSpec(sampler="ddim", steps=5, guidance=1.0, **rule))
        row = {**ROW, "guidance": 1.0, "nfe": 10, "method": "ddpm", "variant": ""}
        table = with_series(pd.DataFrame([row]), spec)
        series.append(table["series"].item())
        words.append(rule_of(table["settings"].item()))
        assert words[-1] == spec.sample.rule_label
    assert len(set(series)) == len(set(words)) == len(RULES)


def test_a_rules_steps_are_told_since_its_evaluations_do_not():
    spec = RunSpec(sample=SampleSpec(sampler="ddim", steps=5, guidance=1.0, rule="interval", sigma_low=1e4))
    assert evaluations(spec.sample).nfe == 5
    assert settings_of(spec)["sample.steps"] == 5
    assert "sample.steps" not in settings_of(
        RunSpec(sample=SampleSpec(sampler="ddim", steps=5, guidance=1.0))
    )
    unguided = spec.sample.model_copy(update={"guidance": 0.0})  # is no guidance, by whatever rule
    assert settings_of(RunSpec(sample=unguided)) == settings_of(
        RunSpec(sample=SampleSpec(sampler="ddim", steps=5))
    )


def test_a_methods_own_settings_are_told_from_those_of_the_recipe():
    spec = RunSpec(method=MethodSpec(name="cbdm", hyperparameters={"cbdm": {"variant": "released"}}))
    assert {key for key in settings_of(spec) if is_hyperparameter(key)} == {"cbdm.variant"}


def test_the_main_sampling_seed_is_the_one_that_most_trainings_share():
    rows = [("a", 0, 1), ("a", 0, 2), ("a", 1, 2), ("b", 0, 3), ("b", 0, 1)]  # the smallest on a tie
    table = pd.DataFrame(rows, columns=["series", "train_seed", "sample_seed"])
    assert main_sampling_seed(table) == {"a": 2, "b": 1}
