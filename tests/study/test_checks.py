"""What is checked of a run before anything is trained, and what is noted of it."""

from pathlib import Path

import pytest

from ltbench.data import SOURCES
from ltbench.data.facts import DatasetFacts, static_facts
from ltbench.data.source import Status
from ltbench.errors import DataMissing, UsageError
from ltbench.specs import DataSpec, RunSpec
from ltbench.study.checks import validate, warnings
from ltbench.study.file import load_study
from ltbench.study.presets import preset_names
from ltbench.study.selection import planned

STUDIES = sorted((Path(__file__).parents[2] / "results" / "second").glob("*.toml"))


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


def test_the_perfect_network_takes_no_method():
    """CM looked for its U-Net and ended in a traceback; CORAL's row would have been that of the formula."""
    study = load_study("closed_form", ["method=coral"])
    with pytest.raises(UsageError, match=r"no method changes: choose ddpm, or another size for coral"):
        validate(study.runs[0], None)
    validate(load_study("closed_form").runs[0], None)


def test_a_plan_refuses_what_no_files_could_mend(tmp_path):
    with pytest.raises(DataMissing, match="folder_lt is not prepared"):
        static_facts(DataSpec(dataset="folder_lt"), tmp_path)
    with pytest.raises(UsageError, match="without an image"):
        static_facts(DataSpec(imbalance_ratio=1e-5), tmp_path)
    with pytest.raises(UsageError, match="image size 40"):
        static_facts(DataSpec(image_size=40), tmp_path)
