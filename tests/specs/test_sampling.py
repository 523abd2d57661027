"""How a sample set is specified: what a sampler and a rule of guidance read, refuse and are called."""

import json
import re

import pytest
from pydantic import ValidationError

from ltbench.specs import RULE_FIELDS, RunSpec, SampleSpec, sample_key
from ltbench.text import is_name


def test_a_stored_spec_without_a_spacing_means_the_one_of_its_time():
    content = {"sampler": "dpmsolver++", "steps": 20}
    assert SampleSpec.stored(content).spacing == "trailing"
    assert RunSpec.stored({"sample": content, "nfe": 20}).sample.spacing == "trailing"
    assert RunSpec.stored({"train_seed": 3}) == RunSpec(train_seed=3)
    explicit = SampleSpec.stored(content | {"spacing": "logsnr"})
    assert explicit == SampleSpec(**content)


def test_a_sampler_that_visits_every_step_has_no_spacing_to_show():
    assert SampleSpec(spacing="trailing").label == "ancestral"
    assert {"spacing", "order"} & set(SampleSpec().settings) == set()


def test_a_spec_in_a_file_is_checked_as_one_that_is_typed():
    """Text from a file equals a name in the code and is another object."""
    for text in ('{"sampler": "ancestral", "steps": 50}', '{"sampler": "sde-dpmsolver++", "order": 3}'):
        with pytest.raises(ValidationError):
            SampleSpec.model_validate_json(text)
        with pytest.raises(ValidationError):
            SampleSpec.model_validate(
                {k: "".join(list(v)) if k == "sampler" else v for k, v in json.loads(text).items()}
            )


def test_plain_guidance_by_name_is_plain_guidance():
    assert sample_key(RunSpec(sample=SampleSpec(guidance=1.0, rule="cfg"))) == sample_key(
        RunSpec(sample=SampleSpec(guidance=1.0))
    )
    assert not set(RULE_FIELDS) & set(SampleSpec(guidance=1.0).settings)


@pytest.mark.parametrize(
    ("content", "plain"),
    [
        ({"rule": "interval", "sigma_high": 2.9}, True),
        ({"rule": "per_class", "omega_factors": (0.0, 2.0)}, True),
        ({"rule": "auto", "bad_step": 3}, True),
        ({"rule": "schedule", "schedule": "linear"}, True),
        ({"rule": "schedule", "schedule": "clamped_linear"}, False),  # not below its floor
        ({"rule": "schedule", "schedule": "ccua_linear"}, False),  # of w = omega + 1
        ({"rule": "theirs"}, False),  # whose formula nobody here knows
    ],
)
def test_a_rule_that_scales_a_guidance_of_0_is_no_other_sample_set(content, plain):
    run = RunSpec(sample=SampleSpec(sampler="ddim", steps=20, guidance=0.0, **content))
    assert run.sample.is_plain == plain
    assert (run.sample.rule_label == "") == plain
    assert (sample_key(run) == sample_key(RunSpec(sample=SampleSpec(sampler="ddim", steps=20)))) == plain


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            {"sigma_high": 1.0},
            "sample.sigma_high is a setting of sample.rule=interval, and sample.rule is cfg",
        ),
        (
            {"rule": "interval", "omega_power": 1.0},
            "sample.omega_power is a setting of sample.rule=per_class",
        ),
        ({"rule": "interval", "rule_values": ("a=1",)}, "setting of sample.rule=another package's"),
        ({"rule": "interval", "sigma_low": 2.0, "sigma_high": 2.0}, "sample.sigma_low must be below"),
        ({"rule": "schedule"}, "needs sample.schedule"),
        (
            {"rule": "schedule", "schedule": "linear", "schedule_power": 3.0},
            "goes with sample.schedule=powered_cosine or ccua_power",
        ),
        ({"rule": "per_class", "omega_power": 1.0, "omega_factors": (1.0,)}, "not both"),
        ({"rule": "auto"}, "needs a weaker network"),
        ({"rule": "auto", "bad_weights": "ab" * 32, "bad_step": 3}, "a hash, which names one step's weights"),
    ],
)
def test_a_setting_of_another_rule_is_refused_in_a_sentence(content, says):
    with pytest.raises(ValidationError, match=re.escape(says)):
        SampleSpec(sampler="ddim", steps=20, guidance=1.0, **content)


def test_a_rule_is_named_with_its_parameters():
    def words(**content):
        return SampleSpec(sampler="ddim", steps=20, guidance=1.0, **content).rule_label

    assert words() == ""
    assert (
        words(rule="interval", sigma_low=0.28, sigma_high=2.9) == "interval (sigma_low 0.28, sigma_high 2.9)"
    )
    assert words(rule="schedule", schedule="linear") == "schedule (linear)"
    assert words(rule="per_class", omega_factors=(0.0, 2.0)) == "per_class (omega_factors 0 2)"
    assert words(rule="per_class") == "per_class"
    assert words(rule="auto", bad_weights="ab" * 32) == "auto (bad_weights abababab)"
    long = [words(rule="per_class", omega_factors=(1.0,) * n) for n in (100, 101)]
    assert long[0] != long[1]
    assert all(is_name(text) for text in long)


def test_a_rules_number_is_written_one_way():
    """a=1 and a=1.0 were two keys of one sample set; what is usually typed keeps its key."""
    given = ("a=1", "b= 2.50", " c =1e-1", "d=-0", "e=x", "f", "g=1e300")
    assert SampleSpec(rule="theirs", rule_values=given).rule_values == (
        "a=1",
        "b=2.5",
        "c=0.1",
        "d=0",
        "e=x",
        "f",
        "g=1e+300",
    )
    alike = [
        SampleSpec(sampler="ddim", steps=3, guidance=1, rule="theirs", rule_values=(f"a={text}",))
        for text in ("1", "1.0", "1e0", "+1")
    ]
    assert len({sample_key(RunSpec(sample=spec)) for spec in alike}) == 1
