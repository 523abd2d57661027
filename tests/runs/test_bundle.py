"""Bundles: the same bytes from the same runs, the same runs from the bytes, and nothing from a hostile one."""

import gzip
import io
import json
import lzma
import sys
import zipfile
from pathlib import Path

import pytest
from tiny_runs import die, in_processes

from ltbench.errors import DataCorrupt, StorageError, UsageError
from ltbench.runs import bundle as bundles
from ltbench.runs import bundle_format
from ltbench.runs.bundle import materialise, read_bundle, run_files, unpack
from ltbench.runs.bundle_format import FILES, INDEX, RUNS
from ltbench.runs.pack import pack, write_bundle


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    ("name", "compression"), [("bundle", "gz"), ("bundle.zip", "gz"), ("bundle", "xz"), ("bundle.zip", "xz")]
)
def test_everything_comes_back_to_the_byte(runs, tmp_path, name, compression):
    seeds = [0, 1]
    packed = pack([runs], tmp_path / name, keep_arrays=seeds, keep_weights=seeds, compression=compression)
    unpack(read_bundle(packed.path), tmp_path / "back")
    expected = {k: v for k, v in tree(runs).items() if not k.startswith(".cache") and "checkpoint" not in k}
    assert tree(tmp_path / "back") == expected


def test_one_changed_bit_anywhere_is_seen(runs, tmp_path):
    pack([runs], tmp_path / "b", keep_arrays=[0])
    for path in sorted(p for p in (tmp_path / "b").rglob("*") if p.is_file() and p.name != INDEX):
        whole = path.read_bytes()
        for position in {0, len(whole) // 2, len(whole) - 1}:
            path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
            with pytest.raises(DataCorrupt, match="changed or cut"):
                read_bundle(tmp_path / "b")
        path.write_bytes(whole[:-1])
        with pytest.raises(DataCorrupt, match="changed or cut"):
            read_bundle(tmp_path / "b")
        path.unlink()
        with pytest.raises(DataCorrupt, match="is missing"):
            read_bundle(tmp_path / "b")
        path.write_bytes(whole)
    read_bundle(tmp_path / "b")


@pytest.mark.parametrize(
    "name",
    [
        "../outside/spec.json",
        "/etc/cron.d/x.json",
        "run/../../x.json",
        "run/.ssh/authorized.json",
        "run//x.json",
        "run/x.pt",
        "run/x.py",
        "run/extractor.torchscript",
        "run\\x.json",
        "run/\x1b[31m.json",
        "run/<script>.json",
        "run/=cmd.csv",
        "run/a/b/c/d/e/f.json",
        "run/" + "x" * 300 + ".json",
    ],
)
@pytest.mark.parametrize("place", ["runs", "zip"])
def test_hostile_names_are_refused_before_anything_is_written(tmp_path, name, place):
    folder, _, inside = name.partition("/")
    lines = json.dumps({"folder": "run", "files": {}})
    files = {RUNS: lines.encode()}
    if place == "zip":
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr(name, b"{}")
        files[FILES] = out.getvalue()
    else:
        files[RUNS] = json.dumps({"folder": folder, "files": {inside: {}}}).encode()
    write_bundle(tmp_path / "b", files, {})
    with pytest.raises(DataCorrupt) as error:
        unpack(read_bundle(tmp_path / "b"), tmp_path / "out")
    assert "\x1b" not in str(error.value)
    assert str(error.value).count("\n") == 0
    assert not (tmp_path / "out").exists() or not tree(tmp_path / "out")


def test_what_grows_without_end_is_not_unpacked(tmp_path, monkeypatch):
    for module in (bundles, bundle_format):
        monkeypatch.setattr(module, "LARGEST", 1 << 20)
    table = b"file,columns,metric\n" + b"run/scores.csv,1,x\n" * 100_000
    for files in (
        {RUNS: b"", "scores.csv.gz": gzip.compress(table)},
        {RUNS: b"", "scores.csv.xz": lzma.compress(table)},
        {RUNS: b"", FILES: bundle_format.zip_bytes({"run/zeros.npy": bytes(2 << 20)})},
    ):
        write_bundle(tmp_path / "b", files, {})
        with pytest.raises(DataCorrupt, match="grows to more than"):
            unpack(read_bundle(tmp_path / "b"), tmp_path / "out")


@pytest.mark.parametrize(
    "content", [b"[]", b"null", b"{}", b'{"format": 1}', b"[" * 100_000, b"\xff\xfe", b""]
)
def test_an_index_that_is_none_is_one_sentence(tmp_path, content):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / INDEX).write_bytes(content)
    with pytest.raises((DataCorrupt, UsageError)) as error:
        read_bundle(tmp_path / "b")
    assert str(tmp_path / "b") in str(error.value)


@pytest.mark.parametrize(
    "line",
    [
        b"[]",
        b"5",
        b'{"folder": "x"}',
        b'{"files": {}}',
        b'{"folder": null, "files": {}}',
        b'{"folder": 3, "files": []}',
        b"{",
    ],
)
def test_a_list_of_runs_that_is_none_is_one_sentence(tmp_path, line):
    write_bundle(tmp_path / "b", {RUNS: line + b"\n"}, {})
    with pytest.raises(DataCorrupt, match=r"get (the bundle|it) again"):
        list(run_files(read_bundle(tmp_path / "b")))


def unpack_until_killed(_rank, path, target):
    """Unpack, and die as the first file would take its place."""
    sys.addaudithook(lambda event, _arguments: die() if event == "os.rename" else None)
    unpack(read_bundle(path), target)


def test_what_a_killed_unpacking_left_goes_with_the_next(runs, tmp_path):
    packed, out = pack([runs], tmp_path / "b"), tmp_path / "out"
    (child,) = in_processes(unpack_until_killed, packed.path, out)
    child.join()
    assert [path.name.startswith(".unpacking-") for path in out.iterdir()].count(True) == 1
    unpack(packed, out)
    assert not list(out.glob(".*"))


def test_nothing_is_written_over(runs, tmp_path):
    packed = pack([runs], tmp_path / "b")
    (tmp_path / "back").mkdir()
    unpack(packed, tmp_path / "back")
    unpack(packed, tmp_path / "back")  # the same content is no conflict
    score = next((tmp_path / "back").rglob("scores.csv"))
    score.write_text("mine")
    with pytest.raises(StorageError, match="another content"):
        unpack(packed, tmp_path / "back")
    assert score.read_text() == "mine"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(StorageError, match="no bundle"):
        pack([runs], tmp_path / "mine")
    assert tree(tmp_path / "mine") == {"thesis.tex": b"years of work"}


def test_a_cache_holds_one_folder_a_content(runs, tmp_path):
    packed = pack([runs], tmp_path / "b")
    first = materialise(packed, tmp_path / "cache")
    assert materialise(read_bundle(packed.path), tmp_path / "cache") == first
    assert [p.name for p in (tmp_path / "cache").iterdir()] == [first.name]
    assert tree(first) == dict(run_files(packed)) | {"study.toml": b"title = 'Digits'\n"}
