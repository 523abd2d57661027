"""The inside of a bundle's files: tables joined and split, names, sizes, nesting."""

import lzma
import os
import resource
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltbench.errors import DataCorrupt
from ltbench.runs import bundle as bundles
from ltbench.runs import bundle_format
from ltbench.runs.bundle import read_bundle, unpack
from ltbench.runs.bundle_format import RUNS
from ltbench.runs.pack import write_bundle


@pytest.mark.parametrize("name", ["scores.csv.gz", "scores.csv.xz"])
@pytest.mark.parametrize("content", [None, b"", b"metric,value\n"])
def test_a_table_that_is_cut_or_none_is_one_sentence(tmp_path, name, content):
    if content is None:
        content = bundle_format.compress(b"file,columns,metric\nrun/scores.csv,1,x\n", name[-2:])[:-5]
    write_bundle(tmp_path / "b", {RUNS: b"", name: content}, {})
    with pytest.raises(DataCorrupt, match=f"{name} is (truncated or damaged|no table)"):
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


@pytest.mark.parametrize(
    "row",
    [
        b"run/scores.csv,3000000000,x,y",
        b"run/scores.csv,-1,x,y",
        b"run/scores.csv,: 0 0 0 0 0,x,y",  # a long cell many times
        b"run/scores.csv,: 0 2,x,y",
        b"run/scores.csv,: -1,x,y",
        b"run/scores.csv,2 empty,",
        b"run/scores.csv,2,x,y,z",
        b"",
    ],
)
def test_a_row_of_columns_that_the_table_has_not_is_refused_before_they_are_counted_out(row):
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (16 << 30, before[1]))  # the list of 3e9 positions is larger
    try:
        with pytest.raises(DataCorrupt, match="is no table of this kind"):
            list(bundle_format.split_tables(b"file,columns,metric,value\n" + row + b"\n", "table"))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def test_lists_that_grow_by_their_indents_are_not_written(tmp_path, monkeypatch):
    """Ten thousand numbers at depth 300 are 20 KB, and 6 MB as ltbench writes JSON."""
    for module in (bundles, bundle_format):
        monkeypatch.setattr(module, "LARGEST", 1 << 20)
    line = (
        b'{"folder": "run", "files": {"spec.json": ' + b"[" * 300 + b"1," * 9999 + b"1" + b"]" * 300 + b"}}"
    )
    tracemalloc.start()
    with pytest.raises(DataCorrupt, match="grows to more than"):
        list(bundles.run_files(bundles.Bundle(tmp_path / "b", {}, {RUNS: line})))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 << 20
