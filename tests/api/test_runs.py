"""Runs from Python: failures raise, folders that are none."""

import pytest
from tiny_runs import make_spec

import ltbench as lt
from ltbench.errors import CheckpointError, RunFailed, UsageError
from ltbench.runs.spec_files import open_folder


def test_a_failed_study_raises_and_says_which_stage(tmp_path):
    settings = {"model.size": "tiny", "train.steps": 2, "train.learning_rate": 1e30, "train.warmup_steps": 0}
    study = lt.load_study("demo", methods="ddpm", seeds=0, guidance=0, **settings)
    with pytest.raises(RunFailed) as caught:
        lt.run(study, tmp_path, workers=1, progress=False)
    assert "train" in caught.value.failures[0]
    assert "became infinite or NaN" in str(caught.value)


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(UsageError, match="is no run's folder"):
        lt.load_run(tmp_path)
    (tmp_path / "spec.json").write_text("{")
    with pytest.raises(CheckpointError, match="not valid JSON"):
        lt.load_run(tmp_path)


def test_arguments_of_another_type_are_one_sentence(tmp_path):
    for wrong, says in ((3, "study must be a path, not 3"), (None, "study must be a path, not None")):
        with pytest.raises(UsageError, match=says):
            lt.run(wrong, tmp_path)
    with pytest.raises(UsageError, match="out must be a path"):
        lt.run("demo", None)
    with pytest.raises(UsageError, match="folder must be a path"):
        lt.load_run(None)


def test_weights_of_another_name_advise_nothing_harmful(tmp_path):
    folder = open_folder(make_spec(), tmp_path)
    with pytest.raises(
        UsageError, match="weights must be 'ema', the averaged, or 'raw', the last, not 'best'"
    ):
        lt.load_run(folder).model(weights="best")
