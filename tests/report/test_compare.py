"""Two result folders: what moved, beyond its spread alone, and what cannot be compared."""

import pytest
from report_folders import make_spec, score_rows, write_run

from ltbench.errors import UsageError
from ltbench.report.compare import compare
from ltbench.report.tables.grid import Bold


def shifted(rows, shift, places=("9",)):
    return [
        r | {"value": repr(float(r["value"]) + shift)}
        if r["class_or_group"] in places and r["metric"] == "frechet"
        else r
        for r in rows
    ]


def test_compare_finds_what_moved_and_only_that(tmp_path):
    for seed in range(3):
        spec = make_spec("ddpm", seed)
        write_run(tmp_path / "a", spec, images=False)
        write_run(tmp_path / "b", spec, shifted(score_rows(spec), 5.0), images=False)
    found = compare(tmp_path / "a", tmp_path / "b")
    moved = found.rows[found.rows["status"] == "moved"]
    assert list(moved["class_or_group"]) == ["9"]
    assert moved["difference"].iloc[0] == pytest.approx(5.0)
    assert found.counts()["equal"] == len(found.rows) - 1
    table = found.table()
    assert len(table.rows) == 1
    assert table.rows[0][-1] == "moved"
    assert isinstance(table.rows[0][-1], Bold)


def test_compare_judges_small_moves_by_the_spread_and_never_by_one_seed(tmp_path):
    for seed in range(3):
        spec = make_spec("ddpm", seed)
        write_run(tmp_path / "a", spec, images=False)
        write_run(tmp_path / "b", spec, shifted(score_rows(spec), 1e-3), images=False)
    assert compare(tmp_path / "a", tmp_path / "b").counts()["within spread"] == 1
    (told,) = [n for n in compare(tmp_path / "a", tmp_path / "b").table().notes if n.startswith("Largest")]
    assert "DDPM, " in told
    assert "->" in told
    write_run(tmp_path / "c", make_spec("ddpm"), shifted(score_rows(make_spec("ddpm")), 1e-3), images=False)
    counts = compare(tmp_path / "a", tmp_path / "c").counts()
    assert counts["moved"] == 0
    assert counts["differs, one seed"] > 0


def test_compare_names_a_pooled_group_that_moved(tmp_path):
    """It was a KeyError."""
    for folder, shift in (("a", 0.0), ("b", 1.0)):
        for seed in (0, 1):
            spec = make_spec("ddpm", seed)
            tail = next(row for row in score_rows(spec) if row["class_or_group"] == "tail")
            rows = [tail | {"scope": "pooled", "value": repr(2 + 0.01 * seed + shift)}]
            write_run(tmp_path / folder, spec, rows, images=False)
    table = compare(tmp_path / "a", tmp_path / "b").table()
    assert [(row[2], row[-1]) for row in table.rows] == [("tail, pooled", "moved")]


def test_compare_refuses_other_definitions_and_other_studies(tmp_path):
    spec = make_spec()
    write_run(tmp_path / "a", spec, images=False)
    newer = [r | {"definition": r["definition"].replace("frechet/1", "frechet/2")} for r in score_rows(spec)]
    write_run(tmp_path / "b", spec, newer, images=False)
    statuses = compare(tmp_path / "a", tmp_path / "b").rows.groupby("metric")["status"].unique()
    assert list(statuses["frechet"]) == ["not comparable"]
    assert list(statuses["recall"]) == ["equal"]
    write_run(tmp_path / "c", make_spec("ddpm", ratio=0.5), images=False)
    with pytest.raises(UsageError, match="no setting in common"):
        compare(tmp_path / "a", tmp_path / "c")
