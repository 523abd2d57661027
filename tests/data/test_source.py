"""What every source of images does: sizes, advice, refused settings, checksums."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from ltbench.data.source import check_md5, default_data_root, writing
from ltbench.data.sources.digits import DIGITS
from ltbench.errors import DataCorrupt, StorageError, UsageError
from ltbench.specs import DataSpec


def test_a_size_is_the_default_or_one_of_those_there_are():
    source = replace(DIGITS, default_size=8, sizes=(8, 16, 32))
    assert [source.size(None), source.size(16)] == [8, 16]
    with pytest.raises(UsageError, match=r"digits_lt has no image size 9: use 8\.\.32"):
        source.size(9)
    with pytest.raises(UsageError, match="use 8$"):
        replace(source, sizes=(8,)).size(9)


def test_advice_names_the_data_root():
    assert replace(DIGITS, how_to_get="put it in DATA_ROOT/x").advice(Path("/d")) == "put it in /d/x"


def test_a_source_without_folders_of_its_own_takes_no_name_or_content():
    spec = DataSpec(dataset="digits_lt")
    assert DIGITS.resolve(spec, Path()) is spec
    with pytest.raises(UsageError, match="no folders of its own names"):
        DIGITS.resolve(spec.model_copy(update={"dataset": "digits_lt:mine"}), Path())
    with pytest.raises(UsageError, match="digits_lt has none"):
        DIGITS.resolve(spec.model_copy(update={"content": "ab"}), Path())


def test_the_data_root_is_the_environments_or_data(monkeypatch):
    for value, root in (("/images", "/images"), ("", "data"), ("~/x", str(Path.home() / "x"))):
        monkeypatch.setenv("LTBENCH_DATA", value)
        assert default_data_root() == Path(root)


def test_a_checksum_is_of_the_whole_file(tmp_path):
    path = tmp_path / "a.tar"
    path.write_bytes(b"abc")
    check_md5(path, "900150983cd24fb0d6963f7d28e17f72")  # RFC 1321's own example
    path.write_bytes(b"ab")
    with pytest.raises(DataCorrupt, match=f"{path} is truncated .*{hashlib.md5(b'ab').hexdigest()}"):
        check_md5(path, "900150983cd24fb0d6963f7d28e17f72")


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "a"
    with (
        pytest.raises(StorageError, match=rf"cannot write {path} \(Not a directory\): .*--data-root"),
        writing(path),
    ):
        path.write_text("")
