"""``train.csv``: rows that are appended, cut where a training goes on, and read while they grow."""

import numpy as np
import pytest
from report_folders import (
    make_spec,
    write_run,
)

from ltbench.errors import CheckpointError
from ltbench.runs.results import load_results
from ltbench.runs.train_log import append, cut, read_table


def rows(path):
    return path.read_text().splitlines()


def test_rows_are_appended_and_a_new_term_is_zero_before(tmp_path):
    path = tmp_path / "train.csv"
    append(path, {"step": 20, "loss": 0.5})
    append(path, {"step": 40, "loss": 0.25})
    append(path, {"step": 60, "loss": 0.125, "cbdm.consistency": 0.01})
    assert rows(path) == ["step,loss,cbdm.consistency", "20,0.5,0.0", "40,0.25,0.0", "60,0.125,0.01"]


@pytest.mark.parametrize(
    ("step", "last", "left"),
    [
        (60, 60, [20, 40, 60]),
        (50, 100, [20, 40]),  # 60 will be written again
        (75, 75, [20, 40, 60, 75]),  # a run whose length is no multiple of 20 ends with a row of its own
        (75, 100, [20, 40, 60]),  # which goes when a longer run continues it
        (10, 100, []),
    ],
)
def test_what_will_be_written_again_is_cut_off(tmp_path, step, last, left):
    path = tmp_path / "train.csv"
    for at in (20, 40, 60, 75):
        append(path, {"step": at, "loss": 1.0})
    cut(path, step, every=20, last=last)
    assert path.exists() == bool(left)
    assert [int(row["step"]) for _, row in (read_table(path).iterrows() if left else ())] == left


def test_a_line_that_a_crash_cut_short_is_no_row(tmp_path):
    path = tmp_path / "train.csv"
    append(path, {"step": 20, "loss": 0.5})
    append(path, {"step": 40, "loss": 0.25})
    with path.open("a") as handle:
        handle.write("60,0.12")
    assert read_table(path)["step"].tolist() == [20, 40]
    cut(path, 60, every=20, last=100)
    assert rows(path) == ["step,loss", "20,0.5", "40,0.25"]
    append(path, {"step": 60, "loss": 0.1})
    assert read_table(path)["loss"].tolist() == [0.5, 0.25, 0.1]


def test_a_log_that_says_nothing_yet_is_none(tmp_path):
    path = tmp_path / "train.csv"
    assert read_table(path) is None
    path.write_text("step,loss\n")
    assert read_table(path) is None
    append(path, {"step": 20, "loss": 0.5})
    assert read_table(path, required=("step", "rate")) is None
    assert read_table(path, required=("step", "loss")) is not None


def test_numbers_are_numbers_and_words_stay_words(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text("step,loss,device\n20,0.5,cpu\n40,,cpu\n")
    table = read_table(path)
    assert table["loss"].isna().tolist() == [False, True]
    assert table["device"].tolist() == ["cpu", "cpu"]
    assert table["step"].dtype.kind == "i"


def test_log_that_is_still_growing_is_read_up_to_its_last_line(tmp_path):
    samples = write_run(tmp_path, make_spec(), images=False)
    log = samples.parent.parent / "train.csv"
    log.write_bytes(log.read_bytes()[:-4])
    (run,) = load_results(tmp_path).runs.values()
    assert run.train_log()["step"].max() == 1980
    assert np.isfinite(run.train_log()["denoising"]).all()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("step,loss\n20,0.5\n40,abc\n", r"column 'loss' is not a number in line 3 \('abc'\)"),
        ("step,loss\n20,0.5\n40,0.5,1\n60,1.2.3\n", "not a number in line 4"),
        ("step;loss\n20;0,5\n", "columns separated by ';', as spreadsheets write them"),
        ("step,loss,loss\n20,1,2\n", "has a column twice"),
    ],
)
def test_a_log_that_a_hand_spoiled_is_named_by_line_and_column(tmp_path, text, says):
    path = tmp_path / "train.csv"
    path.write_text(text)
    with pytest.raises(CheckpointError, match=says):
        read_table(path)


def test_a_divergence_that_was_logged_is_no_word(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text("step,loss\n20,0.5\n40,nan\n60,inf\n")
    assert read_table(path)["loss"].tolist()[::2] == [0.5, float("inf")]


def test_a_step_that_is_logged_twice_counts_as_the_last_says(tmp_path):
    samples = write_run(tmp_path, make_spec(), images=False)
    log = samples.parent.parent / "train.csv"
    header, first, *rest = log.read_text().splitlines()
    log.write_text("\n".join([header, first.replace(first.split(",")[1], "7", 1), first, *rest]) + "\n")
    (run,) = load_results(tmp_path).runs.values()
    assert len(run.train_log()) == 1 + len(rest)
    assert run.train_log().iloc[0, 1] == float(first.split(",")[1])
