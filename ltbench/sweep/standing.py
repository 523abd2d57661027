"""What a task's attempts amount to: attempts on disk, and whether the last is stale -> the task's one state.

This is the only place that decides it. The survey shows the state, the worker acts on it, a retry changes it:

    queued   may be tried now (after `delay`): nobody holds it, and it did not fail too often
    running  somebody holds it and is not known to be gone
    stale    its holder is gone or silent, and it may be taken over
    failed   it failed too often: a person is asked, and ``ltbench retry --failed`` lets it be tried again

A silent holder counts as a failure of class "killed" as soon as it is seen to be gone, whether or not anybody
has written that down: else a stage whose workers were all killed would be neither failed nor tried again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ltbench.sweep.failures import KILLED, policy

State = Literal["queued", "running", "done", "failed", "stale"]
Outcome = Literal["done", "failed", "interrupted", "requeued", "retired", "lost"]

SILENT = "its worker stopped answering"


@dataclass(frozen=True)
class Attempt:
    """One attempt at one resource, as found on disk.

    Attributes
    ----------
    number
        From 1; the highest is the owner.
    task
        Id of the stage that was claimed, "" where the claim was cut short.
    owner
        See `ltbench.sweep.owner.identity`; empty where the claim was cut short.
    end
        What is written at the end (outcome, kind, message), or None while it runs.
    progress
        The last reported step, total, loss, rate, and the counter ``beat``.
    silence
        Seconds since its heartbeat file was written, by the clock of whoever looks; None: not known.
    """

    number: int
    task: str
    owner: dict[str, Any] = field(default_factory=dict)
    end: dict[str, Any] | None = None
    beat: bytes | None = None
    progress: dict[str, Any] = field(default_factory=dict)
    silence: float | None = None

    @property
    def outcome(self) -> str:
        """How it ended, "" while it runs."""
        return str((self.end or {}).get("outcome", ""))

    @property
    def kind(self) -> str:
        """The class of its failure."""
        return str((self.end or {}).get("kind") or KILLED)

    @property
    def step(self) -> float:
        """How far it came; 0 where it did not say."""
        step = self.progress.get("step")
        return float(step) if isinstance(step, int | float) and step == step else 0.0


@dataclass(frozen=True)
class Standing:
    """Where one task stands.

    Attributes
    ----------
    state
        See the module's head; never "done", which the product alone decides.
    failures
        Failures in a row since it was last requeued, done or interrupted softly.
    kind, message
        Class and sentence of the last failure, "" without one.
    attempt
        Number of the last attempt at this task, 0 without one.
    holder
        The attempt that runs or is stale, of whichever task of the resource.
    unrecorded
        It failed by silence alone: whoever finds that out writes it down, see `Ledger.retire`.
    delay
        Seconds to wait before the next attempt.
    last
        Number of the last attempt at the resource, of whichever task: what this was judged from.
    """

    state: State = "queued"
    failures: int = 0
    kind: str = ""
    message: str = ""
    attempt: int = 0
    holder: Attempt | None = None
    unrecorded: bool = False
    delay: float = 0.0
    last: int = 0

    @property
    def failed(self) -> bool:
        """Whether it waits for a person."""
        return self.state == "failed"


def standing(task_id: str, attempts: Sequence[Attempt], stale: bool = False) -> Standing:
    """Decide where a task stands.

    Parameters
    ----------
    task_id
        The task.
    attempts
        All attempts at its resource, oldest first; other tasks' among them.
    stale
        Whether the last of them, if it has not ended, is known to be given up.
    """
    last = attempts[-1] if attempts else None
    running = last is not None and last.end is None
    ended = [attempt for attempt in attempts if attempt.task == task_id and attempt.end is not None]
    if running and stale and last is not None and last.task == task_id:
        ended.append(
            Attempt(
                last.number,
                last.task,
                last.owner,
                {"outcome": "lost", "kind": KILLED, "message": SILENT},
                progress=last.progress,
            )
        )
    failures, kind, message, too_often = _streak(ended)
    number = max((attempt.number for attempt in ended), default=0)
    if running and last is not None and not stale:
        of_task = last.task in (task_id, "")
        state: State = "running" if of_task else "failed" if too_often else "queued"
        number = last.number if of_task else number
    elif too_often:
        state = "failed"
    elif running and last is not None and last.task in (task_id, ""):
        state, number = "stale", last.number
    else:
        state = "queued"
    unrecorded = too_often and running and stale and last is not None and last.task == task_id
    delay = policy(kind).delay * 2 ** (failures - 1) if failures else 0.0
    seen = last.number if last is not None else 0
    return Standing(
        state, failures, kind, message, number, last if running else None, unrecorded, delay, seen
    )


def _streak(ended: Sequence[Attempt]) -> tuple[int, str, str, bool]:
    """Return how many attempts failed in a row, the last one's class and message, and whether that is too often.

    A worker that is killed again and again, but further on in its stage each time, is not a failing stage:
    those are not held against it.
    """
    streak: list[Attempt] = []
    condemned = False
    for attempt in reversed(ended):
        if attempt.outcome == "retired":
            condemned = condemned or not streak
            continue
        if attempt.outcome not in ("failed", "lost"):
            break
        streak.insert(0, attempt)
    if not streak:
        return 0, "", "", False
    last = streak[-1]
    same = since = 0  # failures in a row of this class, of any class
    furthest = -1.0
    for attempt in streak:
        same = same + 1 if attempt.kind == last.kind else 0
        since += 1
        if attempt.kind == KILLED and attempt.step > furthest >= 0:  # killed, but further on than last time
            same, since = min(same, 1), 1
        furthest = max(furthest, attempt.step)
    too_often = condemned or same >= policy(last.kind).attempts or since >= 2 * policy(KILLED).attempts
    return len(streak), last.kind, str((last.end or {}).get("message", "")), too_often
