"""The state of a sweep: only files below ``OUT/.sweep``, so that any number of drivers and hosts share it.

    .sweep/plans/DIGEST.json              runs that were asked for
    .sweep/claims/RESOURCE/N.claim        attempt N: who, which stage; created exclusively and whole, never removed
    .sweep/claims/RESOURCE/N.beat         its heartbeat, a counter, and progress; rewritten in place
    .sweep/claims/RESOURCE/N.end          its outcome: the beat file, filled in and renamed
    .sweep/claims/RESOURCE/N.log          what the stage printed

The owner of a resource is the creator of its highest attempt. A claim is written beside its place and linked
there, which is exclusive, whole and atomic on NFS too (where there are no links: one exclusive create); taking a
stale claim over is the claim of the next attempt. Names are not freed:
were the claim renamed instead, a driver with an old listing could create the old name again and hold it too.
Before it publishes anything an owner lists the folder and withholds the file if a higher attempt is there.

Heartbeat and outcome need no new disk space: the beat file has its final size from the start.
"""

from __future__ import annotations

import bisect
import contextlib
import errno
import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ltbench.environment import LEASE_SECONDS
from ltbench.errors import ClaimLost, StorageError
from ltbench.files import storage_errors
from ltbench.sweep.failures import KILLED
from ltbench.sweep.owner import identity, is_dead
from ltbench.sweep.standing import SILENT, Attempt, Outcome, Standing, standing
from ltbench.sweep.tasks import Task
from ltbench.temporary import beside, remove_abandoned

_NO_LINKS = {errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK, errno.EXDEV, errno.EINVAL}
_SIZE = 4096  # of a beat file, bytes: one block, so that its outcome fits on a full disk
_NAME = re.compile(r"([0-9]{1,9})\.(claim|beat|end|log)")
CUT_SHORT_SECONDS = 2.0  # a claim without content for so long was cut short: writing it takes no time


# --- attempts ------------------------------------------------------------------------------------------


def _parse(raw: bytes | None) -> dict[str, Any]:
    try:
        value = json.loads(raw or b"{}")
    except (ValueError, RecursionError):  # read while it was being rewritten, or cut short by a crash
        return {}
    return value if isinstance(value, dict) else {}


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _fitting(content: dict[str, Any]) -> dict[str, Any]:
    """Return the content with its message cut to as many characters as the fixed size has room for.

    In JSON a character takes 1 to 12 bytes.
    """
    excess = len(json.dumps(content)) - _SIZE
    if excess <= 0 or "message" not in content:
        return content
    message = str(content["message"])
    room = len(json.dumps(message)) - excess
    length = bisect.bisect_right(range(len(message)), room, key=lambda end: len(json.dumps(message[:end])))
    return {**content, "message": message[: max(0, length - 1)]}


def _in_place(path: Path, content: dict[str, Any], flags: int = 0) -> None:
    """Write JSON padded to the fixed size; an existing file is overwritten without being cut first."""
    raw = json.dumps(_fitting(content)).encode()
    handle = os.open(path, os.O_WRONLY | flags, 0o666)
    try:
        os.write(handle, raw.ljust(_SIZE))
        os.fsync(handle)
    finally:
        os.close(handle)


def _end(path: Path) -> dict[str, Any]:
    """Return how an attempt ended; one whose record cannot be read failed, or it would be tried again for ever."""
    unreadable = {"outcome": "failed", "kind": KILLED, "message": f"{path} cannot be read"}
    end = _parse(_read(path))
    return end if "outcome" in end else unreadable


def _age(folder: Path, number: int) -> float | None:
    """Return how long ago an attempt's heartbeat was written: a hint for people, clocks of hosts differ."""
    for suffix in ("beat", "claim"):
        with contextlib.suppress(OSError):
            return max(0.0, time.time() - (folder / f"{number}.{suffix}").stat().st_mtime)
    return None


def _inode(folder: Path) -> int | None:
    try:
        return folder.stat().st_ino
    except OSError:
        return None


def _create_whole(path: Path, content: bytes) -> None:
    """Create a file with its content, or raise `FileExistsError`; nobody ever sees it without its content.

    Where the file system knows no hard links, it is created empty and filled: a kill in between leaves a claim
    without an owner, which `Ledger.is_stale` gives up soon.
    """
    temporary = beside(path)
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)
            return
        except FileExistsError:
            if temporary.stat().st_nlink == 2:  # an NFS server's answer was lost and asked for again
                return
            raise
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666), "wb") as file:
        file.write(content)


class Lease:
    """A held claim: the right to do one stage and to publish its result."""

    def __init__(self, folder: Path, number: int, task: str) -> None:
        self.folder, self.number, self.task = folder, number, task
        self.log = folder / f"{number}.log"
        self._beat = folder / f"{number}.beat"
        self._count = 0

    def beat(self, progress: dict[str, Any]) -> None:
        """Move the heartbeat on; a disk that cannot be written now is left to the stage to notice."""
        self._count += 1
        with contextlib.suppress(OSError):
            _in_place(self._beat, {"beat": self._count, **progress})

    def held(self) -> bool:
        """Say whether no higher attempt exists; listing the folder asks the file server anew on NFS."""
        return max(_numbers(self.folder), default=0) == self.number

    def check(self) -> None:
        """Raise `ClaimLost` if the claim was taken over; called just before anything is published."""
        if not self.held():
            raise ClaimLost(f"attempt {self.number} at {self.folder.name} was taken over by another worker")

    def end(self, outcome: Outcome, **more: Any) -> None:
        """Record the outcome and release the resource."""
        end_attempt(self.folder, self.number, outcome, **more)


def end_attempt(folder: Path, number: int, outcome: Outcome, **more: Any) -> None:
    """Record an attempt's outcome and how far it came: by its owner, or by the parent of an owner that died."""
    beat, end = folder / f"{number}.beat", folder / f"{number}.end"
    content = {"outcome": outcome, "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **more}
    content["progress"] = _parse(_read(beat))
    with storage_errors(end):
        _in_place(beat, content, os.O_CREAT)
        beat.replace(end)


def _numbers(folder: Path) -> dict[int, set[str]]:
    """Return attempt -> which of its files exist."""
    out: dict[int, set[str]] = {}
    try:
        names = [path.name for path in folder.iterdir()]
    except OSError:
        return out
    for name in names:
        if (match := _NAME.fullmatch(name)) and match[2] != "log":
            out.setdefault(int(match[1]), set()).add(match[2])
    return out


# --- the ledger ----------------------------------------------------------------------------------------


@dataclass
class _Seen:
    beat: bytes | None
    watched: float
    at: float


@dataclass
class Ledger:
    """The claims below one output folder, as one observer sees them.

    Attributes
    ----------
    root
        Output folder.
    lease
        A heartbeat unchanged for so many seconds of this observer's own watching is stale.
    """

    root: Path
    lease: float = LEASE_SECONDS
    _seen: dict[tuple[str, int], _Seen] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._place = _inode(self.root)

    def check_place(self) -> None:
        """Look whether the output folder is the one that this observer began with.

        Raises
        ------
        StorageError
            It was moved or deleted: claims in another of its name would begin everything anew.
        """
        if self._place is not None and _inode(self.root) != self._place:
            raise StorageError(
                f"{self.root} was moved or deleted while it was worked in: put it back, or name its new place with --out, "
                "and run the same command again"
            )

    @property
    def folder(self) -> Path:
        """Where the claims are."""
        return self.root / ".sweep" / "claims"

    def claimed(self) -> set[str]:
        """Return every resource that was ever claimed, with one listing."""
        try:
            return {path.name for path in self.folder.iterdir()}
        except OSError:
            return set()

    def attempts(self, resource: str) -> list[Attempt]:
        """Return all attempts at a resource, oldest first."""
        return list(self._attempts(resource))

    def tries(self, task: Task) -> int:
        """Return how many attempts there were at a task itself; its resource's are numbered over all its tasks."""
        return sum(attempt.task == task.id for attempt in self._attempts(task.resource))

    def _attempts(self, resource: str) -> Iterator[Attempt]:
        folder = self.folder / resource
        files = _numbers(folder)
        last = max(files, default=0)
        for number in sorted(files):
            claim = _parse(_read(folder / f"{number}.claim"))
            end = _end(folder / f"{number}.end") if "end" in files[number] else None
            if end is None and number < last:  # taken over without having said how it ended
                end = {"outcome": "lost", "kind": KILLED, "message": SILENT}
            beat = None if "end" in files[number] else _read(folder / f"{number}.beat")
            yield Attempt(
                number,
                str(claim.get("task", "")),
                _dict(claim.get("owner")),
                end,
                beat,
                _parse(beat) or _dict((end or {}).get("progress")),
                None if end is not None else _age(folder, number),
            )

    def standing(self, task: Task) -> Standing:
        """Return where a task stands, from its resource's attempts and what this observer has watched."""
        attempts = self.attempts(task.resource)
        running = bool(attempts) and attempts[-1].end is None
        return standing(task.id, attempts, running and self.is_stale(task.resource, attempts[-1]))

    def is_stale(self, resource: str, attempt: Attempt) -> bool:
        """Say whether a running attempt's owner is dead, or silent for longer than the lease.

        No clock but this process's own is used, and a gap between two looks counts for at most a quarter of
        the lease: an observer that was itself asleep cannot conclude anything from waking up.
        A claim without an owner was cut short while it was written; the lease of those is `CUT_SHORT_SECONDS`.
        """
        if attempt.owner and is_dead(attempt.owner):
            return True
        lease = self.lease if attempt.owner else min(self.lease, CUT_SHORT_SECONDS)
        now, key = time.monotonic(), (resource, attempt.number)
        seen = self._seen.get(key)
        if seen is None or seen.beat != attempt.beat:
            self._seen[key] = _Seen(attempt.beat, 0.0, now)
            return False
        seen.watched += min(now - seen.at, lease / 4)
        seen.at = now
        return seen.watched >= lease

    def claim(self, task: Task, after: int | None = None) -> Lease | None:
        """Claim a task's resource, or return None because somebody else works on it.

        Who has judged that a task may be tried gives as `after` the last attempt that was judged, `Standing.last`: where
        there is a later one by now, the judgement is out of date, and None is returned.

        Raises
        ------
        DiskFull, StorageError
            The claim cannot be written, or the output folder is gone.
        """
        self.check_place()
        folder = self.folder / task.resource
        files = _numbers(folder)
        last = max(files, default=0)
        if after is not None and last != after:
            return None
        if last and "end" not in files[last]:
            current = self.attempts(task.resource)[-1]
            if current.number != last or current.end is not None or not self.is_stale(task.resource, current):
                return None
        number = last + 1
        path = folder / f"{number}.claim"
        with storage_errors(path):
            folder.mkdir(parents=True, exist_ok=True)
            remove_abandoned(folder)
            content = json.dumps({"task": task.id, "owner": identity()}).encode()
            try:
                _create_whole(path, content)
            except FileExistsError:
                return None
            try:
                _in_place(folder / f"{number}.beat", {"beat": 0}, os.O_CREAT)
            except OSError:
                path.unlink(missing_ok=True)
                (folder / f"{number}.beat").unlink(missing_ok=True)
                raise
        lease = Lease(folder, number, task.id)
        if not lease.held():  # we acted on a listing long out of date
            path.unlink(missing_ok=True)
            return None
        return lease

    def requeue(self, task: Task) -> bool:
        """Let a failed task be tried again: an attempt that ends at once and forgives those before it."""
        return self._mark(task, "requeued")

    def retire(self, task: Task) -> bool:
        """Write down that a task failed by silence alone: an attempt that ends at once.

        Without it only who watched the holder's silence would know, and nobody who comes later.
        """
        return self._mark(task, "retired")

    def _mark(self, task: Task, outcome: Outcome) -> bool:
        lease = self.claim(task)
        if lease is None:
            return False
        lease.end(outcome)
        return True
