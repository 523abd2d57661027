"""Temporary files and folders, and the processes that write them: what a killed one left is told from a living one's."""

import contextlib
import functools
import hashlib
import os
import platform
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ltbench.errors import DiskFull, StorageError

# -- processes ------------------------------------------------------------------------------------------------


@functools.cache
def machine() -> dict[str, str]:
    """Return ``host``, and where it can be told ``boot`` and ``namespace``: this running kernel and process-id namespace."""
    out = {"host": platform.node()}
    with contextlib.suppress(OSError):
        out["boot"] = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        out["namespace"] = str(Path("/proc/self/ns/pid").readlink())
    return out


def process_start(pid: int) -> str | None:
    """Return a process's start time in ticks since boot; "" for a zombie, None where it cannot be looked up."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    state, *rest = text.rpartition(")")[2].split()
    return "" if state in "ZX" else rest[18]


def is_gone(pid: int, started: str | None = None) -> bool:
    """Tell whether a process of this kernel is known to be gone, or its number to be another's, `started` at another time.

    One that /proc hides, as another user's may be, is not known to be gone.
    """
    if pid <= 0:
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:  # another user's
        pass
    now = process_start(pid)
    return now == "" or (now is not None and started is not None and now != started)


# -- temporaries ----------------------------------------------------------------------------------------------

_TEMPORARY = re.compile(r"\..+[.-]([1-9][0-9]{0,8})-([0-9a-f]{8})-[0-9a-f]{8}(\.tmp)?")


def beside(path: Path) -> Path:
    """Return the name of a temporary file beside a file, which tells its writer."""
    return path.with_name(f".{path.name}.{_writer()}.tmp")


@contextlib.contextmanager
def unpacking(parent: Path) -> Iterator[Path]:
    """Yield a temporary folder in `parent`, which goes whatever happens; so do those that killed processes left."""
    remove_abandoned(parent)
    temporary = parent / f".unpacking-{_writer()}"
    temporary.mkdir(mode=0o700)
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_abandoned(folder: Path) -> None:
    """Remove the temporary files and folders in a folder whose process was killed before it could.

    What a living process writes stays, and so does what one of another machine, container or boot wrote, which cannot
    be looked up from here.
    """
    for path in folder.glob(".*"):
        named = _TEMPORARY.fullmatch(path.name)
        if named is None or named[2] != _kernel() or not is_gone(int(named[1])):
            continue
        with contextlib.suppress(OSError):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def remove_temporaries(folder: Path) -> None:
    """Remove every temporary file in a folder, for who alone has the right to write there."""
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)


def _writer() -> str:
    """Return what a temporary's name says of its writer, PID-KERNEL-RANDOM."""
    return f"{os.getpid()}-{_kernel()}-{secrets.token_hex(4)}"


@functools.cache
def _kernel() -> str:
    """Return eight digits of this machine, kernel and process-id namespace; random ones where there is no /proc."""
    place = machine()
    if "namespace" not in place:
        return secrets.token_hex(4)
    return hashlib.sha256(" ".join(place.values()).encode()).hexdigest()[:8]


def make_scratch() -> Path:
    """Make a folder for temporary files.

    Raises
    ------
    StorageError
        None can be made.
    """
    try:
        return Path(tempfile.mkdtemp(prefix="ltbench-"))
    except OSError as error:
        raise StorageError(
            f"no folder for temporary files can be made ({error.strerror}): set TMPDIR to a folder that can be written"
        ) from error


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield a folder for temporary files, which goes at the end.

    Raises
    ------
    StorageError, DiskFull
        None can be made, or its disk is full.
    """
    scratch = make_scratch()
    try:
        yield scratch
    except DiskFull as error:
        if str(scratch) not in str(error):  # another disk
            raise
        raise DiskFull(
            f"no space left for temporary files in {scratch.parent}: set TMPDIR to a larger disk"
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
