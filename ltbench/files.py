"""Writing results so that a crash leaves either the old file or the new one, never half of one."""

import contextlib
import csv
import errno
import hashlib
import json
import os
import secrets
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ltbench.errors import CheckpointError, DiskFull, StorageError


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's write errors into one sentence naming `path`."""
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
            raise StorageError(
                f"cannot write {path} ({error.strerror}): choose another folder with --out"
            ) from error
        raise


@contextlib.contextmanager
def replacing(path: Path, guard: Callable[[], None] | None = None) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is flushed to disk and renamed over `path`.

    The file gets the mode that any new file gets here (umask), whichever library writes it: safetensors' own
    would be 0600, unreadable for a colleague. `guard` is called just before the rename and may raise to
    withhold the file.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    with storage_errors(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(temporary, "xb") as handle:
                mode = os.fstat(handle.fileno()).st_mode
            temporary.unlink()  # torchvision takes a file that is there for the download
            yield temporary
            with open(temporary, "rb") as handle:
                with contextlib.suppress(OSError):  # some network file systems know no modes
                    os.fchmod(handle.fileno(), stat.S_IMODE(mode))
                os.fsync(handle.fileno())
            if guard is not None:
                guard()
            os.replace(temporary, path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()


def write_text(path: Path, text: str, guard: Callable[[], None] | None = None) -> None:
    """Write `text` to `path` atomically."""
    with replacing(path, guard) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any, guard: Callable[[], None] | None = None) -> None:
    """Write `value` as indented JSON to `path` atomically."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True) + "\n", guard)


def read_json(path: Path) -> Any:
    """Read JSON; a broken file is a `CheckpointError` that names it."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} is not valid JSON ({error}): delete it and run again") from error


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content, read in blocks."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def append_rows(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Append rows to a CSV file, writing the header first when the file is new."""
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        new = not path.exists() or path.stat().st_size == 0
        with open(path, "a", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, columns, lineterminator="\n")
            if new:
                writer.writeheader()
            writer.writerows(rows)


def ensure_writable(folder: Path) -> None:
    """Create `folder` and check that a file can be written in it, or raise one clear sentence."""
    try:
        with replacing(folder / ".ltbench-write-test") as probe:
            probe.write_bytes(b"ok")
        (folder / ".ltbench-write-test").unlink(missing_ok=True)
    except OSError as error:  # what special file systems answer, as /proc does
        raise StorageError(
            f"cannot write {folder} ({error.strerror}): choose another folder with --out"
        ) from error
