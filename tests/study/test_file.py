"""Grids: layers, axes, ranges, and one sentence for everything that can be wrong in a study file."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltbench.errors import UsageError
from ltbench.specs import sample_key, train_key
from ltbench.study.file import load_study
from ltbench.study.presets import preset_names

STUDY = """
title = "Guidance"
description = "Two methods"
train_seed = 3

[data]
dataset = "digits_lt"
imbalance_ratio = 0.1

[train]
steps = 100
warmup_steps = 5

[sample]
sampler = "dpmsolver++"
steps = 10
per_class = 4

[contrast]
method = "coral"
baseline = "ddpm"
metric = "frechet"

[for.coral]
"sample.guidance" = 0.6
"coral.tau_sc" = 0.02

[[grid]]
methods = ["ddpm", "coral"]
seeds = "0..2"
"""


@pytest.fixture
def study(tmp_path):
    def write(text=STUDY):
        path = tmp_path / "study.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_a_study_file_becomes_runs_in_order(study):
    loaded = load_study(study())
    assert [(run.method.name, run.train_seed) for run in loaded.runs] == [
        (method, seed) for method in ("ddpm", "coral") for seed in (0, 1, 2)
    ]
    assert (loaded.title, loaded.description) == ("Guidance", "Two methods")
    assert (loaded.contrast.method, loaded.contrast.baseline) == ("coral", "ddpm")
    assert {run.sample.guidance for run in loaded.runs if run.method.name == "ddpm"} == {0.0}
    assert {run.sample.guidance for run in loaded.runs if run.method.name == "coral"} == {0.6}
    assert loaded.runs[-1].method.hyperparameters == {"coral": {"tau_sc": 0.02}}
    assert all(run.data.dataset == "digits_lt" and run.train.steps == 100 for run in loaded.runs)


def test_no_file_and_no_flag_is_the_papers_default():
    (run,) = load_study().runs
    assert run.method.name == "ddpm"
    assert run.train.steps == 150_000


def test_command_line_wins_over_file_and_its_overrides(study):
    flags = {"methods": "coral", "seeds": "5,7", "dataset": None}
    loaded = load_study(study(), ["sample.guidance=0,1", "coral.tau_sc=0.5", "train.steps=7"], flags)
    assert [(run.train_seed, run.sample.guidance) for run in loaded.runs] == [(5, 0), (5, 1), (7, 0), (7, 1)]
    assert all(run.method.hyperparameters == {"coral": {"tau_sc": 0.5}} for run in loaded.runs)
    assert all(run.train.steps == 7 for run in loaded.runs)


def test_a_grid_wins_over_for_method_and_guidance_sweeps_train_once(study):
    text = STUDY.replace('seeds = "0..2"', "guidance = [0, 0.5, 1]")
    runs = load_study(study(text)).runs
    assert [run.sample.guidance for run in runs] == [0, 0.5, 1, 0, 0.5, 1]
    assert len({train_key(run) for run in runs}) == 2


def test_blocks_are_joined_in_order_without_doubles(study):
    text = STUDY + '\n[[grid]]\nmethods = ["coral", "cbdm"]\nseeds = [2, 9]\n'
    pairs = [(run.method.name, run.train_seed) for run in load_study(study(text)).runs]
    assert pairs == [
        *itertools.product(["ddpm", "coral"], [0, 1, 2]),
        ("coral", 9),
        ("cbdm", 2),
        ("cbdm", 9),
    ]


def test_hyperparameters_reach_only_runs_with_that_method(study):
    text = STUDY.replace('"coral.tau_sc" = 0.02', "").replace('"0..2"', '[0]\n"coral.tau_sc" = [0.3, 0.2]')
    runs = load_study(study(text)).runs
    assert [(run.method.name, run.method.hyperparameters) for run in runs] == [
        ("ddpm", {}),
        ("coral", {"coral": {"tau_sc": 0.3}}),
        ("coral", {"coral": {"tau_sc": 0.2}}),
    ]


def test_for_method_gives_a_composition_its_hyperparameters_but_not_its_sampler(study):
    (run,) = load_study(study(), [], {"methods": "t2h+coral", "seeds": "0"}).runs
    assert run.method.name == "coral+t2h"
    assert run.method.hyperparameters == {"coral": {"tau_sc": 0.02}}
    assert run.sample.guidance == 0


def test_unquoted_dotted_keys_mean_the_same(study):
    text = STUDY.replace('"sample.guidance" = 0.6', "sample.guidance = 0.6").replace(
        '"coral.tau_sc"', "coral.tau_sc"
    )
    assert load_study(study(text)).runs == load_study(study()).runs


def test_a_field_that_is_a_list_is_one_value_unless_lists_are_listed(study):
    (run,) = load_study(None, ["train.snapshots=30,10", "score.metrics=frechet"]).runs
    assert run.train.snapshots == (10, 30)
    assert run.score.metrics == ("frechet",)
    text = STUDY.replace('seeds = "0..2"', '"score.metrics" = [["frechet"], ["frechet", "kid"]]')
    assert [run.score.metrics for run in load_study(study(text), [], {"methods": "ddpm"}).runs] == [
        ("frechet",),
        ("frechet", "kid"),
    ]


def test_text_values_are_read_by_the_fields_type():
    (run,) = load_study(None, ["train.flip=false", "train.learning_rate=1e-3", "data.head_count=none"]).runs
    assert run.train.flip is False
    assert run.train.learning_rate == 1e-3
    assert run.data.head_count is None


def test_equal_settings_written_differently_are_one_run():
    assert len(load_study(None, ["imbalance_ratio=0.1,1e-1,.10", "train_seed=0..1,1,0"]).runs) == 2


@given(st.lists(st.integers(0, 50), min_size=1, max_size=6), st.integers(0, 5), st.integers(0, 5))
def test_seed_lists_and_ranges_expand_in_order(listed, first, length):
    text = ",".join([*map(str, listed), f"{first}..{first + length}"])
    seeds = [run.train_seed for run in load_study(None, [], {"seeds": text}).runs]
    assert seeds == list(dict.fromkeys([*listed, *range(first, first + length + 1)]))


def test_every_preset_of_the_package_loads_and_has_runs():
    for name in preset_names():
        loaded = load_study(name)
        assert loaded.runs, name
        assert loaded.title, name
        assert loaded.source is not None, name
        keys = [(sample_key(run), run.score, run.train.snapshots) for run in loaded.runs]
        assert len(keys) == len(set(keys)), name


# What is wrong -> what the one sentence must say.
WRONG_ON_THE_COMMAND_LINE = [
    (["trian.steps=5"], ["--set", "'trian.steps'", "did you mean 'train.steps'"]),
    (["nometh.gamma=5"], ["'nometh.gamma'", "nometh is no section, and no method of that name is installed"]),
    (["train.stpes=5"], ["'train.stpes'", "did you mean 'train.steps'"]),
    (["train=5"], ["'train' is a table", "train.steps"]),
    (["steps=5"], ["unknown key 'steps'", "train.steps"]),
    (["guidence=1"], ["did you mean 'guidance'"]),
    (["train.steps"], ["KEY=VALUE"]),
    (["train.steps="], ["no value"]),
    (["train.steps=0"], ["--set train.steps", "greater than or equal to 1", "not 0"]),
    (["train.steps=-5"], ["greater than or equal to 1"]),
    (["train.steps=1.5"], ["whole numbers", "1.5"]),
    (["train.steps=many"], ["whole numbers", "'many'"]),
    (["train_seed=1,x"], ["train_seed", "whole numbers", "'x'"]),
    (["train_seed=4..1"], ["runs backwards", "1..4"]),
    (["train_seed=-1"], ["train_seed", "greater than or equal to 0"]),
    (["imbalance_ratio=0"], ["data.imbalance_ratio", "greater than 0"]),
    (["imbalance_ratio=2"], ["data.imbalance_ratio", "less than or equal to 1"]),
    (["imbalance_ratio=nan"], ["data.imbalance_ratio", "finite"]),
    (["imbalance_ratio=ten"], ["data.imbalance_ratio", "a number", "'ten'"]),
    (
        ["sampler=dim"],
        ["sample.sampler", "ancestral, ddim, dpmsolver++ or sde-dpmsolver++", "did you mean 'ddim'"],
    ),
    (["sampler=ancestral", "sample.steps=10"], ["sample.steps=1000"]),
    (["class_order=random"], ["data.class_order", "permuted"]),
    (["train.flip=perhaps"], ["train.flip", "true or false", "'perhaps'"]),
    (["methods=corl"], ["corl", "coral"]),
    (["corall.weight=1"], ["corall.weight"]),
    (["coral.tau_cs=1", "methods=coral"], ["tau_cs", "tau_sc"]),
    (["score.metrics=default,frechte"], ["--set score.metrics", "'frechte'", "frechet"]),
    (["score.extractors=inceptoin"], ["--set score.extractors", "did you mean 'inception'"]),
    (["coral.tau_sc=0.1", "methods=ddpm"], ["--set coral.tau_sc", "no run has method 'coral'"]),
]


@pytest.mark.parametrize(("sets", "parts"), WRONG_ON_THE_COMMAND_LINE, ids=lambda x: " ".join(x)[:40])
def test_a_wrong_flag_is_one_sentence(sets, parts):
    with pytest.raises(UsageError) as caught:
        load_study(None, sets)
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


WRONG_IN_A_FILE = [
    ("[data]\ndatset = 'digits_lt'", ["study.toml", "'data.datset'", "did you mean 'data.dataset'"]),
    ("[grids]\nseeds=[1]", ["study.toml", "grids"]),
    ("titel = 'x'", ["study.toml", "did you mean 'title'"]),
    ("title = 3", ["title must be text"]),
    ("[data]\nimbalance_ratio = true", ["data.imbalance_ratio", "no true or false"]),
    ("[train]\nsteps = 'ten'", ["study.toml: train.steps", "'ten'"]),
    ("[train]\nsteps = [1, 2]", ["study.toml: train.steps is a list", "[[grid]]"]),
    ("[[grid]]\nseeds = []", ["empty list"]),
    ("[[grid]]\nseeds = [0]\n[[grid]]\nsteps = [1]", ["[[grid]] 2", "'steps'"]),
    ("[for.corl]\nguidance = 1", ["[for.corl]", "coral"]),
    ("[for.coral]\ntau_cs = 1", ["[for.coral]", "'tau_cs'"]),
    ("[for.coral]\n'coral.tau_cs' = 1", ["[for.coral]", "tau_cs", "tau_sc"]),
    ("[[grid]]\nmethods = ['ddpm']\n'coral.tau_sc' = [1]", ["no run has method 'coral'"]),
    ("[contrast]\nmethod = 'coral'\nbaseline = 'ddpm'\nmertic = 'frechet'", ["did you mean 'metric'"]),
    ("[contrast]\nmethod = 'coral'\nbaseline = 'dpm'", ["[contrast]", "ddpm"]),
    (
        "[train]\nsteps = {}",
        ["study.toml: train.steps", "a whole number, not {}"],
    ),  # was passed over: 150,000 steps
    ("[sample.x]", ["unknown key 'sample.x'"]),
    ("[[grid]]\nseeds = {}", ["train_seed takes whole numbers"]),
    ("seed = true", ["study.toml: seed: train_seed takes no true or false"]),
    ("[for.ddpm]\nseed = true", ["[for.ddpm]: seed: train_seed takes no true or false"]),
    (
        "[train]\nsnapshots = [true, 5]",
        ["study.toml: train.snapshots: train.snapshots takes no true or false"],
    ),
    ("[train]\nsnapshots = 5", ["train.snapshots must be a list, not 5"]),
    (
        "[score]\nmetrics = []",
        ["score.metrics is an empty list; give at least one value"],
    ),  # ended in no scores
    (
        "[score]\nextractors = []",
        ["score.extractors is an empty list"],
    ),  # IndexError after training and sampling
    ("[[data]]\ndataset = 'digits_lt'", ["study.toml: [[data]] makes a list of a table: write [data]"]),
    ("[for.coral]\n[[for.coral.train]]\nsteps = 5", ["[for.coral]: [[train]] makes a list", "write [train]"]),
    ("x = = 1", ["not valid TOML", "line 1"]),
]


def test_empty_tables_and_lists_that_leave_nothing_out_are_none(study):
    (run,) = load_study(
        study("[coral]\n[train]\n[for.coral]\n[score]\nprobes = true\nmetrics = []\ngroups = []")
    ).runs
    assert (run.score.metrics, run.score.groups, run.train.steps) == ((), (), 150_000)


@pytest.mark.parametrize(("text", "parts"), WRONG_IN_A_FILE, ids=lambda x: str(x)[:40])
def test_a_wrong_file_is_one_sentence(study, text, parts):
    with pytest.raises(UsageError) as caught:
        load_study(study(text))
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "seed = 1\ntrain_seed = 2",
            "study.toml: train_seed sets train_seed again, as study.toml: seed does",
        ),
        ('dataset = "digits_lt"\n[data]\ndataset = "cifar10_lt"', "sets data.dataset again"),
        (
            "[[grid]]\nseeds = [0, 1]\ntrain_seeds = [2, 3]",
            r"\[\[grid\]\]: train_seeds sets train_seed again",
        ),
        ("[for.coral]\n'coral.weight' = 1\n[for.coral.coral]\nweight = 2", "sets coral.weight again"),
        (
            "[for.'coral+t2h'.train]\nsteps = 9\n[for.'t2h+coral'.train]\nsteps = 8",
            r"\[for\.t2h\+coral\] sets coral\+t2h again",
        ),
    ],
)
def test_a_key_under_two_spellings_is_refused(study, text, says):
    """The later one was taken, in silence."""
    with pytest.raises(UsageError, match=says):
        load_study(study(text))


def test_an_empty_list_of_blocks_is_named(study):
    with pytest.raises(
        UsageError, match=r"study\.toml: 'grid' is empty: give it a \[\[grid\]\] block or leave it out"
    ):
        load_study(study("method = 'ddpm'\ngrid = []\n[data]\ndataset = 'digits_lt'"))
