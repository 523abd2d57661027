"""Writing: a crash leaves the old file or the new one, and a full or forbidden disk is one sentence."""

import contextlib
import io
import os
import resource
import signal

import numpy as np
import pytest
import torch
from tiny_runs import in_processes, killed_before_renaming

from ltbench.errors import CheckpointError, ClaimLost, DiskFull, StorageError, UsageError
from ltbench.files import (
    append_rows,
    decoding,
    ensure_writable,
    read_json,
    read_object,
    read_text,
    replacing,
    write_json,
    write_text,
)
from ltbench.runs.results import load_results
from ltbench.runs.weights import load_weights, save_checkpoint, save_weights


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_whole_and_folders_are_made(tmp_path):
    path = tmp_path / "a" / "b.txt"
    write_text(path, "old")
    with replacing(path) as temporary:
        temporary.write_text("new, ")
        assert path.read_text() == "old"
        assert temporary.parent == path.parent
        with temporary.open("a") as handle:
            handle.write("and whole")
    assert path.read_text() == "new, and whole"
    assert names(path.parent) == ["b.txt"]


def test_a_writer_that_fails_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(ZeroDivisionError), replacing(path) as temporary:  # noqa: PT012 -- the failing writer is what is tested
        temporary.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_guard_may_withhold_the_file(tmp_path):
    def lost():
        raise ClaimLost("another worker has it")

    with pytest.raises(ClaimLost):
        write_text(tmp_path / "a.txt", "new", guard=lost)
    assert names(tmp_path) == []


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_every_file_follows_the_umask_whichever_library_writes_it(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_text(tmp_path / "a.txt", "text")
        weights = {"w": torch.zeros(2)}
        save_weights(tmp_path / "b.safetensors", weights, weights, "key", 1, lambda: None)  # 0600 by itself
        save_checkpoint(tmp_path / "c.pt", weights)
    finally:
        os.umask(before)
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {
        "a.txt": mode,
        "b.safetensors": mode,
        "c.pt": mode,
        "digests.json": mode,
    }


def test_a_writer_killed_at_once_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    (process,) = in_processes(killed_before_renaming, path)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert path.read_text() == "old"


def test_json_comes_back_and_a_broken_one_is_named(tmp_path):
    path = tmp_path / "spec.json"
    write_json(path, {"b": [1, 2.5, None], "a": "ü"})
    assert read_json(path) == {"a": "ü", "b": [1, 2.5, None]}
    assert path.read_text().index('"a"') < path.read_text().index('"b"')
    for broken in ('{"a": 1', b"\xff\xfe"):
        path.write_bytes(broken if isinstance(broken, bytes) else broken.encode())
        with pytest.raises(
            CheckpointError, match=r"spec\.json is not valid JSON .*: delete it and run again"
        ):
            read_json(path)


def test_rows_are_appended_under_one_header(tmp_path):
    path = tmp_path / "runs" / "log.csv"
    append_rows(path, ["a", "b"], [{"a": 1, "b": "x, y"}])
    append_rows(path, ["a", "b"], [{"b": 3, "a": 2}, {"a": 4, "b": ""}])
    assert path.read_text() == 'a,b\n1,"x, y"\n2,3\n4,\n'


LIMIT = 20_000


def text(path):
    write_text(path, "x" * 10 * LIMIT)


def rows(path):
    append_rows(path, ["a"], [{"a": "x" * 1000}] * 100)


def array(path):
    with replacing(path) as temporary, temporary.open("wb") as handle:
        np.save(handle, np.zeros(10 * LIMIT))


def state(path):
    save_checkpoint(path, {"x": torch.zeros(10 * LIMIT)})


def weights(path):
    tensor = {"x": torch.zeros(10 * LIMIT)}
    save_weights(path, tensor, tensor, "key", 1, lambda: None)


def on_a_full_disk(_, folder):
    """Write with every writer on a disk that takes 20 kB a file; the sentences go to small files."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT))
    for write in WRITERS:
        try:
            write(folder / "full" / write.__name__)
        except DiskFull as error:
            (folder / f"{write.__name__}.said").write_text(str(error))


WRITERS = (text, rows, array, state, weights)


@pytest.fixture(scope="module")
def full_disk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("disk")
    (process,) = in_processes(on_a_full_disk, folder)
    process.join()
    assert process.exitcode == 0
    return folder


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_a_full_disk_is_one_sentence_and_leaves_nothing(full_disk, write):
    said = (full_disk / f"{write.__name__}.said").read_text()
    assert said.startswith(f"no space left to write {full_disk / 'full' / write.__name__}: free some space")
    assert names(full_disk / "full") == ["rows"]  # appended, so cut off when a training goes on


@contextlib.contextmanager
def no_rights():
    """Give up root's right to write everywhere, for tests that run as root."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_a_folder_that_cannot_be_written_is_named_before_anything_runs(tmp_path):
    tmp_path.chmod(0o555)
    sentence = r"cannot write .*Permission denied.*: choose another folder with --out"
    with pytest.raises(StorageError, match=sentence), no_rights():
        ensure_writable(tmp_path / "runs")
    assert names(tmp_path) == []


def test_a_folder_whose_name_is_not_utf8_is_refused_before_anything_is_kept_there(tmp_path):
    """Tables of paths and safetensors' reader take none: a study there trained, and its report ended in a traceback."""
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    for use in (
        ensure_writable,
        load_results,
        lambda path: load_weights(path / "step-00000001.safetensors", "ema"),
    ):
        with pytest.raises(UsageError, match="is not UTF-8"):
            use(folder)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("name", "what"),
    [
        (
            "a_file",
            "cannot write .*a_file, which is no folder",
        ),  # was "cannot write a_file/.ltbench-write-test (File exists)"
        ("a_file/deeper", "cannot write .*"),
        ("x" * 300, "cannot write .*"),
        ("/proc/here/no/folder", "cannot write .*"),
        ("gone", "cannot write .*gone, which is a link that leads nowhere"),
        ("round", "cannot write .*round, which is a link that leads nowhere"),
    ],
)
def test_a_path_that_can_be_no_folder_is_named(tmp_path, name, what):
    (tmp_path / "gone").symlink_to(tmp_path / "absent")
    (tmp_path / "round").symlink_to(tmp_path / "round")
    (tmp_path / "a_file").write_text("kept")
    with pytest.raises(StorageError, match=rf"{what}: choose another folder with --out"):
        ensure_writable(tmp_path / name)
    assert (tmp_path / "a_file").read_text() == "kept"


def test_a_writable_folder_is_made_and_left_empty(tmp_path):
    ensure_writable(tmp_path / "new" / "runs")
    assert names(tmp_path / "new" / "runs") == []


TEXT = 'title = "Größe"\nx = 1\n'


@pytest.mark.parametrize(
    "raw",
    [TEXT.encode(), b"\xef\xbb\xbf" + TEXT.encode(), TEXT.encode("utf-16"), TEXT.replace("\n", "\r\n").encode(),
     b"\xfe\xff" + TEXT.encode("utf-16-be"), TEXT.replace("\n", "\r").encode(), TEXT.encode("utf-32"),
     b"\0\0\xfe\xff" + TEXT.encode("utf-32-be"), 2 * b"\xef\xbb\xbf" + TEXT.encode(), TEXT.encode() + b"\x1a"],
    ids=["utf-8", "bom", "utf-16", "windows", "utf-16-be", "old mac", "utf-32", "utf-32-be", "two boms", "dos"],
)  # fmt: skip
def test_text_is_read_as_editors_of_all_systems_write_it(tmp_path, raw):
    path = tmp_path / "a.toml"
    path.write_bytes(raw)
    assert read_text(path) == TEXT


@pytest.mark.parametrize("kind", ["absent", "folder", "pipe", "device", "bytes", "long name", "null"])
def test_what_is_no_text_file_is_one_sentence(tmp_path, kind):
    path = tmp_path / "a.txt"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "bytes":
        path.write_bytes(b"\xff\x00\xfa\x81")
    elif kind == "device":
        path = path.parent / "/dev/zero"
    elif kind == "long name":
        path = tmp_path / ("x" * 5000)
    elif kind == "null":
        path = tmp_path / "a\0b"
    with pytest.raises(UsageError) as caught:
        read_text(path)
    assert (len(str(caught.value)) < 500 and "a.txt" in str(caught.value)) or kind in (
        "device",
        "long name",
        "null",
    )


@pytest.mark.parametrize(
    "content",
    ["[" * 100_000, '{"a":' * 50_000, "1" * 5000, "{", "", "\ufeff{", "[1,]", '{"a": tru}'],
    ids=["lists", "objects", "digits", "open", "empty", "mark", "comma", "word"],
)
def test_json_of_any_content_is_a_value_or_one_sentence(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"a\.json") as caught:
        read_json(path)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("content", ["null", "[]", '"text"', "5", "true", "1e400"])
def test_an_object_is_asked_for_and_nothing_else_is_taken(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"a\.json holds .* where an object belongs"):
        read_object(path)


def test_any_bit_of_an_array_file_is_its_value_or_one_error(tmp_path):
    """NumPy and zipfile let through what lies below them: TokenError, zlib.error, struct.error and others."""
    array, path = np.repeat(np.arange(4), 50), tmp_path / "a"
    kinds = set()
    for write in (np.save, np.savez_compressed):
        buffer = io.BytesIO()
        write(buffer, array)
        content = bytearray(buffer.getvalue())
        for bit in range(8 * min(len(content), 330)):
            content[bit // 8] ^= 1 << bit % 8
            path.write_bytes(content)
            content[bit // 8] ^= 1 << bit % 8
            try:
                with decoding(str(path), "make it again"):
                    loaded = np.load(path, allow_pickle=False)
                    kinds.add(
                        loaded["arr_0"].shape if isinstance(loaded, np.lib.npyio.NpzFile) else loaded.shape
                    )
            except CheckpointError as error:
                kinds.add(type(error.__cause__).__name__ if str(error).endswith(": make it again") else error)
            except MemoryError:  # a shape that a digit of the header now claims
                kinds.add("MemoryError")
    assert {"TokenError", "BadZipFile", "ValueError", (200,)} <= kinds
    assert not any(isinstance(kind, CheckpointError) for kind in kinds)
