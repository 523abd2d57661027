"""Specs and keys: ten golden keys that may never change, and the laws that let old results stay valid."""

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltbench.method.registry import resolve
from ltbench.runs.layout import folder_name
from ltbench.specs import (
    RULE_FIELDS,
    RULE_SETTINGS,
    DataSpec,
    MethodSpec,
    ModelSpec,
    RunSpec,
    SampleSpec,
    ScoreSpec,
    TrainSpec,
    sample_key,
    stage_key,
    train_key,
)
from ltbench.specs.keys import _sample_key, _train_key

# A key is the name of stored results: were one of these to change, everything that anybody has trained and
# sampled would silently be computed again, and published numbers could no longer be found. A new field must
# default to the old behaviour; a stage that computes something else bumps its version and so gets new keys.
GOLDEN = {
    "the papers' default": (
        {},
        ("b97c35de06bc7ee3", "77f38e143812bdd3", "b3cafbfd6d79ffc7", "a0cd85a703568b70", "63237bcbb3f3182d"),
    ),
    "another seed": (
        {"train_seed": 7},
        ("486adeac93439a38", "239e3625250763ab", "2c8c60f9711dfe95", "6fa77170210cb571", "35efbfa7c715d10e"),
    ),
    "coral on CIFAR100-LT": (
        {
            "data": {"dataset": "cifar100_lt"},
            "method": {"name": "coral", "hyperparameters": {"coral": {"tau_sc": 0.09}}},
            "sample": {"guidance": 0.8},
        },
        ("f50c492a8715ff2f", "a03118b978761a15", "bfa06d644f69e05b", "307054c6779976a8", "f7be3cba8dff6dfb"),
    ),
    "the demo": (
        {
            "data": {"dataset": "digits_lt", "imbalance_ratio": 0.1},
            "model": {"size": "tiny", "dropout": 0.0},
            "train": {
                "steps": 2000,
                "batch_size": 64,
                "learning_rate": 1e-3,
                "warmup_steps": 100,
                "ema_decay": 0.995,
                "flip": False,
            },
            "sample": {
                "sampler": "dpmsolver++",
                "steps": 20,
                "spacing": "trailing",
                "guidance": 0.5,
                "per_class": 100,
            },
        },
        ("ba9e7f2233d2f196", "b358b73d396500dc", "5c5870b91987cf85", "2f847b38c4150846", "aebc9d8c771447ae"),
    ),
    "a composition": (
        {
            "method": {
                "name": "cbdm+coral",
                "hyperparameters": {
                    "coral": {"w": 0.5, "lambda_per": "batch"},
                    "cbdm": {"labels": "sqrt", "draws": 2},
                },
            },
            "train": {"label_dropout_mode": "sample", "label_dropout": 0.2},
        },
        ("ba95b65923dd2bcf", "db6eab86784145bc", "23e0c05ca070d6df", "e6ecf8147cb88dab", "e1f878be41e566a6"),
    ),
    "a permuted step profile": (
        {
            "data": {
                "dataset": "fashion_mnist_lt",
                "imbalance_ratio": 0.005,
                "profile": "step",
                "class_order": "permuted:3",
                "split_seed": 11,
                "head_count": 4000,
                "image_size": 16,
            },
            "model": {"size": "small"},
        },
        ("b03db6ad19b0fcb8", "17bf7fbb92852c3e", "5ef7aab37d535670", "47fa45b0964122a8", "ce3d866eaff5971d"),
    ),
    "bf16 in micro-batches": (
        {
            "train": {
                "precision": "bf16",
                "micro_batch": 32,
                "batch_size": 256,
                "snapshots": [50_000, 100_000],
                "steps": 300_000,
                "grad_clip": 0.5,
            },
            "sample": {"precision": "tf32", "weights": "raw"},
        },
        ("7fbf851a6ebb12f9", "878daacfd696d9d0", "e9af31b862eaedf0", "42cb70433fd0ff79", "3850ada816ad2993"),
    ),
    "fine-tuning": (
        {
            "method": {"name": "cbdm", "hyperparameters": {"cbdm": {"labels": "balanced"}}},
            "train": {"init_weights": "ab" * 32, "steps": 1000},
        },
        ("1559b95b30d34e63", "410a3c2fccf5cec6", "9d8095dde1902f75", "7b1a50f5742685c6", "9b46b036b4315d3e"),
    ),
    "DDIM, clipped": (
        {
            "sample": {
                "sampler": "ddim",
                "steps": 100,
                "spacing": "linspace",
                "clip": True,
                "guidance": 1.5,
                "seed": 4,
                "per_class": 10,
            }
        },
        ("b97c35de06bc7ee3", "d66f0f1c6ea774f0", "b3cafbfd6d79ffc7", "96022c5147dd5ef3", "63237bcbb3f3182d"),
    ),
    "other metrics and a probe": (
        {
            "sample": {"sampler": "dpmsolver++", "steps": 25, "order": 3, "spacing": "trailing"},
            "score": {
                "extractors": ["inception", "dinov2"],
                "metrics": ["all"],
                "floor_draws": 3,
                "bootstrap": 200,
                "probes": True,
            },
        },
        ("b97c35de06bc7ee3", "db5f29916c47a015", "b3cafbfd6d79ffc7", "274cb653647b5fef", "63237bcbb3f3182d"),
    ),
}


GOLDEN_SPACINGS = {"logsnr": "ee36663adc828bd7", "karras": "fa9a5d8032ca5a74", "trailing": "34ed7c8bb8a2c928"}


@pytest.mark.parametrize("case", GOLDEN)
def test_golden_keys(case):
    content, expected = GOLDEN[case]
    run = RunSpec.model_validate(content)
    keys = (train_key(run), sample_key(run), *(stage_key(run, kind) for kind in ("train", "score", "probe")))
    assert tuple(key[:16] for key in keys) == expected
    assert all(len(key) == 64 for key in keys)
    assert stage_key(run, "sample") == sample_key(run)


@pytest.mark.parametrize("spacing", GOLDEN_SPACINGS)
def test_golden_keys_of_spacings(spacing):
    run = RunSpec(sample=SampleSpec(sampler="dpmsolver++", steps=20, spacing=spacing))
    assert sample_key(run)[:16] == GOLDEN_SPACINGS[spacing]


def test_the_default_spacing_is_another_key_than_the_one_of_older_results():
    few = SampleSpec(sampler="ddim", steps=20)
    assert few.spacing == "logsnr"
    assert few.label == "ddim"
    older = few.model_copy(update={"spacing": "trailing"})
    assert sample_key(RunSpec(sample=few)) != sample_key(RunSpec(sample=older))
    assert older.label == "ddim trailing"


# -- laws -------------------------------------------------------------------------------------------

# For every field one value that is not its default; a field that is missing here fails the test below.
OTHER = {
    "data": {
        "dataset": "digits_lt",
        "imbalance_ratio": 0.5,
        "profile": "step",
        "class_order": "reversed",
        "split_seed": 1,
        "head_count": 10,
        "image_size": 16,
        "content": "abc",
    },
    "model": {"size": "small", "dropout": 0.2, "widths": (32, 64), "attention": (1,), "res_blocks": 1},
    "train": {
        "steps": 7,
        "snapshots": (3,),
        "batch_size": 64,
        "learning_rate": 1e-3,
        "warmup_steps": 1,
        "grad_clip": 2.0,
        "ema_decay": 0.5,
        "label_dropout": 0.0,
        "label_dropout_mode": "sample",
        "flip": False,
        "precision": "tf32",
        "micro_batch": 32,
        "init_weights": "00" * 32,
        "imported": "11" * 32,
    },
    "sample": {
        "sampler": "dpmsolver++",
        "steps": 9,
        "order": 1,
        "spacing": "leading",
        "clip": True,
        "guidance": 1.0,
        "rule": "interval",
        "sigma_low": 0.3,
        "sigma_high": 3.0,
        "schedule": "powered_cosine",
        "schedule_power": 3.0,
        "schedule_floor": 0.5,
        "omega_power": -0.5,
        "omega_factors": (1.0, 0.5),
        "bad_step": 3,
        "bad_weights": "22" * 32,
        "rule_values": ("low=1",),
        "per_class": 3,
        "seed": 5,
        "weights": "raw",
        "leave_out": ("cm.expert",),
        "precision": "bf16",
    },
    "score": {
        "extractors": ("inception",),
        "metrics": ("kid",),
        "floor_draws": 2,
        "bootstrap": 10,
        "groups": ("thirds", "cm"),
        "reference": "heldout",
        "resize": "clean",
        "probes": True,
        "snapshot_images": 8,
        "reference_half": "first",
    },
}
MODELS = {"data": DataSpec, "model": ModelSpec, "train": TrainSpec, "sample": SampleSpec, "score": ScoreSpec}


def run_of(*settings):
    """Return a run with (section, field, value) settings, and those that others go with."""
    content = {}
    for section, field, value in settings:
        content.setdefault(section, {})[field] = value
    sample = content.get("sample", {})
    if {"steps", "order", "spacing"} & set(sample):
        sample.setdefault("sampler", "dpmsolver++")
    one_rule(sample)
    model = content.get("model", {})
    if {"attention", "res_blocks"} & set(model):
        model.setdefault("widths", (64, 64))
    return RunSpec.model_validate(content)


def one_rule(sample):
    """Give the first setting of a rule that rule and a scale, and drop those of other rules."""
    given = [name for name in sample if name in RULE_FIELDS[1:]]
    if not given and "rule" not in sample:
        return
    rules = {name: rule for rule, names in RULE_SETTINGS.items() for name in names} | {
        "rule_values": "theirs"
    }
    rule = sample.setdefault("rule", rules[given[0]]) if given else sample["rule"]
    for name in given:
        if rules[name] != rule:
            del sample[name]
    if rule == "schedule":
        sample["schedule"] = "clamped_linear" if "schedule_floor" in sample else "powered_cosine"
        if "schedule_floor" in sample:
            sample.pop("schedule_power", None)
    if "omega_factors" in sample:
        sample.pop("omega_power", None)
    if "bad_weights" in sample:
        sample.pop("bad_step", None)
    sample.setdefault("guidance", 1.0)


settings_of_runs = st.lists(
    st.sampled_from([(s, f, v) for s, fields in OTHER.items() for f, v in fields.items()]), unique=True
)
hyperparameters = st.dictionaries(
    st.sampled_from(["coral", "cbdm", "t2h"]),
    st.dictionaries(st.sampled_from(["tau", "gate", "w"]), st.floats(0, 9), min_size=1),
)


def test_every_field_has_another_value_here():
    for section, model in MODELS.items():
        assert set(OTHER[section]) == set(model.model_fields)
        for field, value in OTHER[section].items():
            assert value != model.model_fields[field].default


@settings(max_examples=50)
@given(settings_of_runs)
def test_what_equals_its_default_enters_no_key(chosen):
    run = run_of(*chosen)
    explicit = RunSpec.model_validate(run.model_dump())
    assert train_key(explicit) == train_key(run)
    assert sample_key(explicit) == sample_key(run)
    read_back = RunSpec.model_validate_json(run.model_dump_json(exclude_defaults=True))
    assert read_back == run
    assert sample_key(read_back) == sample_key(run)


def test_a_new_field_changes_old_keys_only_where_it_is_used():
    class NewerTrain(TrainSpec):
        fresh: int = 3

    class NewerRun(RunSpec):
        train: NewerTrain = NewerTrain()

    assert train_key(NewerRun()) == train_key(RunSpec())
    assert train_key(NewerRun(train=NewerTrain(fresh=4))) != train_key(RunSpec())


@settings(max_examples=50)
@given(settings_of_runs)
def test_only_what_a_training_depends_on_is_in_its_key(chosen):
    run = run_of(*chosen)
    free = {("train", "steps"), ("train", "snapshots")}
    bound = [s for s in chosen if s[0] in ("data", "model", "train") and s[:2] not in free]
    assert (train_key(run) == train_key(RunSpec())) == (not bound)
    assert train_key(run) == train_key(run_of(*bound))


@pytest.mark.parametrize("field", [f for f in OTHER["sample"] if f not in ("sampler", "steps")])
def test_every_setting_of_a_sampler_is_in_the_sample_key(field):
    few = ("sample", "sampler", "dpmsolver++"), ("sample", "steps", 9)
    one, other = run_of(*few), run_of(*few, ("sample", field, OTHER["sample"][field]))
    assert sample_key(one) != sample_key(other)
    assert train_key(one) == train_key(other)


def test_samples_depend_on_the_step_and_not_on_the_snapshots():
    short, long = run_of(("train", "steps", 7)), run_of(("train", "steps", 8))
    assert sample_key(short) != sample_key(long)
    assert sample_key(short) == sample_key(run_of(("train", "steps", 7), ("train", "snapshots", (3,))))


def test_settings_that_a_sampler_ignores_are_not_in_its_key():
    ancestral = RunSpec(sample=SampleSpec(order=3, spacing="linspace"))
    assert sample_key(ancestral) == sample_key(RunSpec())
    ddim = SampleSpec(sampler="ddim", steps=10)
    assert sample_key(RunSpec(sample=ddim)) == sample_key(
        RunSpec(sample=ddim.model_copy(update={"order": 3}))
    )


@settings(max_examples=20)
@given(hyperparameters, st.randoms(use_true_random=False))
def test_hyperparameters_have_no_order(given_, random):
    def shuffled(table):
        items = list(table.items())
        random.shuffle(items)
        return dict(items)

    again = shuffled({name: shuffled(values) for name, values in given_.items()})
    one, other = (
        RunSpec.model_validate({"method": {"name": "x", "hyperparameters": h}}) for h in (given_, again)
    )
    assert train_key(one) == train_key(other)


def test_equal_methods_written_differently_have_one_key():
    def key(name, hyper=None):
        return train_key(RunSpec(method=resolve(name, hyper)))

    assert key("t2h+coral") == key("coral+t2h")
    assert key("coral", {"coral": {"tau_sc": 0.1, "w": 0.01}}) == key("coral")
    assert key("coral", {"coral": {"w": 1}}) == key("coral", {"coral": {"w": 1.0}})
    formula = {"lambda_per": "batch", "second_temperature": True, "mask_dropped": True}
    assert key("coral", {"coral": {"variant": "released_formula"}}) == key("coral", {"coral": formula})
    released = formula | {"w": 0.5, "tau_r": 0.3}
    assert key("coral", {"coral": {"variant": "released"}}) == key("coral", {"coral": released})
    names = ["ddpm", "cbdm", "t2h", "coral", "coral+t2h"]
    assert len({key(name) for name in names}) == len(names)


@pytest.mark.parametrize("values", [(2, 2.0), (2.0, 2), (True, 1)])
def test_a_key_does_not_depend_on_which_of_two_equal_specs_was_asked_for_first(values):
    """A cache that compares 2 and 2.0, whose digests are not equal, gave each the key of the first."""
    runs = [
        RunSpec(method=MethodSpec(name="theirs", hyperparameters={"theirs": {"weight": value}}))
        for value in values
    ]
    assert runs[0] == runs[1]
    first, second = map(train_key, runs)
    assert first != second
    _train_key.cache_clear()
    assert (train_key(runs[1]), train_key(runs[0])) == (second, first)


def test_stages_have_keys_of_their_own():
    run = RunSpec()
    keys = [stage_key(run, kind) for kind in ("train", "sample", "score", "probe")] + [train_key(run)]
    assert all(one != other for one, other in itertools.combinations(keys, 2))
    rescored = RunSpec(score=ScoreSpec(bootstrap=5))
    assert stage_key(rescored, "score") != stage_key(run, "score")
    assert stage_key(rescored, "sample") == stage_key(run, "sample")


def test_a_folder_says_what_is_in_it():
    run = RunSpec.model_validate({"data": {"imbalance_ratio": 0.001}, "method": {"name": "coral+t2h"}})
    assert folder_name(run) == f"cifar10_lt-r0.001-coral_t2h-s0-{train_key(run)[:8]}"


# -- rules of guidance ---------------------------------------------------------------------------------


GOLDEN_RULES = {
    "interval": ({"rule": "interval", "sigma_low": 0.28, "sigma_high": 2.9}, "f2dbf39a45cc3cdc"),
    "schedule": ({"rule": "schedule", "schedule": "ccua_power", "schedule_power": 4.0}, "02715858bd76f022"),
    "per_class": ({"rule": "per_class", "omega_power": -0.5}, "0843b454da7abe80"),
    "auto": ({"rule": "auto", "bad_step": 500}, "beed5ccdc956b1c8"),
}


@pytest.mark.parametrize("case", GOLDEN_RULES)
def test_golden_keys_of_rules(case):
    content, expected = GOLDEN_RULES[case]
    run = RunSpec(sample=SampleSpec(sampler="dpmsolver++", steps=20, guidance=1.0, **content))
    assert sample_key(run)[:16] == expected
    assert train_key(run) == train_key(RunSpec())


SIGNED = [
    {"sample": {"guidance": "zero"}},
    {"sample": {"guidance": 1, "rule": "interval", "sigma_low": "zero", "sigma_high": 2}},
    {"sample": {"guidance": 1, "rule": "per_class", "omega_factors": ["zero", 2]}},
    {"sample": {"guidance": 1, "rule": "schedule", "schedule": "clamped_linear", "schedule_floor": "zero"}},
    {"model": {"dropout": "zero"}},
    {"train": {"label_dropout": "zero"}},
    {"method": {"name": "theirs", "hyperparameters": {"theirs": {"weight": "zero", "each": ["zero", 1.0]}}}},
]


@pytest.mark.parametrize("content", SIGNED)
def test_zero_of_either_sign_is_one_setting_and_one_key(content):
    """-0.0 equals 0.0 and is written otherwise: a cache gave each the key of the one asked for first."""

    def read(zero):
        return RunSpec.model_validate_json(json.dumps(content).replace('"zero"', zero))

    plain, signed = read("0.0"), read("-0.0")
    assert signed.model_dump_json() == plain.model_dump_json()
    assert sample_key(plain) == sample_key(signed)
    assert train_key(plain) == train_key(signed)
    _sample_key.cache_clear()
    _train_key.cache_clear()
    assert sample_key(signed) == sample_key(plain)


@pytest.mark.parametrize("content", SIGNED)
def test_a_run_that_was_stored_with_a_negative_zero_keeps_its_key(content):
    """Its folder read as changed since it was written."""
    written = json.loads(json.dumps(content).replace('"zero"', "-0.0"))
    stored = RunSpec.stored(written)
    again = RunSpec.stored(stored.model_dump(mode="json"))
    assert "-0.0" in stored.model_dump_json()
    _sample_key.cache_clear()
    _train_key.cache_clear()
    keys = sample_key(stored), train_key(stored)
    _sample_key.cache_clear()
    _train_key.cache_clear()
    assert (sample_key(again), train_key(again)) == keys
