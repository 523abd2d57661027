"""Failure classes, and what is done about each: tried again up to a bound, or left to a person."""

from __future__ import annotations

import errno
import signal
from dataclasses import dataclass
from pathlib import Path

from ltbench.errors import DiskFull, LtbenchError, OutOfMemory, ProcessLost, StorageError, is_out_of_memory

KILLED = ProcessLost.kind
TIME_OUT = "time-out"
BUG = "bug"


@dataclass(frozen=True)
class Policy:
    """What follows a failure of a class.

    Attributes
    ----------
    attempts
        How often a stage may fail so in a row before it waits for a person; 1: never tried again.
    delay
        Seconds before the next attempt, doubled each time.
    mendable
        The cause lies outside spec and code, so that `ltbench run`, typed again, tries again.
    advice
        What a person can do.
    """

    attempts: int
    delay: float
    mendable: bool
    advice: str


_POLICIES = {
    OutOfMemory.kind: Policy(
        3, 10.0, True, "lower the setting that the message names, or use fewer --workers"
    ),
    DiskFull.kind: Policy(3, 10.0, True, "free some space"),
    StorageError.kind: Policy(3, 10.0, True, "check that --out can be written"),
    KILLED: Policy(5, 0.0, True, "often the machine ran out of memory; its log may say more"),
    TIME_OUT: Policy(3, 0.0, True, "allow more time with --slurm time=..."),
    "data missing": Policy(1, 0.0, True, "put the files where the message says"),
    "data corrupt": Policy(1, 0.0, True, "replace or delete the file the message names"),
    "checkpoint": Policy(1, 0.0, True, "delete what the message names"),
    "non-finite loss": Policy(1, 0.0, False, "change the settings the message names"),
    "usage": Policy(1, 0.0, False, "change the settings the message names"),
}
_UNKNOWN = Policy(1, 0.0, False, "the traceback is in its log")


def policy(kind: str) -> Policy:
    """Return what is done about failures of a class."""
    return _POLICIES.get(kind, _UNKNOWN)


@dataclass(frozen=True)
class Failure:
    """A failure's class and one sentence; `must_restart` where the process should not go on after it."""

    kind: str
    message: str
    must_restart: bool = False


_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FLAKY = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EREMOTEIO, errno.EAGAIN}


def classify(error: BaseException) -> Failure:
    """Return the class of an exception that a stage raised."""
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, LtbenchError):
        return Failure(error.kind, text, must_restart=isinstance(error, OutOfMemory))
    if is_out_of_memory(error):
        return Failure(
            OutOfMemory.kind, f"the device or machine ran out of memory ({text[:300]})", must_restart=True
        )
    if isinstance(error, OSError) and error.errno in _FULL:
        return Failure(DiskFull.kind, f"no space left ({text})")
    if isinstance(error, OSError) and error.errno in _FLAKY:
        return Failure(StorageError.kind, f"the storage did not answer ({text})")
    # After a CUDA error every later call of the process fails too.
    return Failure(BUG, f"{type(error).__name__}: {text[:600]}", must_restart="CUDA error" in text)


def classify_exit(code: int, oom_kills: int = 0) -> Failure:
    """Return the class of a worker's death by its exit code (negative: the signal), as the parent sees it.

    Parameters
    ----------
    code
        `subprocess.Popen.returncode`.
    oom_kills
        Processes the kernel killed for lack of memory meanwhile, see `oom_kill_count`.
    """
    if code == -signal.SIGKILL and oom_kills > 0:
        return Failure(OutOfMemory.kind, "the kernel killed the worker because the machine ran out of memory")
    if code < 0:
        return Failure(KILLED, f"the worker was ended by {signal.Signals(-code).name}")
    return Failure(KILLED, f"the worker ended by itself with exit code {code}")


def oom_kill_count() -> int:
    """Return how many processes the kernel has killed for lack of memory since boot (0: not known)."""
    try:
        for line in Path("/proc/vmstat").read_text(encoding="ascii").splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    except OSError:
        pass
    return 0
