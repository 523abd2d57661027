"""A bundle stands wherever a folder of runs stands: the same scores, the same stages done, nothing made twice."""

import shutil

import pytest
from report_folders import make_spec, score_rows, write_run

from ltbench.errors import DataCorrupt, UsageError
from ltbench.pipeline import is_done, stages
from ltbench.runs.bundle import read_bundle
from ltbench.runs.merge import merge_runs
from ltbench.runs.pack import pack
from ltbench.runs.places import bundles_in, cache_folder, opened, places
from ltbench.runs.results import load_scores
from ltbench.runs.scores import find_scores, read_scores, record_requests, write_scores
from ltbench.specs import stage_key


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def runs(tmp_path):
    root = tmp_path / "runs"
    for method in ("ddpm", "coral"):
        for seed in (0, 1):
            spec = make_spec(method, seed)
            write_run(root, spec, score_rows(spec))
    return root


def test_scores_of_a_bundle_are_those_of_its_folder(runs, tmp_path):
    expected = load_scores(runs).drop(columns="folder")
    pack([runs], tmp_path / "b")
    pack([runs], tmp_path / "b.zip")
    assert load_scores(tmp_path / "b").drop(columns="folder").equals(expected)
    assert load_scores(tmp_path / "b.zip").drop(columns="folder").equals(expected)
    both = load_scores([runs, tmp_path / "b"])
    assert len(both) == len(expected)  # a number in two places counts once


def test_a_folder_may_hold_runs_and_bundles(runs, tmp_path):
    root = tmp_path / "results"
    pack([runs], root / "old", only=[p.name for p in runs.iterdir() if "ddpm" in p.name])
    for folder in runs.iterdir():
        if "coral" in folder.name:
            shutil.copytree(folder, root / folder.name)
    assert [p.name for p in bundles_in(root)] == ["old"]
    assert places(root)[0] == root
    assert places(root)[1].is_relative_to(cache_folder())
    assert len(load_scores(root)) == len(load_scores(runs))


def test_a_sweep_finds_a_bundles_stages_done(runs, tmp_path):
    spec = make_spec("ddpm", 0)
    stage = next(s for s in stages(spec) if s.kind == "score")
    assert not is_done(stage, runs)
    folder = next(p.parent for p in find_scores(runs) if "ddpm-s0" in str(p))
    record_requests(folder, {stage_key(spec, "score"): spec.score.model_dump(mode="json")})
    assert is_done(stage, runs)
    pack([runs], tmp_path / "out" / "study")
    assert is_done(stage, tmp_path / "out")
    assert is_done(stage, tmp_path / "out" / "study")
    assert not is_done(next(s for s in stages(make_spec("ddpm", 7)) if s.kind == "score"), tmp_path / "out")


def test_what_is_written_into_a_bundle_is_packed_again(runs, tmp_path):
    before = pack([runs], tmp_path / "b")
    with opened(before.path) as folder:
        pass
    assert read_bundle(before.path).digest == before.digest
    with opened(before.path) as folder:
        path = next(find_scores(folder))
        write_scores(path, read_scores(path).assign(value=1.25))
    after = read_bundle(before.path)
    assert after.digest != before.digest
    assert (load_scores(after.path)["value"] == 1.25).sum() > 10
    with opened(runs) as folder:
        assert folder == runs
    with pytest.raises(UsageError, match="no folder or bundle"), opened(tmp_path / "absent"):
        pass


def test_a_changed_bundle_is_refused_even_where_a_copy_is_cached(runs, tmp_path):
    packed = pack([runs], tmp_path / "b")
    load_scores(packed.path)
    content = (packed.path / "scores.csv.gz").read_bytes()
    (packed.path / "scores.csv.gz").write_bytes(content[:-9] + b"changed!!")
    (packed.path / "bundle.json").touch()
    with pytest.raises(DataCorrupt, match="changed or cut"):
        load_scores(packed.path)


def test_two_laboratories_become_one(runs, tmp_path):
    other = tmp_path / "other"
    for spec in (make_spec("ddpm", 0), make_spec("cbdm", 0)):
        write_run(other, spec, score_rows(spec))
    merged = merge_runs([runs, other], tmp_path / "c")
    numbers = len(score_rows(make_spec("ddpm", 0)))
    assert (merged.trainings, merged.sample_sets, merged.numbers) == (5, 5, 5 * numbers)
    assert (merged.duplicates, merged.conflicts) == (numbers, [])
    assert sorted(load_scores(tmp_path / "c")["method"].unique()) == ["cbdm", "coral", "ddpm"]
    with pytest.raises(UsageError, match="exists"):
        merge_runs([runs, other], tmp_path / "c")


def test_values_that_disagree_are_named_and_settled_only_when_told_how(runs, tmp_path):
    shutil.copytree(runs, tmp_path / "other")
    path = next(p for p in find_scores(tmp_path / "other") if "ddpm-s0" in str(p))
    table = read_scores(path)
    place = table.index[(table["scope"] == "class") & (table["metric"] == "frechet")][3]
    table.loc[place, "value"] = 99.5
    table.loc[table.index[0], "value"] *= 1 + 1e-9  # another machine's rounding
    write_scores(path, table)
    merged = merge_runs([runs, tmp_path / "other"], tmp_path / "c")
    assert len(merged.conflicts) == 1
    assert "ddpm-s0" in merged.conflicts[0]
    assert "frechet class 3" in merged.conflicts[0]
    assert "99.5" in merged.conflicts[0]
    for keep, holds in (("first", False), ("second", True)):
        merge_runs([runs, tmp_path / "other"], tmp_path / keep, keep=keep)
        assert (load_scores(tmp_path / keep)["value"] == 99.5).any() == holds
