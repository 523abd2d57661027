"""Presets: the papers' settings number by number, fair comparisons that are fair, and plans without data."""

import re

import pytest

from ltbench.data import SOURCES, get_source
from ltbench.data.longtail import class_sizes
from ltbench.errors import UsageError
from ltbench.method.registry import create
from ltbench.metrics.registry import REGISTRY
from ltbench.specs import train_key
from ltbench.study.file import load_study
from ltbench.study.presets import default_preset, load_all, preset_folder, preset_names

GUESSED = ("celeba5", "imagenet_lt")


# CORAL's Table 3: omega of DDPM / CBDM / T2H / CORAL; CORAL's w, tau_SC, tau_r.
TABLE_3 = {
    "paper/cifar10_lt-r0.01": ((0.8, 1.0, 1.0, 0.6), (0.01, 0.12, 0.8)),
    "paper/cifar10_lt-r0.001": ((1.0, 1.8, 1.7, 1.0), (0.01, 0.10, 1.0)),
    "paper/cifar100_lt-r0.01": ((0.8, 1.6, 1.5, 0.8), (0.01, 0.09, 1.0)),
}


@pytest.mark.parametrize("name", TABLE_3)
def test_paper_presets_are_table_3(name):
    guidance, (w, tau_sc, tau_r) = TABLE_3[name]
    runs = load_study(name).runs
    by_method = {run.method.name: run for run in runs}
    assert list(by_method) == ["ddpm", "cbdm", "t2h", "coral"]
    assert len(runs) == 5
    assert tuple(run.sample.guidance for run in by_method.values()) == guidance
    assert [run.train.steps for run in by_method.values()] == [150_000, 150_000, 200_000, 150_000]
    for run in runs:
        train, sample = run.train, run.sample
        assert (train.learning_rate, train.batch_size, run.model.dropout) == (2e-4, 128, 0.1)
        assert (train.warmup_steps, train.grad_clip, train.ema_decay, train.flip) == (5000, 1.0, 0.9999, True)
        assert (train.label_dropout, train.label_dropout_mode, run.model.size) == (0.1, "batch", "ddpm32")
        assert (sample.sampler, sample.steps, sample.clip) == ("ancestral", 1000, False)
        assert sample.per_class * get_source(run.data.dataset).num_classes == 50_000
    coral = [create(run.method.name, run.method.hyperparameters).parts[0][1].hp for run in runs[3:]]
    assert {(hp.w, hp.tau_sc, hp.tau_r) for hp in coral} == {(w, tau_sc, tau_r)}
    assert [hp.variant for hp in coral] == ["published", "released_formula"]
    assert create(*_method(by_method["t2h"])).parts[0][1].hp.gate == "t2h"


def _method(run):
    return run.method.name, run.method.hyperparameters


@pytest.mark.parametrize("name", GUESSED)
def test_what_nobody_knows_is_marked_as_a_guess(name):
    """Every number that may differ by data set has its own mark; celeba5 and imagenet_lt come as they are."""
    text = (preset_folder() / "paper" / f"{name}.toml").read_text(encoding="utf-8")
    unknown = r'^"?(steps|batch_size|sample\.guidance|train\.steps|coral\.\w+)"? = (?!1000$).*'
    lines = [line.group() for line in re.finditer(unknown, text, re.MULTILINE)]
    numbers = [line for line in lines if '["published"' not in line]
    assert len(numbers) == 10
    assert all("guess" in line for line in numbers)
    run = load_study(f"paper/{name}").runs[0]
    counts = SOURCES[name].pool or (1280, 5)
    assert run.data.profile == "asis"
    assert run.data.imbalance_ratio == round(min(counts) / max(counts), 4)


@pytest.mark.parametrize("dataset", SOURCES.all())
def test_a_data_set_named_alone_has_one_preset(dataset):
    found = [name for name, content in load_all().items() if dataset in content.get("default_for", ())]
    assert len(found) == (dataset != "folder_lt")
    if found:
        assert {run.data.dataset for run in load_study(default_preset(dataset)).runs} == {dataset}


def test_a_ratio_that_a_paper_reports_takes_that_cells_settings():
    assert default_preset("cifar10_lt") == default_preset("cifar10_lt", "0.02") == "paper/cifar10_lt-r0.01"
    assert default_preset("cifar10_lt", "0.001") == "paper/cifar10_lt-r0.001"
    assert default_preset("cifar10_lt", "1e-3") == "paper/cifar10_lt-r0.001"
    assert default_preset("cifar10_lt", "0.01,0.001") == "paper/cifar10_lt-r0.01"  # one budget for a list
    assert default_preset("digits_lt", "0.05") == "demo"


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_loads_says_what_it_is_and_asks_for_metrics_that_exist(name):
    study = load_study(name)
    assert study.title
    assert study.description
    assert study.runs
    for run in study.runs:
        assert {*run.score.metrics} - {"default", "all"} <= {*REGISTRY}
        assert SOURCES[run.data.dataset].size(run.data.image_size)
        assert not (run.train.flip and not SOURCES[run.data.dataset].flip_allowed)


@pytest.mark.parametrize("name", [name for name in preset_names() if name.startswith("unified/")])
def test_unified_presets_differ_in_method_and_seed_alone(name):
    runs = load_study(name).runs
    first = runs[0]
    assert {run.sample for run in runs} == {first.sample}
    assert {run.train for run in runs} == {first.train}
    assert {(run.model, run.data, run.score) for run in runs} == {(first.model, first.data, first.score)}
    methods = {run.method.name for run in runs}
    assert {"ddpm", "cbdm", "t2h", "coral", "class_balanced", "effective_number"} <= methods
    assert len(runs) == 3 * len(methods)


@pytest.mark.parametrize("name", TABLE_3)
def test_unified_trains_nothing_that_paper_trained(name):
    """Guidance and sampler are not in a training's key, so the papers' networks serve both."""
    trained = {train_key(run): run for run in load_study(name).runs}
    unified = load_study(name.replace("paper", "unified"), [], {"seeds": "0"}).runs
    for run in unified[:4]:
        paper = trained[train_key(run)]
        assert run.train.steps in {paper.train.steps, *paper.train.snapshots}


@pytest.mark.parametrize("name", [name for name in preset_names() if name.startswith("controls/")])
def test_controls_are_the_tail_everything_and_as_scarce_as_the_tail(name):
    runs = load_study(name, [], {"seeds": "0"}).runs
    cells = []
    for run in runs:
        data = run.data
        sizes = class_sizes(SOURCES[data.dataset].pool, data.imbalance_ratio, head_count=data.head_count)
        cells.append(sizes.tolist())
    tail, full, scarce = cells
    assert full == [tail[0]] * len(tail)
    assert scarce == [tail[-1]] * len(tail)
    assert tail[-1] < tail[0]
    assert {run.method.name for run in runs} == {"ddpm"}
    assert all(run.score.probes for run in runs)
    assert len({run.train for run in runs}) == len({run.sample for run in runs}) == 1


def test_unknown_presets_and_absent_files(tmp_path):
    with pytest.raises(UsageError, match="unknown preset 'nothing-like-it'"):
        load_study("nothing-like-it")
    with pytest.raises(UsageError, match=r"no study file .*absent\.toml"):
        load_study(tmp_path / "absent.toml")


def test_a_part_of_presets_names_lists_all_that_have_it():
    with pytest.raises(UsageError, match="unknown preset 'CIFAR10_lt'; those with that word: ") as raised:
        load_study("CIFAR10_lt")
    assert all(name in str(raised.value) for name in ("paper/cifar10_lt-r0.01", "tuned/cifar10_lt-r0.01"))
    assert "celeba5" not in str(raised.value)
