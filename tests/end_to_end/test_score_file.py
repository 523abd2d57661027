"""The scores of a scored set in their file: merged, ordered, withheld, damaged."""

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scored_digits import CELL, REQUEST, noisy_samples
from tiny_runs import make_spec

from ltbench.errors import CheckpointError, ClaimLost
from ltbench.runs.score_columns import COLUMNS, run_columns
from ltbench.runs.score_rows import in_order
from ltbench.runs.scores import merge_scores, read_scores
from ltbench.scoring.score import score_samples


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    spec = make_spec("coral+t2h", score=REQUEST)
    return score_samples(CELL, *noisy_samples(), spec, tmp_path_factory.mktemp("cache"))


def test_merging_replaces_equal_numbers_and_loses_no_other(tmp_path, table):
    path = tmp_path / "scores.csv"
    merge_scores(path, table, lambda: None)
    pd.testing.assert_frame_equal(read_scores(path), in_order(table), check_dtype=False)
    better = table[table.metric == "frechet"].assign(value=0.5)
    foreign = table[table.metric == "recall"].assign(extractor="inception", extractor_hash="abc")
    merge_scores(path, pd.concat([better, foreign]), lambda: None)
    merged = read_scores(path)
    assert len(merged) == len(table) + len(foreign)
    assert (merged[merged.metric == "frechet"].value == 0.5).all()
    untouched = merged[~merged.metric.eq("frechet") & merged.extractor.eq("digits_cnn")]
    kept = table[table.metric != "frechet"]
    assert sorted(untouched.value) == sorted(kept.value)


def test_rows_of_a_file_stand_in_one_order_however_they_came(tmp_path, table):
    files = []
    for name, parts in (
        ("whole", [table]),
        ("backwards", [table[::-1]]),
        ("in pieces", [table[1::2], table[::2]]),
    ):
        path = tmp_path / name
        for part in parts:
            merge_scores(path, part.reset_index(drop=True), lambda: None)
        files.append(path.read_bytes())
    assert files[0] == files[1] == files[2]
    classes = [r for r in read_scores(tmp_path / "whole").class_or_group if r.isdecimal()]
    assert classes[:2] == ["0", "0"]
    assert classes.index("1") < classes.index("2")


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=50))
def test_numbers_come_back_to_the_last_bit(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("scores") / "scores.csv"
    row = run_columns(make_spec(), 2) | dict.fromkeys(
        ["class_or_group", "extractor_hash", "reference_hash"], "x"
    )
    rows = [row | {"metric": f"m{i:03d}", "scope": "class", "value": v} for i, v in enumerate(values)]
    table = pd.DataFrame([dict.fromkeys(COLUMNS, "") | row for row in rows])
    merge_scores(path, table, lambda: None)
    merge_scores(path, table[:0], lambda: None)
    assert read_scores(path).value.tolist() == values


def test_a_withheld_merge_leaves_the_old_file(tmp_path, table):
    def lost():
        raise ClaimLost("another worker has it")

    path = tmp_path / "scores.csv"
    merge_scores(path, table[:3], lambda: None)
    before = path.read_bytes()
    with pytest.raises(ClaimLost):
        merge_scores(path, table, lost)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-3],
        lambda text: text[: len(text) // 2],
        lambda text: text[:40],
        lambda _: "",
        lambda text: text.replace("sample_key", "key"),
        lambda text: text.replace(",ours,", "x,ours,"),
        lambda _: "\x00\xff" * 50,
    ],
)
def test_truncated_scores_are_named_and_kept(tmp_path, table, damage):
    path = tmp_path / "scores.csv"
    merge_scores(path, table, lambda: None)
    path.write_text(damage(path.read_text()))
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match=r"scores\.csv.* delete it and run `ltbench evaluate"):
        merge_scores(path, table, lambda: None)
    assert path.read_bytes() == before
