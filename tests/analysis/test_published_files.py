"""Published numbers as people type them: every way a hand or a spreadsheet spoils a line is named, none is read."""

import pandas as pd
import pytest

from ltbench.analysis.published_files import load_published, read_published
from ltbench.errors import DataCorrupt

HEADER = "source,table,dataset,imbalance_ratio,method,metric,value,confidence,sampler,steps,images,extractor,image_size"
LINES = (
    "Paper,2,cifar10_lt,0.01,ddpm,fid,5.81,T,,,,,32",
    '"Paper, second edition",,cifar100,,cbdm,fid,2.72,S,ddim,50,,inception,',
)
GOOD = "\n".join((HEADER, *LINES)) + "\n"


def _read(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_published(path)


@pytest.mark.parametrize(
    "content", [GOOD, "\ufeff" + GOOD, GOOD.replace("\n", "\r\n"), GOOD.rstrip(), GOOD + "\n"]
)
def test_a_file_is_read_whoever_saved_it(tmp_path, content):
    table = _read(tmp_path / "a.csv", content)
    assert table["value"].tolist() == [5.81, 2.72]
    assert table["imbalance_ratio"].iloc[0] == 0.01
    assert pd.isna(table["imbalance_ratio"].iloc[1])
    assert table["source"].tolist() == ["Paper", "Paper, second edition"]
    assert table["steps"].tolist() == ["", "50"]


def test_columns_are_found_by_name_and_unknown_ones_left_out(tmp_path):
    turned = pd.read_csv(_written(tmp_path / "a.csv"), dtype=str, keep_default_na=False)
    turned.iloc[:, ::-1].assign(note="mine").to_csv(tmp_path / "b.csv", index=False)
    pd.testing.assert_frame_equal(read_published(tmp_path / "b.csv"), read_published(tmp_path / "a.csv"))


def _written(path):
    path.write_text(GOOD)
    return path


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (",5.81,", ",5,81,", "has 14 fields in line 2 and 13 columns"),
        (",5.81,", ',"5,81",', "'value' in line 2 is '5,81', not a number"),
        (",2.72,", ",,", "'value' in line 3 is '', not a number"),
        (",2.72,", ",n/a,", "'value' in line 3 is 'n/a'"),
        (",2.72,", ",nan,", "'value' in line 3 is 'nan'"),
        (",2.72,", ",1e400,", "'value' in line 3 is '1e400'"),
        (",2.72,", ",\u22122.72,", "'value' in line 3 is '\u22122.72'"),
        (",0.01,", ",100,", r"'imbalance_ratio' in line 2 is '100', not a ratio in \(0, 1\]"),
        (",0.01,", ",1/100,", "'imbalance_ratio' in line 2 is '1/100'"),
        (",0.01,", ",0,", "'imbalance_ratio' in line 2 is '0'"),
        (",value,", ",number,", "lacks the column 'value'"),
        (GOOD, "", "lacks the column 'source'"),
        (LINES[1], LINES[0].replace("5.81", "9"), "states one number in lines 2 and 3"),
        (LINES[1], "a,b", "has 2 fields in line 3"),
        (",", ";", "has its columns separated by ';': save it with commas"),
        (",", "\t", "has its columns separated by tabs"),
        ("ddpm", "dd\0pm", "holds a NUL character"),
    ],
)
def test_what_cannot_be_meant_is_named_by_line_and_column(tmp_path, old, new, says):
    assert old in GOOD
    with pytest.raises(DataCorrupt, match=rf"a\.csv:? {says}"):
        _read(tmp_path / "a.csv", GOOD.replace(old, new))


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_another_encoding_is_named(tmp_path, encoding):
    with pytest.raises(DataCorrupt, match=r"a\.csv is no CSV file in UTF-8"):
        _read(tmp_path / "a.csv", GOOD.replace("Paper", "Papi\u00e9r").encode(encoding))


def test_what_is_shipped_is_sound():
    table = load_published()
    assert len(table) > 200
    assert table["value"].notna().all()
