"""How far a training has come by its log, and which snapshots it has passed."""

from tiny_runs import make_spec

from ltbench.runs.layout import CHECKPOINT, TRAIN_LOG, folder_name, weights_path
from ltbench.runs.progress import needed_snapshots, passed_snapshots, trained_steps


def begun(root, spec, log="step,loss\n50,0.5\n120,0.4\n"):
    folder = root / folder_name(spec)
    (folder / "weights").mkdir(parents=True)
    (folder / CHECKPOINT).touch()
    (folder / TRAIN_LOG).write_text(log)
    return folder


def test_steps_are_those_of_the_logs_last_row(tmp_path):
    spec = make_spec(steps=200)
    assert trained_steps(spec, tmp_path) == 0
    folder = begun(tmp_path, spec)
    assert trained_steps(spec, tmp_path) == 120
    assert trained_steps(make_spec(steps=100), tmp_path) == 100  # one folder: a shorter run of it is done
    (folder / TRAIN_LOG).write_text("step,loss\n")
    assert trained_steps(spec, tmp_path) == 0
    (folder / CHECKPOINT).unlink()
    (folder / TRAIN_LOG).write_text("step,loss\n120,0.4\n")
    assert trained_steps(spec, tmp_path) == 0  # without a checkpoint it begins anew


def test_snapshots_passed_are_those_behind_and_not_kept(tmp_path):
    spec = make_spec(steps=200, snapshots=(40, 80, 160))
    assert needed_snapshots(spec) == (40, 80, 160)
    folder = begun(tmp_path, spec)
    weights_path(folder, 80).touch()
    assert passed_snapshots(spec, tmp_path) == [40]
    weights_path(folder, 200).touch()  # the training is done
    assert passed_snapshots(spec, tmp_path) == [40, 160]
    assert passed_snapshots(make_spec(steps=200), tmp_path) == []


def test_a_step_that_guides_is_needed_too():
    spec = make_spec(steps=200, snapshots=(80,), sample={"guidance": 1.0, "rule": "auto", "bad_step": 40})
    assert needed_snapshots(spec) == (40, 80)
