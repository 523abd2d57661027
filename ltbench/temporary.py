"""Temporary files and folders: named so that what a killed process left is told from what a living one writes."""

import contextlib
import functools
import hashlib
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ltbench.errors import DiskFull, StorageError


@contextlib.contextmanager
def unpacking(parent: Path) -> Iterator[Path]:
    """Yield a temporary folder in `parent`, which goes whatever happens; so do those that killed processes left."""
    remove_abandoned(parent)
    temporary = parent / f".unpacking-{writer_mark()}"
    temporary.mkdir(mode=0o700)
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


_TEMPORARY = re.compile(r"\..+[.-]([1-9][0-9]{0,8})-([0-9a-f]{8})-[0-9a-f]{8}(\.tmp)?")


def remove_abandoned(folder: Path) -> None:
    """Remove the temporary files and folders in a folder whose process was killed before it could.

    What a living process writes stays, and so does what another machine's wrote, which cannot be looked up from here.
    """
    for path in folder.glob(".*"):
        named = _TEMPORARY.fullmatch(path.name)
        if named is None or named[2] != _kernel() or _runs(int(named[1])):
            continue
        with contextlib.suppress(OSError):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def writer_mark() -> str:
    """Return what a temporary's name says of its writer, PID-KERNEL-RANDOM."""
    return f"{os.getpid()}-{_kernel()}-{secrets.token_hex(4)}"


@functools.cache
def _kernel() -> str:
    """Return eight digits of this running kernel and process-id namespace; random ones where they cannot be told."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        place = f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return secrets.token_hex(4)
    return hashlib.sha256(place.encode()).hexdigest()[:8]


def _runs(pid: int) -> bool:
    """Tell whether a process of this kernel runs."""
    try:
        os.kill(pid, 0)  # and not /proc, which may hide other users' processes
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


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
