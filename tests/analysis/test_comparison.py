"""Two result folders: what moved, beyond its spread alone, and what cannot be compared."""

import pytest
from report_folders import make_spec, score_rows, shifted, write_run

from ltbench.analysis.comparison import compare
from ltbench.errors import UsageError


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


def test_compare_judges_small_moves_by_the_spread_and_never_by_one_seed(tmp_path):
    for seed in range(3):
        spec = make_spec("ddpm", seed)
        write_run(tmp_path / "a", spec, images=False)
        write_run(tmp_path / "b", spec, shifted(score_rows(spec), 1e-3), images=False)
    assert compare(tmp_path / "a", tmp_path / "b").counts()["within spread"] == 1
    write_run(tmp_path / "c", make_spec("ddpm"), shifted(score_rows(make_spec("ddpm")), 1e-3), images=False)
    counts = compare(tmp_path / "a", tmp_path / "c").counts()
    assert counts["moved"] == 0
    assert counts["differs, one seed"] > 0


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
