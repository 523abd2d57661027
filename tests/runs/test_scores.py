"""``scores.csv``: one schema, one reader; what is refused, what stays readable, what a merge keeps."""

import pandas as pd
import pytest
from report_folders import make_spec, score_rows

from ltbench.errors import CheckpointError, UsageError
from ltbench.runs.results import load_scores
from ltbench.runs.score_columns import COLUMNS, SCHEMA, as_stored
from ltbench.runs.scores import merge_scores, read_many, read_scores, write_scores


@pytest.fixture
def table():
    rows = [row | {"extractor_hash": "e" * 16, "reference_hash": "r" * 16} for row in score_rows(make_spec())]
    return as_stored(pd.DataFrame(rows))


def change(path, old, new, count=-1):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, count))


def test_what_is_written_is_read_and_integers_stay_integers(tmp_path, table):
    path = tmp_path / "scores.csv"
    write_scores(path, table)
    pd.testing.assert_frame_equal(read_scores(path), table)
    first = dict(zip(COLUMNS, path.read_text().splitlines()[1].split(","), strict=True))
    assert (first["step"], first["train_seed"], first["nfe"], first["guidance"]) == ("2000", "0", "20", "0.0")


@pytest.mark.parametrize("column", [c.name for c in SCHEMA if c.kind == "text" and not c.prose])
def test_a_name_that_no_reader_takes_is_not_written(tmp_path, table, column):
    path = tmp_path / "scores.csv"
    write_scores(path, table)
    before = path.read_bytes()
    with pytest.raises(UsageError, match=rf"'a=b' cannot be the name of a {column}"):
        merge_scores(path, table.assign(**{column: "a=b"}))
    assert path.read_bytes() == before


def test_a_merge_that_adds_nothing_keeps_every_byte(tmp_path, table):
    path = tmp_path / "scores.csv"
    write_scores(path, table)
    before, modified = path.read_bytes(), path.stat().st_mtime_ns
    merge_scores(path, table[:0])
    merge_scores(path, read_scores(path))
    assert path.read_bytes() == before
    assert path.stat().st_mtime_ns == modified


# A row cut short in the middle keeps its newline, so only the count of its fields tells.
DAMAGE = {
    "row cut short": (lambda text: text[: text.rindex(",frechet") + 8] + "\n", "cut off at line"),
    "no newline at the end": (lambda text: text.rstrip("\n"), "cut off at line"),
    "text for a number": (
        lambda text: text.replace(",20,0.0,", ",abc,0.0,"),
        r"column 'nfe' is not a number in line 2 \('abc'\)",
    ),
    "a decimal comma": (
        lambda text: text.replace(",20,0.0,", ',20,"0,5",', 1),
        r"column 'guidance' is not a number in line 2 \('0,5'; decimals take a point\)",
    ),
    "a number beyond floats": (
        lambda text: text.replace(",20,0.0,", ",20,1e400,", 1),
        r"column 'guidance' is too large in line 2 \('1e400'\)",
    ),
    "semicolons": (
        lambda text: text.replace(",", ";"),
        "columns separated by ';', as spreadsheets write them",
    ),
    "tabs": (lambda text: text.replace(",", "\t"), "columns separated by tabs"),
    "a NUL": (lambda text: text.replace("ddpm", "dd\0pm", 1), "holds a NUL character"),
    "column gone": (lambda text: text.replace(",value,", ",val,", 1), "lacks the column 'value'"),
    "column twice": (lambda text: text.replace(",variant,", ",method,", 1), "lacks the column 'variant'"),
    "empty": (lambda _: "", "lacks the column"),
    "binary": (lambda _: "\x00\x01" * 50, "holds a NUL|not a CSV file"),
}


@pytest.mark.parametrize(("damage", "says"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_refused_by_every_reader_alike_and_kept(tmp_path, table, damage, says):
    path = tmp_path / "run" / "scores.csv"
    write_scores(path, table)
    path.write_text(damage(path.read_text()))
    before = path.read_bytes()
    for use in (read_scores, lambda p: merge_scores(p, table), lambda p: load_scores(p.parent.parent)):
        with pytest.raises(CheckpointError, match=says) as caught:
            use(path)
        assert f"delete it and run `ltbench evaluate {path.parent}`" in str(caught.value)
    assert path.read_bytes() == before


def test_a_file_of_the_first_version_is_read_and_added_to(tmp_path, table):
    path = tmp_path / "scores.csv"
    newer = [column.name for column in SCHEMA if column.since > 1]
    table.drop(columns=newer).to_csv(path, index=False)
    assert (read_scores(path)[newer] == "").all(axis=None)
    better = table[table["metric"] == "recall"].assign(value=0.25)
    merge_scores(path, better)
    merged = read_scores(path)
    assert len(merged) == len(table)  # the hashes now stated do not make other numbers of them
    assert (merged.loc[merged["metric"] == "recall", "value"] == 0.25).all()
    assert (merged.loc[merged["metric"] == "frechet", "extractor_hash"] == "").all()


def test_a_later_versions_columns_survive_a_merge(tmp_path, table):
    path = tmp_path / "scores.csv"
    write_scores(path, table.assign(grade="a"))
    merge_scores(path, table[:1].assign(value=1.5))
    merged = read_scores(path)
    assert list(merged.columns) == [*COLUMNS, "grade"]
    assert sorted(merged["grade"]) == [""] + ["a"] * (len(table) - 1)


def test_names_of_digits_alone_stay_names(tmp_path, table):
    """pandas reads them as numbers: 007 as 7, and the hash 12345678901234e5 as a number of twenty digits."""
    rows = table[table["scope"] == "class"].assign(
        reference_hash="12345678901234e5", extractor_hash="0012345678901234", grade="007"
    )
    rows.pipe(lambda t: write_scores(tmp_path / "a.csv", t))
    write_scores(tmp_path / "b.csv", table)
    together = read_many([tmp_path / "a.csv", tmp_path / "b.csv"])
    mine = together[together["file"] == 0]
    assert set(mine["reference_hash"]) == {"12345678901234e5"}
    assert set(mine["extractor_hash"]) == {"0012345678901234"}
    assert set(mine["grade"]) == {"007"}
    assert list(mine["class_or_group"]) == list(rows["class_or_group"])


def test_a_column_that_a_spreadsheet_added_spoils_no_other_file(tmp_path, table):
    write_scores(tmp_path / "a.csv", table.assign(**{"Unnamed": range(len(table))}))
    write_scores(tmp_path / "b.csv", table)
    together = read_many([tmp_path / "a.csv", tmp_path / "b.csv"])
    assert together["value"].tolist() == [*table["value"], *table["value"]]
