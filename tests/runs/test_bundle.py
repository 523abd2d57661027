"""Bundles: the same bytes from the same runs, the same runs from the bytes, and nothing from a hostile one."""

import gzip
import io
import json
import lzma
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltbench.errors import DataCorrupt, StorageError, UsageError
from ltbench.runs import bundle as bundles
from ltbench.runs import bundle_format
from ltbench.runs.bundle import materialise, read_bundle, run_files, unpack
from ltbench.runs.bundle_format import FILES, INDEX, RUNS
from ltbench.runs.pack import pack, write_bundle


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def runs(tmp_path):
    """Two trainings of three sample sets, whose scores have the columns of two versions."""
    root = tmp_path / "runs"
    for seed in (0, 1):
        run = root / f"digits_lt-r0.1-ddpm-s{seed}-0123456{seed}"
        for number, sample in enumerate(("aaaaaaaa", "bbbbbbbb")[: 2 - seed]):
            folder = run / "samples" / sample
            folder.mkdir(parents=True)
            spec = {"sample_key": sample * 8, "step": 1500}
            (folder / "spec.json").write_text(json.dumps(spec, indent=2, sort_keys=True) + "\n")
            extra = ",grouping" if number else ""
            rows = "".join(
                f'frechet,{seed + i}.25,"a, ""b"""{",thirds" if number else ""}\n' for i in range(3)
            )
            (folder / "scores.csv").write_text(f"metric,value,note{extra}\n{rows}")
            np.save(folder / "images.npy", np.full((2, 1, 8, 8), seed, np.uint8))
            np.save(folder / "labels.npy", np.arange(2))
            (folder / "sheet.png").write_bytes(b"\x89PNG" + bytes([seed]))
            (folder / "nearest.npz").write_bytes(b"PK" + bytes([seed]))
        (run / "spec.json").write_text(json.dumps({"train_seed": seed}, indent=2, sort_keys=True) + "\n")
        (run / "provenance.json").write_text('{"hand": "written"}')  # not as ltbench writes JSON
        (run / "train.csv").write_text("step,loss\n50,0.5\n")
        (run / "probes").mkdir()
        (run / "probes" / "step-00001500.csv").write_text("t,metric\n")
        (run / "weights").mkdir()
        (run / "weights" / "step-00001500.safetensors").write_bytes(b"weights")
        (run / "checkpoint.pt").write_bytes(b"not for a stranger")
    (root / ".cache").mkdir()
    (root / ".cache" / "spec.json").write_text("{}")
    (root / "study.toml").write_text("title = 'Digits'\n")
    return root


@pytest.mark.parametrize(
    ("name", "compression"), [("bundle", "gz"), ("bundle.zip", "gz"), ("bundle", "xz"), ("bundle.zip", "xz")]
)
def test_everything_comes_back_to_the_byte(runs, tmp_path, name, compression):
    seeds = [0, 1]
    packed = pack([runs], tmp_path / name, keep_arrays=seeds, keep_weights=seeds, compression=compression)
    unpack(read_bundle(packed.path), tmp_path / "back")
    expected = {k: v for k, v in tree(runs).items() if not k.startswith(".cache") and "checkpoint" not in k}
    assert tree(tmp_path / "back") == expected


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


@pytest.mark.parametrize("name", ["scores.csv.gz", "scores.csv.xz"])
@pytest.mark.parametrize("content", [None, b"", b"metric,value\n"])
def test_a_table_that_is_cut_or_none_is_one_sentence(tmp_path, name, content):
    if content is None:
        content = bundle_format.compress(b"file,columns,metric\nrun/scores.csv,1,x\n", name[-2:])[:-5]
    write_bundle(tmp_path / "b", {RUNS: b"", name: content}, {})
    with pytest.raises(DataCorrupt, match=f"{name} is (truncated or damaged|no table)"):
        unpack(read_bundle(tmp_path / "b"), tmp_path / "out")


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


def test_a_table_that_asks_for_gigabytes_to_be_expanded_is_refused(tmp_path):
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 30}]
    table = lzma.compress(b"file,columns,metric\nrun/scores.csv,1,x\n", filters=filters)
    write_bundle(tmp_path / "b", {RUNS: b"", "scores.csv.xz": table}, {})
    with pytest.raises(DataCorrupt, match="truncated or damaged"):
        unpack(read_bundle(tmp_path / "b"), tmp_path / "out")


@pytest.mark.parametrize(
    "name", ["study/x.py", "study/run/spec.json", "run.sh", "run/spec.json", "study/a/b.toml"]
)
def test_a_bundle_holds_its_own_files_and_no_others(tmp_path, name):
    write_bundle(tmp_path / "b", {RUNS: b"", name: b"x"}, {})
    with pytest.raises(DataCorrupt, match="which no bundle has"):
        read_bundle(tmp_path / "b")


def test_a_bundle_is_never_read_into_more_than_a_part_of_the_memory():
    assert os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 4 >= bundle_format.LARGEST


@pytest.mark.parametrize("depth", [300, 980, 5000])  # reading and writing JSON end at different depths
def test_deep_nesting_is_one_sentence(tmp_path, depth):
    line = f'{{"folder": "run", "files": {{"spec.json": {"[" * depth}{"]" * depth}}}}}'
    write_bundle(tmp_path / "b", {RUNS: line.encode()}, {})
    try:
        unpack(read_bundle(tmp_path / "b"), tmp_path / "out")
    except DataCorrupt as error:
        assert depth > 300
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert depth < 5000


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


def test_two_runs_of_one_name_and_no_runs_are_refused(runs, tmp_path):
    import shutil

    shutil.copytree(runs, tmp_path / "copy")
    with pytest.raises(UsageError, match="have one name"):
        pack([runs, tmp_path / "copy"], tmp_path / "b")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no runs in"):
        pack([tmp_path / "empty"], tmp_path / "b")
    with pytest.raises(UsageError, match="no folder at"):
        pack([tmp_path / "absent"], tmp_path / "b")


_CELL = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\x00"), max_size=8)


@given(
    st.dictionaries(
        st.sampled_from(["run/scores.csv", "run/samples/a/scores.csv", "other/scores.csv"]),
        st.lists(st.lists(_CELL, min_size=1, max_size=4), min_size=1, max_size=4),
        min_size=1,
    )
)
@settings(max_examples=200, deadline=None)
def test_any_tables_that_are_joined_come_back(tables):
    parts = {name: bundle_format.csv_bytes(rows) for name, rows in tables.items()}
    parts = {name: content for name, content in parts.items() if bundle_format.rows_come_back(content)}
    if parts:
        joined, _ = bundle_format.join_tables(parts)
        assert dict(bundle_format.split_tables(joined, "joined")) == parts
