"""Digests of a run's files: kept with the file, accepted across a crash, checked when it is read."""

import hashlib
import json
import os
import signal
from pathlib import Path

import pytest
from tiny_runs import in_processes

from ltbench.errors import CheckpointError, ClaimLost, DataCorrupt
from ltbench.runs.digests import (
    DIGESTS,
    check_digest,
    check_digests,
    recorded_digests,
    recording,
    seal,
    unseal,
)

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2's example


def write(path, content):
    with recording(path) as temporary:
        temporary.write_bytes(content)


def test_a_file_is_written_with_its_digest_and_a_change_is_named(tmp_path):
    path = tmp_path / "images.npy"
    write(path, b"abc")
    assert recorded_digests(tmp_path) == {"images.npy": [ABC]}
    check_digest(path, "delete it")
    path.write_bytes(b"abd")
    with pytest.raises(DataCorrupt, match=r"images\.npy was changed or damaged .*: delete it$"):
        check_digest(path, "delete it", DataCorrupt)
    write(path, b"new")
    assert recorded_digests(tmp_path) == {"images.npy": [hashlib.sha256(b"new").hexdigest()]}


def test_between_digest_and_file_both_contents_are_accepted(tmp_path):
    """A crash after the digest and before the file leaves the old file: it is no damaged one."""
    path = tmp_path / "scores.csv"
    write(path, b"abc")

    def crash():
        raise ClaimLost("gone")

    with pytest.raises(ClaimLost), recording(path, crash) as temporary:
        temporary.write_bytes(b"new")
    assert recorded_digests(tmp_path) == {"scores.csv": [ABC]}  # the guard comes before the digest
    record = json.loads((tmp_path / DIGESTS).read_text())
    record["scores.csv"].append(hashlib.sha256(b"new").hexdigest())  # as the crash would leave it
    (tmp_path / DIGESTS).write_text(json.dumps(record))
    for content in (b"abc", b"new"):
        path.write_bytes(content)
        check_digest(path, "delete it")


def killed_before_the_rename(_rank, path, content):
    rename = Path.replace

    def replace(source, target):
        if Path(target).name == path.name:
            os.kill(os.getpid(), signal.SIGKILL)
        return rename(source, target)

    Path.replace = replace
    write(path, content)


def test_two_kills_between_digest_and_file_leave_the_old_file_accepted(tmp_path):
    """The last digest was taken for the file's: the second kill made "changed or damaged" of a whole checkpoint."""
    path = tmp_path / "checkpoint.pt"
    write(path, b"abc")
    for content in (b"second", b"third"):
        (process,) = in_processes(killed_before_the_rename, path, content)
        process.join(60)
        assert process.exitcode == -signal.SIGKILL
        assert path.read_bytes() == b"abc"
        assert recorded_digests(tmp_path) == {path.name: [ABC, hashlib.sha256(content).hexdigest()]}
        check_digest(path, "delete it")
    write(path, b"fourth")
    assert recorded_digests(tmp_path) == {path.name: [hashlib.sha256(b"fourth").hexdigest()]}


def test_a_log_is_sealed_and_written_on(tmp_path):
    log = tmp_path / "train.csv"
    seal(log)
    assert recorded_digests(tmp_path) == {}  # nothing there
    log.write_bytes(b"abc")
    seal(log)
    assert recorded_digests(tmp_path) == {"train.csv": [ABC]}
    unseal(log)
    assert recorded_digests(tmp_path) == {}


def test_all_files_below_a_folder_are_checked(tmp_path):
    (tmp_path / "a").mkdir()
    write(tmp_path / "a" / "x", b"abc")
    check_digests(tmp_path, "restore it")
    (tmp_path / "a" / "x").write_bytes(b"")
    with pytest.raises(CheckpointError, match="restore it"):
        check_digests(tmp_path, "restore it")


@pytest.mark.parametrize("damage", ['{"x": "abc"}', '{"x": ["abc"]}', '{"x": [1]}'])
def test_a_damaged_record_is_named_and_mended_by_the_next_file(tmp_path, damage):
    (tmp_path / DIGESTS).write_text(damage)
    with pytest.raises(CheckpointError, match=r"digests\.json is damaged at 'x': delete it"):
        recorded_digests(tmp_path)
    write(tmp_path / "y", b"abc")
    assert recorded_digests(tmp_path) == {"y": [ABC]}


# -- several processes ------------------------------------------------------------------------------------


def write_many(rank, folder):
    for number in range(60):
        write(folder / f"{rank}.bin", b"%d %d" % (rank, number))
        write(folder / "shared.bin", b"%d %d" % (rank, number))


def test_processes_that_write_one_folder_undo_no_digest_of_each_other(tmp_path):
    """Two `evaluate` of one sample set: each read the record, added its file's digest and wrote it, one over the other."""
    started = in_processes(write_many, tmp_path, count=3)
    for process in started:
        process.join(120)
    assert [process.exitcode for process in started] == [0, 0, 0]
    for name in ("0.bin", "1.bin", "2.bin", "shared.bin"):
        content = hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
        assert recorded_digests(tmp_path)[name] == [content]


def write_and_log(_rank, folder):
    path = folder / "train.csv"
    for number in range(150):
        write(folder / "scores.csv", b"%d" % number)
        unseal(path)
        with path.open("a") as log:
            log.write(f"{number}\n")
        seal(path)


def test_what_reads_while_a_study_writes_finds_nothing_damaged(tmp_path):
    """`report` beside a run: the record was read before, and the file after it was written."""
    (writer,) = in_processes(write_and_log, tmp_path)
    checked = 0
    while writer.is_alive():
        for name in ("scores.csv", "train.csv"):
            check_digest(tmp_path / name, "delete it")
        checked += 1
    assert writer.exitcode == 0
    assert checked > 50
