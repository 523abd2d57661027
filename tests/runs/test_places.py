"""A bundle stands wherever a folder of runs stands: the same scores, the same stages done, nothing made twice."""

import resource
import shlex
import shutil
import tempfile
from pathlib import Path

import pytest
from report_folders import make_spec

from ltbench.errors import DataCorrupt, DataMissing, DiskFull, StorageError, UsageError
from ltbench.pipeline import is_done, stages
from ltbench.runs.bundle import read_bundle
from ltbench.runs.pack import pack
from ltbench.runs.places import bundles_in, cache_folder, opened, places
from ltbench.runs.results import load_scores
from ltbench.runs.scores import find_scores, read_scores, record_requests, write_scores
from ltbench.specs import stage_key


def change(bundle, stop=None, limit=None):
    """Change a number of an opened bundle, then stop, or let no file grow larger than `limit` bytes."""
    with opened(bundle) as folder:
        path = next(find_scores(folder))
        write_scores(path, read_scores(path).assign(value=1.25))
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        if stop is not None:
            raise stop


@pytest.mark.usefixtures("no_home")
def test_copies_without_a_home_need_a_folder_that_is_named(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="no home folder.*: set HOME, or LTBENCH_CACHE to a folder"):
        cache_folder()
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path


def test_scores_of_a_bundle_are_those_of_its_folder(four_runs, tmp_path):
    expected = load_scores(four_runs).drop(columns="folder")
    pack([four_runs], tmp_path / "b")
    pack([four_runs], tmp_path / "b.zip")
    assert load_scores(tmp_path / "b").drop(columns="folder").equals(expected)
    assert load_scores(tmp_path / "b.zip").drop(columns="folder").equals(expected)
    both = load_scores([four_runs, tmp_path / "b"])
    assert len(both) == len(expected)  # a number in two places counts once


def test_a_folder_may_hold_runs_and_bundles(four_runs, tmp_path):
    root = tmp_path / "results"
    pack([four_runs], root / "old", only=[p.name for p in four_runs.iterdir() if "ddpm" in p.name])
    for folder in four_runs.iterdir():
        if "coral" in folder.name:
            shutil.copytree(folder, root / folder.name)
    assert [p.name for p in bundles_in(root)] == ["old"]
    assert places(root)[0] == root
    assert places(root)[1].is_relative_to(cache_folder())
    assert len(load_scores(root)) == len(load_scores(four_runs))


def test_a_sweep_finds_a_bundles_stages_done(four_runs, tmp_path):
    spec = make_spec("ddpm", 0)
    stage = next(s for s in stages(spec) if s.kind == "score")
    assert not is_done(stage, four_runs)
    folder = next(p.parent for p in find_scores(four_runs) if "ddpm-s0" in str(p))
    record_requests(folder, {stage_key(spec, "score"): spec.score.model_dump(mode="json")})
    assert is_done(stage, four_runs)
    pack([four_runs], tmp_path / "out" / "study")
    assert is_done(stage, tmp_path / "out")
    assert is_done(stage, tmp_path / "out" / "study")
    assert not is_done(next(s for s in stages(make_spec("ddpm", 7)) if s.kind == "score"), tmp_path / "out")


def test_what_is_written_into_a_bundle_is_packed_again(four_runs, tmp_path):
    before = pack([four_runs], tmp_path / "b")
    with opened(before.path) as folder:
        pass
    assert read_bundle(before.path).digest == before.digest
    with opened(before.path) as folder:
        path = next(find_scores(folder))
        write_scores(path, read_scores(path).assign(value=1.25))
    after = read_bundle(before.path)
    assert after.digest != before.digest
    assert (load_scores(after.path)["value"] == 1.25).sum() > 10
    with opened(four_runs) as folder:
        assert folder == four_runs
    with pytest.raises(UsageError, match="no folder or bundle"), opened(tmp_path / "absent"):
        pass


@pytest.mark.parametrize("compression", ["gz", "xz"])
def test_a_bundle_keeps_its_bytes_or_at_least_its_compression(four_runs, tmp_path, compression):
    before = pack([four_runs], tmp_path / "b", compression=compression)
    with opened(before.path):
        pass
    assert read_bundle(before.path).digest == before.digest
    change(before.path)
    assert {path.suffix for path in before.path.glob("*.csv.*")} == {f".{compression}"}
    assert (load_scores(before.path)["value"] == 1.25).any()


@pytest.mark.parametrize("stop", [KeyboardInterrupt, DataMissing])
def test_what_was_written_before_a_stop_is_packed(four_runs, tmp_path, stop):
    packed = pack([four_runs], tmp_path / "b.zip")
    with pytest.raises(stop):
        change(packed.path, stop)
    assert (load_scores(packed.path)["value"] == 1.25).any()


@pytest.mark.parametrize("name", ["b", "b.zip"])
def test_of_two_that_write_into_one_bundle_the_later_one_undoes_nothing(four_runs, tmp_path, name):
    packed = pack([four_runs], tmp_path / name)

    def both():
        with opened(packed.path) as folder:
            path = next(find_scores(folder))
            write_scores(path, read_scores(path).assign(guidance=2.5, value=2.5))
            change(packed.path)

    with pytest.raises(StorageError, match="was packed by another command meanwhile") as caught:
        both()
    assert set(load_scores(packed.path)["value"]) >= {1.25}
    order = shlex.split(str(caught.value).split("`")[1])
    assert order[:3] == ["ltbench", "merge", str(packed.path)]
    assert (load_scores(order[3])["value"] == 2.5).any()
    shutil.rmtree(Path(order[3]).parent)


def test_what_a_full_disk_keeps_from_being_packed_is_kept_and_named(four_runs, tmp_path):
    packed = pack([four_runs], tmp_path / "b.zip")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(DiskFull, match="no space left to write") as caught:
            change(packed.path, limit=4096)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert read_bundle(packed.path).digest == packed.digest
    order = shlex.split(str(caught.value).split("`")[1])
    assert order[:2] == ["ltbench", "pack"]
    folder = Path(order[2])
    assert (load_scores(folder)["value"] == 1.25).any()
    shutil.rmtree(folder.parent)


def test_a_bundle_that_no_temporary_folder_can_be_made_for_is_not_opened(four_runs, tmp_path, monkeypatch):
    packed = pack([four_runs], tmp_path / "b.zip")
    monkeypatch.setattr(tempfile, "tempdir", "/dev/null/x")
    with pytest.raises(StorageError, match="set TMPDIR to a folder that can be written"), opened(packed.path):
        pass


@pytest.mark.parametrize("cache", ["/dev/null/x", "/proc/x"])
def test_a_cache_that_cannot_be_written_is_named(four_runs, tmp_path, monkeypatch, cache):
    """The advice was another --out, which changes no cache."""
    packed = pack([four_runs], tmp_path / "b.zip")
    monkeypatch.setenv("LTBENCH_CACHE", cache)
    with pytest.raises(
        StorageError, match=f"in the cache {cache}.*: set LTBENCH_CACHE to a folder"
    ) as caught:
        places(packed.path)
    assert "--out" not in str(caught.value)


def test_a_changed_bundle_is_refused_even_where_a_copy_is_cached(four_runs, tmp_path):
    packed = pack([four_runs], tmp_path / "b")
    load_scores(packed.path)
    content = (packed.path / "scores.csv.gz").read_bytes()
    (packed.path / "scores.csv.gz").write_bytes(content[:-9] + b"changed!!")
    (packed.path / "bundle.json").touch()
    with pytest.raises(DataCorrupt, match="changed or cut"):
        load_scores(packed.path)
