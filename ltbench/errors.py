"""Errors a user can mend: one sentence each, shown without a traceback.

`kind` is the failure class that a sweep records; `transient` says whether trying again may help.
"""

import difflib
from collections.abc import Iterable

_WORDS = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "cudaerrormemoryallocation",
    "bad_alloc",
    "failed to map segment",  # of a library that is being loaded
    "can't start new thread",
)


class LtbenchError(Exception):
    """A mistake or a limit outside the harness; its message says how to mend it."""

    kind = "error"
    transient = False
    exit_code = 1


class UsageError(LtbenchError):
    """A flag, key, name or number that cannot be used."""

    kind = "usage"
    exit_code = 2


class DataMissing(LtbenchError):
    """A data set's or extractor's files are absent; the message says what to get and where to put it."""

    kind = "data missing"


class DataCorrupt(LtbenchError):
    """A file from outside is truncated or is not what its name says."""

    kind = "data corrupt"


class CheckpointError(LtbenchError):
    """A checkpoint or result folder cannot be read or belongs to another spec."""

    kind = "checkpoint"


class NonFiniteLoss(LtbenchError):
    """The loss became NaN or infinite; the last good checkpoint is kept."""

    kind = "non-finite loss"


class OutOfMemory(LtbenchError):
    """The device or the machine ran out of memory."""

    kind = "out of memory"


class StorageError(LtbenchError):
    """A folder or file cannot be written: no permission, or not a folder."""

    kind = "storage"


class DiskFull(StorageError):
    """No space left where results are written."""

    kind = "disk full"
    transient = True


class ClaimLost(LtbenchError):
    """Another worker has taken this stage over; nothing of ours is published."""

    kind = "claim lost"
    transient = True


class ProcessLost(LtbenchError):
    """Another process of the same training was ended, or does not answer."""

    kind = "killed"
    transient = True


class Interrupted(LtbenchError):
    """Stopped softly on request at a checkpoint; running again goes on from there."""

    kind = "interrupted"
    transient = True
    exit_code = 130


class RunFailed(LtbenchError):
    """Some stages of a study failed; what is done is kept.

    Attributes
    ----------
    failures
        One sentence a failed stage.
    """

    kind = "run failed"

    def __init__(self, message: str, failures: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.failures = failures


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an exception says that a device or the machine has no memory left."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's
        return True
    return any(words in str(error).lower() for words in _WORDS)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the closest known name, else the list of known names."""
    names = sorted(known)
    folded = {each.casefold(): each for each in names}  # CIFAR10_LT is as near as can be
    close = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.6)
    return f"; did you mean {folded[close[0]]!r}?" if close else f"; known: {', '.join(names)}"
