"""Runs from Python: failures raise, folders that are none."""

import pytest

import ltbench as lt
from ltbench.errors import CheckpointError, RunFailed, UsageError


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
