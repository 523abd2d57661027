"""Scores over a training: which runs are asked for, and which step their numbers would choose."""

import pytest

from ltbench.errors import UsageError
from ltbench.runs.layout import SCORES, sample_folder
from ltbench.runs.score_columns import COLUMNS
from ltbench.specs import train_key
from ltbench.study.curve import snapshot_curves
from ltbench.study.file import load_study

SETS = [
    "methods=ddpm",
    "train.steps=40",
    "train.warmup_steps=0",
    "train.snapshots=10,20",
    "score.snapshot_images=3",
]


def test_snapshots_are_prefixes_of_one_training_with_few_images():
    runs = load_study("demo", SETS).runs
    assert [(run.train.steps, run.sample.per_class) for run in runs] == [(10, 3), (20, 3), (40, 3), (40, 100)]
    assert len({train_key(run) for run in runs}) == 1
    assert [run.score.reference_half for run in runs] == ["first"] * 3 + ["none"]


def test_the_run_itself_is_the_one_that_was_asked_without_them():
    (plain,) = load_study("demo", SETS[:-1]).runs
    assert load_study("demo", SETS).runs[-1] == plain


def test_images_without_snapshots_end_in_a_sentence():
    with pytest.raises(UsageError, match=r"train\.snapshots=1000,2000"):
        load_study("demo", ["score.snapshot_images=3"])


def write(root, run, value):
    folder = root / sample_folder(run)
    folder.mkdir(parents=True)
    row = dict.fromkeys(COLUMNS, "") | {
        **{
            "metric": "frechet",
            "scope": "overall",
            "value": value,
            "n_generated": 30,
            "step": run.train.steps,
        },
        **{"method": "ddpm", "dataset": "digits_lt"},
    }
    (folder / SCORES).write_text(",".join(row) + "\n" + ",".join(map(str, row.values())) + "\n")


def test_the_best_step_is_the_smallest_value_and_the_earliest_of_equals(tmp_path):
    runs = load_study("demo", SETS).runs
    for run, value in zip(runs, (5.0, 3.0, 3.0, 1.0), strict=True):  # the last is the run's own, no snapshot
        write(tmp_path, run, value)
    (curve,) = snapshot_curves(runs, tmp_path)
    assert curve.points == ((10, 5.0), (20, 3.0), (40, 3.0))
    assert curve.best == 20
    assert curve.images == 30


def test_one_point_is_no_curve(tmp_path):
    runs = load_study("demo", SETS).runs
    write(tmp_path, runs[0], 1.0)
    assert snapshot_curves(runs, tmp_path) == []
