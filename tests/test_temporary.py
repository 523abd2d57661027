"""Temporary files and folders: they go, whoever made them and however that ended."""

import errno
import os
import subprocess
import sys
import tempfile
import time

import pytest
from tiny_runs import in_processes, killed_before_renaming

from ltbench.errors import DiskFull, StorageError
from ltbench.files import replacing, storage_errors, write_text
from ltbench.temporary import (
    beside,
    is_gone,
    process_start,
    remove_abandoned,
    remove_temporaries,
    scratch_folder,
    unpacking,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_scratch_folder_goes_at_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(ZeroDivisionError), scratch_folder() as scratch:  # noqa: PT012 -- what it leaves is what is tested
        write_text(scratch / "deeper" / "a.txt", "mine")
        assert scratch.parent == tmp_path
        raise ZeroDivisionError
    assert names(tmp_path) == []


def test_where_no_temporary_folder_can_be_made_the_sentence_names_tmpdir(monkeypatch):
    """It was `a file: No usable temporary directory found in [...]`."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/dev/null/x"])
    sentence = "no folder for temporary files can be made .*: set TMPDIR to a folder that can be written"
    with pytest.raises(StorageError, match=sentence), scratch_folder():
        pass
    monkeypatch.setattr(tempfile, "tempdir", "/dev/null/x")  # one that is gone since
    with pytest.raises(StorageError, match=sentence), scratch_folder():
        pass


def test_a_disk_that_is_full_of_temporary_files_is_another_than_that_of_results(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()

    def fill(path):
        with scratch_folder() as scratch, storage_errors(scratch / path):
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(
        DiskFull, match="no space left for temporary files in .*tmp: set TMPDIR to a larger disk"
    ):
        fill("runs")
    with pytest.raises(DiskFull, match="no space left to write .*out: free some space there"):
        fill(tmp_path / "out")


def test_what_a_killed_writer_left_goes_and_what_a_living_one_writes_stays(tmp_path):
    (process,) = in_processes(killed_before_renaming, tmp_path / "a.txt")
    process.join()
    (left,) = names(tmp_path)
    kernel = left.split("-")[1]
    elsewhere = tmp_path / left.replace(kernel, f"{int(kernel, 16) ^ 1:08x}")
    others = [tmp_path / "mine.tmp", tmp_path / ".mine.1-ab.tmp", elsewhere]
    for path in others:
        path.write_text("theirs")
    with replacing(tmp_path / "b.txt") as temporary, unpacking(tmp_path) as folder:
        temporary.write_text("half")
        remove_abandoned(tmp_path)
        assert names(tmp_path) == sorted(path.name for path in (temporary, folder, *others))
    remove_abandoned(tmp_path / "absent")


@pytest.fixture
def ended():
    """Return the number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", "pass"]) as process:
        pass
    return process.pid


def test_a_process_that_ended_is_gone_and_a_living_one_is_not(ended):
    assert is_gone(ended)
    assert is_gone(-1)
    assert not is_gone(os.getpid())
    assert not is_gone(1)  # another's, perhaps another user's


@pytest.mark.skipif(
    process_start(os.getpid()) is None, reason="no /proc: nothing is known of a living number"
)
def test_a_number_that_another_process_has_now_and_a_zombies_are_of_one_that_is_gone():
    own = process_start(os.getpid())
    assert not is_gone(os.getpid(), own)
    assert is_gone(os.getpid(), str(int(own) - 1))
    zombie = subprocess.Popen([sys.executable, "-c", "pass"])
    while process_start(zombie.pid):
        time.sleep(0.01)
    assert is_gone(zombie.pid)
    zombie.wait()


def test_a_process_that_proc_hides_is_not_known_to_be_gone(monkeypatch):
    """With hidepid=2 another user's living driver read as dead, and its claim was taken over."""
    monkeypatch.setattr("ltbench.temporary.process_start", lambda _: None)
    assert not is_gone(os.getpid(), "12345")


def test_who_alone_may_write_removes_every_writers_temporaries(tmp_path):
    mine, theirs, kept = tmp_path / ".a.txt.1-ab.tmp", beside(tmp_path / "a.txt"), tmp_path / "a.txt"
    for path in (mine, theirs, kept):
        path.write_text("x")
    remove_temporaries(tmp_path)
    assert names(tmp_path) == ["a.txt"]
    remove_temporaries(tmp_path / "absent")
