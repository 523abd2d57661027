"""A new method's package: what is written trains nowhere yet and passes its own tests; names are checked first."""

import errno
import subprocess
import sys
import tomllib

import pytest

from ltbench.cli.new import new_method
from ltbench.errors import DiskFull, StorageError, UsageError


def test_the_package_that_is_written_passes_its_own_tests(tmp_path):
    folder = new_method("my_weights", tmp_path / "package")
    assert sorted(p.name for p in folder.iterdir()) == [
        "my_weights.py",
        "pyproject.toml",
        "test_my_weights.py",
    ]
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["name"] == "my-weights"
    assert project["entry-points"]["ltbench.methods"] == {"my_weights": "my_weights:MyWeights"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", folder, folder]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout


@pytest.mark.parametrize("name", ["My", "1st", "a-b", "", "class", "a.b", "../a"])
def test_what_is_no_name_is_refused(tmp_path, name):
    with pytest.raises(UsageError, match="lower-case letters, digits and _"):
        new_method(name, tmp_path / "package")
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_over(tmp_path):
    with pytest.raises(UsageError, match="there is a method 'coral' already"):
        new_method("coral", tmp_path / "package")
    (tmp_path / "kept").write_text("")
    for place in (tmp_path, tmp_path / "kept"):
        with pytest.raises(UsageError, match="is there already: give another folder with --to"):
            new_method("mine", place)
    with pytest.raises(StorageError, match="cannot write.*: choose another folder with --to$"):
        new_method("mine", tmp_path / "kept" / "below")
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]


def test_on_a_full_disk_no_part_stays(tmp_path, monkeypatch):
    """The same command then said that it was there already."""
    written = []

    def full_at_the_last(handle):
        written.append(handle)
        if len(written) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("ltbench.files.os.fsync", full_at_the_last)
        with pytest.raises(DiskFull, match="no space left"):
            new_method("mine", tmp_path / "package")
    assert not list((tmp_path / "package").iterdir())
    new_method("mine", tmp_path / "package")
