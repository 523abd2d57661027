"""Runs of several places merged into one: what disagrees is named."""

import shutil

import pytest
from report_folders import make_spec, score_rows, write_run

from ltbench.errors import UsageError
from ltbench.runs.merge import merge_runs
from ltbench.runs.provenance import read_provenance, write_provenance
from ltbench.runs.results import load_scores
from ltbench.runs.scores import find_scores, read_scores, write_scores


def test_two_laboratories_become_one(four_runs, tmp_path):
    other = tmp_path / "other"
    for spec in (make_spec("ddpm", 0), make_spec("cbdm", 0)):
        write_run(other, spec, score_rows(spec))
    merged = merge_runs([four_runs, other], tmp_path / "c")
    numbers = len(score_rows(make_spec("ddpm", 0)))
    assert (merged.trainings, merged.sample_sets, merged.numbers) == (5, 5, 5 * numbers)
    assert (merged.duplicates, merged.conflicts) == (numbers, [])
    assert sorted(load_scores(tmp_path / "c")["method"].unique()) == ["cbdm", "coral", "ddpm"]
    with pytest.raises(UsageError, match="exists"):
        merge_runs([four_runs, other], tmp_path / "c")


def test_values_that_disagree_are_named_and_settled_only_when_told_how(four_runs, tmp_path):
    shutil.copytree(four_runs, tmp_path / "other")
    path = next(p for p in find_scores(tmp_path / "other") if "ddpm-s0" in str(p))
    table = read_scores(path)
    place = table.index[(table["scope"] == "class") & (table["metric"] == "frechet")][3]
    table.loc[place, "value"] = 99.5
    table.loc[table.index[0], "value"] *= 1 + 1e-9  # another machine's rounding
    write_scores(path, table)
    merged = merge_runs([four_runs, tmp_path / "other"], tmp_path / "c")
    assert len(merged.conflicts) == 1
    assert "ddpm-s0" in merged.conflicts[0]
    assert "frechet class 3" in merged.conflicts[0]
    assert "99.5" in merged.conflicts[0]
    for keep, holds in (("first", False), ("second", True)):
        merge_runs([four_runs, tmp_path / "other"], tmp_path / keep, keep=keep)
        assert (load_scores(tmp_path / keep)["value"] == 99.5).any() == holds


def test_merged_trainings_have_the_sittings_of_both_places(four_runs, tmp_path):
    """The first place's record alone was kept: what the second trained on cost nothing."""
    shutil.copytree(four_runs, tmp_path / "other")
    (folder,) = (tmp_path / "other").glob("*ddpm-s0-*")
    mine = read_provenance(folder)
    further = {**mine["stages"][0], "began": "later", "steps": 10**6, "cpu_seconds": 7.0}
    write_provenance(folder, {**mine, "stages": [*mine["stages"], further]})
    merge_runs([four_runs, tmp_path / "other"], tmp_path / "c")
    assert read_provenance(tmp_path / "c" / folder.name)["stages"] == [*mine["stages"], further]
