"""Packing runs into a bundle: the same bytes, only what was asked for, nothing twice."""

import itertools
import json
import os
import resource
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from tiny_runs import in_processes

from ltbench.errors import DiskFull, StorageError, UsageError
from ltbench.runs import bundle as bundles
from ltbench.runs import bundle_format
from ltbench.runs.bundle import is_bundle, read_bundle, run_files, unpack
from ltbench.runs.bundle_format import INDEX
from ltbench.runs.pack import pack


def test_the_same_runs_give_the_same_bytes_wherever_they_lie(runs, tmp_path):
    first = pack([runs], tmp_path / "a" / "x.zip")
    moved = runs.rename(tmp_path / "elsewhere")
    for path in sorted(moved.rglob("*"), reverse=True):
        path.touch()
    second = pack([moved], tmp_path / "b" / "y.zip")
    assert first.path.read_bytes() == second.path.read_bytes()
    assert first.digest == second.digest


def test_images_features_and_weights_only_where_asked(runs, tmp_path):
    names = {name for name, _ in run_files(pack([runs], tmp_path / "none"))}
    assert not any(name.endswith((".npy", ".safetensors")) for name in names)
    assert sum(name.endswith(("sheet.png", "nearest.npz")) for name in names) == 6
    plain = {name for name, _ in run_files(pack([runs], tmp_path / "plain", sheets=False))}
    assert names - plain == {name for name in names if name.endswith(("sheet.png", "nearest.npz"))}


def test_a_bundle_that_is_packed_again_keeps_nothing_of_the_older_one(runs, tmp_path):
    pack([runs], tmp_path / "b")
    (tmp_path / "b" / "README.md").write_text("mine")
    for table in runs.rglob("*.csv"):
        table.unlink()
    for note in runs.rglob("provenance.json"):  # not as ltbench writes JSON, so kept to the byte
        note.unlink()
    pack([runs], tmp_path / "b", sheets=False)
    assert {p.name for p in (tmp_path / "b").iterdir() if p.is_file()} == {INDEX, "runs.jsonl", "README.md"}
    some = {name for name, _ in run_files(pack([runs], tmp_path / "one", keep_arrays=[1], keep_weights=[0]))}
    assert {n.split("/")[0][-10] for n in some if n.endswith(".npy")} == {"1"}
    assert [n.split("/")[0][-10] for n in some if n.endswith(".safetensors")] == ["0"]


def test_only_the_runs_and_the_sample_sets_that_are_named(runs, tmp_path):
    whole = "digits_lt-r0.1-ddpm-s0-01234560"
    packed = pack([runs], tmp_path / "run", only=[whole])
    assert {name.split("/")[0] for name, _ in run_files(packed)} == {whole}
    packed = pack([runs], tmp_path / "set", only=[f"{whole}/samples/bbbbbbbb"])
    names = {name for name, _ in run_files(packed)}
    assert f"{whole}/spec.json" in names
    assert {name.split("/")[2] for name in names if "/samples/" in name} == {"bbbbbbbb"}
    assert packed.index["numbers"] == 3
    with pytest.raises(UsageError, match="none of the 1 runs asked for is in .*, where there are 2 others"):
        pack([runs], tmp_path / "none", only=["digits_lt-r0.1-ddpm-s7-01234567"])


@pytest.mark.parametrize("compression", ["gz", "xz"])
def test_numbers_are_one_table_for_pandas(runs, tmp_path, compression):
    import pandas as pd

    pack([runs], tmp_path / "b", compression=compression)
    table = pd.read_csv(tmp_path / "b" / f"scores.csv.{compression}")
    assert len(table) == 9
    assert table["value"].sum() == 2 * (0.25 * 3 + 3) + (0.25 * 3 + 6)
    assert set(table["grouping"].dropna()) == {"thirds"}
    assert json.loads((tmp_path / "b" / INDEX).read_text())["numbers"] == 9


def test_another_compression_takes_the_place_of_the_first(runs, tmp_path):
    pack([runs], tmp_path / "b")
    before = dict(run_files(read_bundle(tmp_path / "b")))
    pack([runs], tmp_path / "b", compression="xz")
    assert {p.suffix for p in (tmp_path / "b").glob("*.csv.*")} == {".xz"}
    assert dict(run_files(read_bundle(tmp_path / "b"))) == before
    with pytest.raises(UsageError, match="choose gz or xz"):
        pack([runs], tmp_path / "b", compression="bz2")


def test_two_runs_of_one_name_and_no_runs_are_refused(runs, tmp_path):
    shutil.copytree(runs, tmp_path / "copy")
    with pytest.raises(UsageError, match="have one name"):
        pack([runs, tmp_path / "copy"], tmp_path / "b")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no runs in"):
        pack([tmp_path / "empty"], tmp_path / "b")
    with pytest.raises(UsageError, match="no folder at"):
        pack([tmp_path / "absent"], tmp_path / "b")


def test_a_packing_that_was_stopped_is_gone_on_with_and_a_folder_of_others_is_not_touched(runs, tmp_path):
    """The index comes last: without it the folder was called no bundle, and the same command refused it for ever."""
    whole = pack([runs], tmp_path / "whole")
    half = tmp_path / "half"
    half.mkdir()
    (half / "runs.jsonl").write_text("cut")
    (half / ".scores.csv.gz.1-ab.tmp").write_text("cut")
    assert pack([runs], half).digest == whole.digest == read_bundle(half).digest
    others = tmp_path / "others"
    others.mkdir()
    (others / "runs.jsonl").write_text("mine")
    (others / "notes.txt").write_text("mine")
    with pytest.raises(StorageError, match="is there and is no bundle: give -o another name"):
        pack([runs], others)


@pytest.mark.parametrize("name", ["thesis.zip", "thesis.ZIP", "thesis"])
def test_a_file_that_is_no_bundle_is_not_written_over(runs, tmp_path, name):
    """A folder of others was refused, and somebody's thesis.zip was gone."""
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        archive.writestr("thesis.tex", "years of work")
    before = (tmp_path / name).read_bytes()
    with pytest.raises(StorageError, match=f"{name} is there and is no bundle: give -o another name"):
        pack([runs], tmp_path / name)
    assert (tmp_path / name).read_bytes() == before


def test_a_zip_file_in_capitals_is_one(runs, tmp_path):
    """It became a folder of that name."""
    for _ in range(2):  # the second replaces the first
        packed = pack([runs], tmp_path / "b.ZIP")
    assert zipfile.is_zipfile(tmp_path / "b.ZIP")
    assert read_bundle(tmp_path / "b.ZIP").digest == packed.digest


def pack_until(_rank, runs, target, moment):
    """Pack, and die just before the target's files are touched for the n-th time."""
    touched = itertools.count()

    def die(event, arguments):
        changes = event in ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir")
        if changes and str(target) in str(arguments[0]) and next(touched) == moment:
            os._exit(9)

    sys.addaudithook(die)
    pack([runs], target, sheets=False, compression="xz")


@pytest.mark.parametrize("older", [True, False])
def test_a_packing_that_is_killed_leaves_the_older_bundle_or_the_new_one(runs, tmp_path, older):
    target = tmp_path / "b"
    new = pack([runs], tmp_path / "new", sheets=False, compression="xz")
    kept = {new.digest}
    for moment in itertools.count():
        if older:
            kept.add(pack([runs], target).digest)
        (child,) = in_processes(pack_until, runs, target, moment)
        child.join()
        assert not target.exists() or not is_bundle(target) or read_bundle(target).digest in kept
        assert is_bundle(target) or not older
        if child.exitcode == 0:
            break
    assert moment > 10
    assert read_bundle(target).digest == new.digest
    assert {path.name for path in target.iterdir()} == {path.name for path in new.path.iterdir()}


def test_a_full_disk_leaves_the_older_bundle_as_it_was(runs, tmp_path):
    before = pack([runs], tmp_path / "b")
    (runs / "digits_lt-r0.1-ddpm-s0-01234560" / "train.csv").write_text("step,loss\n50,0.25\n")
    probe = runs / "digits_lt-r0.1-ddpm-s1-01234561" / "probes" / "step-00001500.npz"
    np.savez(probe, np.random.default_rng(0).random(4000))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (16_000, hard)
    )  # smaller than files.zip, which is not written first
    try:
        with pytest.raises(DiskFull):
            pack([runs], tmp_path / "b", keep_arrays=None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert read_bundle(tmp_path / "b").digest == before.digest
    assert {path.name for path in (tmp_path / "b").iterdir()} == {INDEX, *before.contents, "study"} - {
        name for name in before.contents if "/" in name
    }


@pytest.mark.parametrize("name", ["my study.toml", "étude.toml", "study (2).TOML", "plan.txt"])
def test_a_study_of_any_name_comes_back_to_the_byte(runs, tmp_path, name):
    """Such a bundle was written, over an older good one, and refused by everything that reads."""
    content = "title = 'Digits: étude'\n".encode("utf-16")
    (runs / name).write_bytes(content)
    pack([runs], tmp_path / "b", studies=[runs / name])
    unpack(read_bundle(tmp_path / "b"), tmp_path / "back")
    studies = {path.name: path.read_bytes() for path in (tmp_path / "back").glob("*.toml")}
    assert len(studies) == 2
    assert studies.pop("study.toml") == b"title = 'Digits'\n"
    assert list(studies.values()) == [content]


def test_of_studies_of_one_name_none_is_lost(runs, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    for place, content in ((other / "study.toml", "title = 'B'"), (other / "copy.toml", "title = 'C'")):
        place.write_text(content)
    (runs / "copy.toml").write_text("title = 'C'")
    packed = pack([runs, other], tmp_path / "b")
    assert packed.studies == {
        "study.toml": b"title = 'Digits'\n", "study-2.toml": b"title = 'B'", "copy.toml": b"title = 'C'"
    }  # fmt: skip
    named = pack([runs, other], tmp_path / "c", studies=[other / "study.toml"])
    assert named.studies["study.toml"] == b"title = 'B'"
    assert len(named.studies) == 3


def test_what_others_leave_beside_a_runs_files_is_left_out(runs, tmp_path):
    before = dict(run_files(pack([runs], tmp_path / "b", keep_arrays=None, keep_weights=None)))
    samples = runs / "digits_lt-r0.1-ddpm-s0-01234560" / "samples"
    for name in (
        "scores copy.csv", "scores (conflicted copy).csv", "~$scores.csv", "Größen.json", "scores-2.csv", "notes.json",
        "mine.png", "other.npy", "a/b/c/d/scores.csv", "../../scores.csv", "../weights/adapter.safetensors",
    ):  # fmt: skip
        (samples / "aaaaaaaa" / name).parent.mkdir(parents=True, exist_ok=True)
        (samples / "aaaaaaaa" / name).write_text("metric,value\n")
    shutil.copytree(samples / "aaaaaaaa", samples / "aaaaaaaa copy")
    assert dict(run_files(pack([runs], tmp_path / "b", keep_arrays=None, keep_weights=None))) == before
    unpack(read_bundle(tmp_path / "b"), tmp_path / "back")


def test_what_could_not_be_read_again_replaces_no_bundle(runs, tmp_path, monkeypatch):
    before = pack([runs], tmp_path / "b")
    for module in (bundles, bundle_format):
        monkeypatch.setattr(module, "LARGEST", 1500)
    with pytest.raises(UsageError, match="no bundle is written, .* grows to more than"):
        pack([runs], tmp_path / "b", keep_arrays=None)
    monkeypatch.undo()
    assert read_bundle(tmp_path / "b").digest == before.digest
    (runs / "digits_lt-r0.1-ddpm-s0-01234560").rename(runs / "digits_lt-r0.1-Müller-external-01234560")
    with pytest.raises(UsageError, match=r"cannot pack .*Müller.* letters without accents.*: rename it"):
        pack([runs], tmp_path / "b")
    assert read_bundle(tmp_path / "b").digest == before.digest


def test_images_made_elsewhere_go_by_the_seed_that_their_maker_states(runs, tmp_path):
    for folder in sorted(runs.glob("digits_lt*")):
        spec = {"origin": "external", "columns": json.loads((folder / "spec.json").read_text())}
        (folder / "spec.json").write_text(json.dumps(spec))
    names = {name for name, _ in run_files(pack([runs], tmp_path / "b", keep_arrays=[1]))}
    assert {name.split("/")[0][-10:] for name in names if name.endswith("images.npy")} == {"1-01234561"}


def test_a_run_packs_from_inside_its_folder(runs, tmp_path, monkeypatch):
    name = "digits_lt-r0.1-ddpm-s0-01234560"
    monkeypatch.chdir(runs / name)
    assert {path.split("/")[0] for path, _ in run_files(pack([Path()], tmp_path / "b"))} == {name}
