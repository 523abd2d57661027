"""Presets: the papers' settings number by number, fair comparisons that are fair, and plans without data."""

import re
from pathlib import Path

import pytest
import torch
from rich.console import Console

from ltbench.cli import study as commands
from ltbench.cli.study import print_plan
from ltbench.data import SOURCES, get_source
from ltbench.data.facts import DatasetFacts, static_facts
from ltbench.data.longtail import class_sizes
from ltbench.data.source import Status
from ltbench.diffusion.unet import Denoiser
from ltbench.environment import Environment
from ltbench.errors import DataMissing, UsageError
from ltbench.method.registry import create
from ltbench.metrics.registry import REGISTRY
from ltbench.runs.layout import folder_name, weights_name
from ltbench.specs import DataSpec, RunSpec, train_key
from ltbench.study.checks import validate, warnings
from ltbench.study.file import load_study
from ltbench.study.presets import default_preset, load_all, preset_folder, preset_names
from ltbench.study.resolve import resolve_study
from ltbench.study.selection import planned
from ltbench.sweep.cost import make_plan

STUDIES = sorted((Path(__file__).parents[2] / "results" / "second").glob("*.toml"))
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


@pytest.mark.parametrize(
    ("sets", "flags"),
    [
        ([], {"imbalance_ratio": "0.001"}),
        (["data.imbalance_ratio=0.001"], {}),
        (["imbalance_ratio=1e-3"], {}),
    ],
)
def test_a_ratio_takes_its_cells_settings_however_it_is_given(sets, flags):
    study = resolve_study(None, sets, {"dataset": "cifar10_lt", "method": "cbdm", **flags}, None)
    assert {run.sample.guidance for run in study.runs} == {1.8}


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


@pytest.mark.parametrize("name", [*preset_names(), *map(str, STUDIES)])
def test_no_preset_prints_a_note_against_itself(name):
    """The demo's plan said of its own "train.ema_decay 0.9667 averages over more than the 300 steps; 0.9666 fits"."""
    study = load_study(name)
    runs = study.runs if study.select is None else planned(study.runs, study.select)
    notes = {note for run in runs for note in warnings(run)}
    if name.startswith("paper/"):  # a paper's sampler is kept as released, and what it distorts is said
        notes = {note for note in notes if "ddim" not in note}
    assert notes == set()


@pytest.mark.parametrize(
    ("steps", "decay", "noted"), [(300, 0.9667, False), (300, 0.9668, True), (7, 0, False), (7, 0.5, True)]
)
def test_an_average_is_too_long_beyond_its_fourth_decimal(steps, decay, noted):
    (run,) = load_study(
        None,
        ["dataset=digits_lt", f"train.steps={steps}", f"train.ema_decay={decay}", "train.warmup_steps=0"],
    ).runs
    assert ["averages over more" in note for note in warnings(run)] == [True] * noted


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


# -- plans without data files -----------------------------------------------------------------------


@pytest.mark.parametrize("dataset", ["cifar100_lt", "celeba5", "imagenet_lt"])
def test_a_plan_needs_no_files_and_a_run_does(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(
        type(SOURCES["cifar100_lt"]), "status", lambda _self, root: Status(False, (root / "cifar",))
    )
    spec = RunSpec(
        data=DataSpec(dataset=dataset, profile=SOURCES[dataset].default_profile), model={"size": "tiny"}
    )
    facts = validate(spec, tmp_path, need_files=False)
    assert isinstance(facts, DatasetFacts)
    assert facts.shape == ((3, 32, 32) if dataset == "cifar100_lt" else (3, 64, 64))
    assert facts.num_classes == SOURCES[dataset].num_classes
    assert abs(facts.prior.sum() - 1) < 1e-12
    if dataset != "cifar100_lt":  # cifar's loader may download
        with pytest.raises(DataMissing, match=f"ltbench data prepare {dataset}"):
            validate(spec, tmp_path)


def test_a_plan_says_which_files_are_missing_and_how_to_get_them(tmp_path, capsys):
    study = load_study("paper/celeba5", ["model.size=tiny", "data.image_size=8", "train.batch_size=4"])
    planned = make_plan(study.runs, tmp_path, tmp_path, "cpu", 1, need_files=False)
    assert sum(run.images for run in planned.runs) == 5 * 50_000
    print_plan(study, planned)
    shown = capsys.readouterr().out
    assert "(published)" in shown
    assert "(released)" in shown
    assert "the files of celeba5 are missing" in shown
    assert "ltbench data prepare celeba5" in shown
    with pytest.raises(DataMissing):
        make_plan(study.runs, tmp_path, tmp_path, "cpu", 1)


@pytest.mark.parametrize("preset", ["controls/cifar10_lt-r0.01", "controls/fashion_mnist_lt-r0.01"])
def test_every_row_of_a_plan_names_another_run(preset, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(commands, "console", Console(highlight=False, width=200))  # each row one line
    small = ["model.size=tiny", "data.image_size=8", "train.batch_size=4"]
    study = load_study(preset, small)
    print_plan(study, make_plan(study.runs, tmp_path, tmp_path, "cpu", 1, need_files=False), every_run=True)
    rows = [line for line in capsys.readouterr().out.splitlines() if " ddpm seed " in line]
    assert len(rows) == len(set(rows)) == 9
    assert sum("data.head_count=" in row for row in rows) == 3


def test_a_plan_says_which_snapshots_come_too_late(tmp_path, capsys):
    """They were left out without a word: a training only goes forward."""
    study = load_study("demo", ["train.steps=40", "train.snapshots=10,30", "methods=ddpm"])
    (spec,) = study.runs
    assert make_plan(study.runs, tmp_path, None, "cpu", 1).passed == ()
    for step in (10, 40):
        path = tmp_path / folder_name(spec) / weights_name(step)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    planned = make_plan(study.runs, tmp_path, None, "cpu", 1)
    print_plan(study, planned)
    assert len(planned.passed) == 1
    assert "is trained past step 30 without keeping it" in " ".join(capsys.readouterr().out.split())
    path.unlink()  # under way, at step 35
    for name, content in (("checkpoint.pt", ""), ("train.csv", "step,loss\n35,1.0\n")):
        (tmp_path / folder_name(spec) / name).write_text(content)
    assert "past step 30 " in make_plan(study.runs, tmp_path, None, "cpu", 1).passed[0]


def test_a_plan_times_forward_and_backward_with_a_workers_threads(tmp_path, monkeypatch):
    """It timed the forward pass with every core, where a worker has one, and promised half the time."""
    seen = []
    forward = Denoiser.forward

    def watched(self, x, *rest):
        seen.append((torch.get_num_threads(), torch.is_grad_enabled()))
        return forward(self, x, *rest)

    monkeypatch.setattr(Denoiser, "forward", watched)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        planned = make_plan(load_study("demo", ["methods=ddpm"]).runs, tmp_path, None, "cpu", 1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert set(seen[-6:]) == {(Environment().threads, False), (Environment().threads, True)}
    assert planned.runs[0].seconds > 0


def test_a_plan_refuses_what_no_files_could_mend(tmp_path):
    with pytest.raises(DataMissing, match="folder_lt is not prepared"):
        static_facts(DataSpec(dataset="folder_lt"), tmp_path)
    with pytest.raises(UsageError, match="without an image"):
        static_facts(DataSpec(imbalance_ratio=1e-5), tmp_path)
    with pytest.raises(UsageError, match="image size 40"):
        static_facts(DataSpec(image_size=40), tmp_path)


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
