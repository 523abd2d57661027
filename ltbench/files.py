"""Files: results are written so that a crash leaves the old file or the new one; what a user named is read safely.

One boundary reads text and JSON from outside (`read_text`, `read_json`, `read_object`, `parsing`): whatever is
wrong with a file or its content becomes one sentence that names it.
"""

import codecs
import contextlib
import csv
import errno
import fcntl
import hashlib
import json
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ltbench.errors import CheckpointError, DiskFull, LtbenchError, StorageError, UsageError
from ltbench.temporary import beside

_ELSEWHERE = "choose another folder with --out"


@contextlib.contextmanager
def storage_errors(path: Path, advice: str = _ELSEWHERE) -> Iterator[None]:
    """Turn the operating system's write errors into one sentence naming `path`, which ends in `advice`.

    Raises
    ------
    StorageError, DiskFull
        The operating system refuses to write.
    """
    try:
        yield
    except OSError as error:
        cut_short = error.errno is None and "requested and" in str(error)  # numpy's words for a short write
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or cut_short:
            raise DiskFull(
                f"no space left to write {path}: free some space there and run the same command again"
            ) from error
        if error.errno in (
            errno.EACCES,
            errno.EPERM,
            errno.EROFS,
            errno.ENOTDIR,
            errno.EEXIST,
            errno.EISDIR,
            errno.ENAMETOOLONG,
        ):
            raise StorageError(f"cannot write {path} ({error.strerror}): {advice}") from error
        raise


@contextlib.contextmanager
def replacing(
    path: Path, guard: Callable[[], None] | None = None, advice: str = _ELSEWHERE
) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is flushed to disk and renamed over `path`.

    The file gets the mode that any new file gets here (umask), whichever library writes it: safetensors' own
    would be 0600, unreadable for a colleague. `guard` is called just before the rename and may raise to
    withhold the file. `advice` is for a user whose `path` cannot be written.
    """
    path = Path(path)
    temporary = beside(path)
    with storage_errors(path, advice):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("xb") as handle:
                mode = os.fstat(handle.fileno()).st_mode
            temporary.unlink()  # torchvision takes a file that is there for the download
            yield temporary
            with temporary.open("rb") as handle:
                with contextlib.suppress(OSError):  # some network file systems know no modes
                    os.fchmod(handle.fileno(), stat.S_IMODE(mode))
                os.fsync(handle.fileno())
            if guard is not None:
                guard()
            temporary.replace(path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()


_held = threading.local()
_LOCK_SECONDS = 10.0


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let one process at a time change what a folder records: what is read, changed and written again.

    Where a file system knows no locks, or whoever holds one was stopped, the block is run without.
    """
    names: set[str] = _held.__dict__.setdefault("names", set())
    name = str(folder.resolve())
    if name in names:
        yield
        return
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            handle = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, handle)
            _lock(handle)
        names.add(name)
        stack.callback(names.discard, name)
        yield


def _lock(handle: int) -> None:
    until = time.monotonic() + _LOCK_SECONDS
    while time.monotonic() < until:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            time.sleep(0.005)


def write_text(
    path: Path, text: str, guard: Callable[[], None] | None = None, advice: str = _ELSEWHERE
) -> None:
    """Write `text` to `path` atomically; `guard` is called before anything is made, and again before the rename.

    `advice` is for a user whose `path` cannot be written.
    """
    if guard is not None:
        guard()
    with replacing(path, guard, advice) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(
    path: Path, value: Any, guard: Callable[[], None] | None = None, advice: str = _ELSEWHERE
) -> None:
    """Write `value` as indented JSON to `path` atomically; see `write_text`."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True) + "\n", guard, advice)


_LONGEST_TEXT = 1 << 28  # bytes; a text file from outside above that is no text file
_MARKS = {  # the longer first: UTF-32's begins with UTF-16's
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_END_OF_FILE = "\x1a"  # what DOS editors write last


def user_path(path: str | Path) -> Path:
    """Return a path whose leading ``~`` or ``~name`` is that user's folder."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UsageError(f"{path}: no user of that name has a folder: write the path in full") from error


def user_folder(variable: str, below_home: str) -> Path | None:
    """Return the folder that `variable` names, or one below the user's home.

    None where there is no home: in a container a user may be a number that has no name.
    """
    if named := os.environ.get(variable):
        return user_path(named)
    try:
        return Path.home() / below_home
    except RuntimeError:
        return None


def check_regular(path: Path, error: type[LtbenchError] = UsageError) -> None:
    """Raise where `path` is no regular file: reading a pipe or a device could wait for ever.

    Raises
    ------
    error
        It is absent, a folder, a pipe, a device, or may not be looked at.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as cause:
        reason = getattr(cause, "strerror", None) or str(cause)
        raise error(f"cannot read {_short(path)}: {reason}") from cause
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe or device"
        raise error(f"cannot read {_short(path)}: it is {kind}, not a file")


def read_text(path: Path, error: type[LtbenchError] = UsageError, advice: str = "") -> str:
    """Read a text file as people have them: UTF-8 with or without a byte-order mark, or UTF-16 or UTF-32 with one.

    Windows' editors and Excel write such marks, and tools that join files write several; line ends become newlines.

    Raises
    ------
    error
        It is no regular file, cannot be opened, is no text, or is larger than any text of ours.
    """
    path = Path(path)
    check_regular(path, error)
    hint = f": {advice}" if advice else ""
    try:
        if path.stat().st_size > _LONGEST_TEXT:
            raise error(
                f"{_short(path)} is larger than {_LONGEST_TEXT >> 20} MiB: that is no text file{hint}"
            )
        raw = path.read_bytes()
    except OSError as cause:
        raise error(f"cannot read {_short(path)}: {cause.strerror}{hint}") from cause
    try:
        text = raw.decode(next((name for mark, name in _MARKS.items() if raw.startswith(mark)), "utf-8"))
    except UnicodeDecodeError as cause:
        raise error(
            f"{_short(path)} is not UTF-8 text (byte {cause.start}){hint or ': save it as UTF-8'}"
        ) from cause
    text = text.lstrip("\ufeff").removesuffix(_END_OF_FILE)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _short(path: Path) -> str:
    text = str(path)
    return text if len(text) <= 300 else text[:297] + "..."


@contextlib.contextmanager
def parsing(what: str | Path, error: type[LtbenchError] = UsageError, advice: str = "") -> Iterator[None]:
    """Turn what a parser raises besides its own error into one sentence: nesting, huge numbers, bad bytes.

    Raises
    ------
    error
        With the parser's words.
    """
    hint = f": {advice}" if advice else ""
    try:
        yield
    except LtbenchError:
        raise
    except RecursionError as cause:
        raise error(f"{what} is nested too deeply{hint}") from cause
    except (ValueError, OverflowError) as cause:
        reason = " ".join(str(cause).split())
        if "integer string conversion" in reason:
            reason = "it holds a number of thousands of digits"
        raise error(f"{what} cannot be read ({reason[:200]}){hint}") from cause


@contextlib.contextmanager
def decoding(what: str, advice: str, error: type[LtbenchError] = CheckpointError) -> Iterator[None]:
    """Turn whatever a damaged array file or archive makes its reader raise into one error.

    NumPy, zipfile and tarfile let through what lies below them: a header's TokenError, zlib.error, struct.error,
    NotImplementedError for a compression that a flipped bit names, RuntimeError for an encrypted member.

    Raises
    ------
    error
        ``WHAT (the reader's words): ADVICE``.
    """
    try:
        yield
    except (LtbenchError, MemoryError):
        raise
    except Exception as cause:
        reason = " ".join(str(cause).split())[:200] or type(cause).__name__
        raise error(f"{what} ({reason}): {advice}") from cause


def read_json(path: Path, error: type[LtbenchError] = CheckpointError) -> Any:
    """Read JSON; a broken file is a `CheckpointError` that names it.

    Raises
    ------
    error
        The file cannot be read or is no JSON.
    """
    advice = "delete it and run again"
    text = read_text(path, error, advice)
    try:
        with parsing(path, error, advice):
            return json.loads(text)
    except error as cause:
        raise error(str(cause).replace(" cannot be read (", " is not valid JSON (", 1)) from cause


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object; anything else that JSON can hold is an error that names it.

    Raises
    ------
    CheckpointError
        The file cannot be read or holds no JSON object.
    """
    value = read_json(path)
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} holds {_kind(value)} where an object belongs: delete it and run again")
    return value


def _kind(value: Any) -> str:
    names = {type(None): "null", list: "a list", str: "text", bool: "true or false"}
    return names.get(type(value), "a number")


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content, read in blocks."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def memory_bytes() -> int:
    """Return this machine's physical memory in bytes: no file from outside is read into more than a part of it."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def append_rows(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Append rows to a CSV file, writing the header first when the file is new."""
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        new = not path.exists() or path.stat().st_size == 0
        with path.open("a", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, columns, lineterminator="\n")
            if new:
                writer.writeheader()
            writer.writerows(rows)


def require_utf8(path: Path) -> None:
    """Refuse a path that is not UTF-8: tables of paths and safetensors' reader take none.

    Raises
    ------
    UsageError
        One sentence, before anything is computed that could not be read again.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"the name of {_short(path)} is not UTF-8, and results are kept under such names alone: rename it, or name "
            "another folder"
        ) from error


def refuse_foreign(path: Path, mark: str) -> None:
    """Refuse to write over a page that somebody else wrote: one without the `mark` that all of ltbench's have.

    Raises
    ------
    StorageError
        Such a file is there, or it cannot be read.
    """
    with storage_errors(path):
        if path.is_file() and mark.encode() not in path.read_bytes():
            raise StorageError(f"{path} is there and was not written by ltbench: {_ELSEWHERE}")


def ensure_writable(folder: Path) -> None:
    """Create `folder` and check that a file can be written in it, or raise one clear sentence.

    Raises
    ------
    StorageError, DiskFull
        No file can be written in it.
    """
    require_utf8(folder)
    if os.path.lexists(folder) and not folder.is_dir():
        broken = "no folder" if folder.exists() else "a link that leads nowhere"
        raise StorageError(f"cannot write {folder}, which is {broken}: {_ELSEWHERE}")
    try:
        with replacing(folder / ".ltbench-write-test") as probe:
            probe.write_bytes(b"ok")
        (folder / ".ltbench-write-test").unlink(missing_ok=True)
    except OSError as error:  # what special file systems answer, as /proc does
        raise StorageError(f"cannot write {folder} ({error.strerror}): {_ELSEWHERE}") from error
