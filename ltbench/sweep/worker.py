"""A worker: claims a stage, does it, records how it ended, until nothing is left to do.

A process of the local driver and a task of a Slurm array both run `Worker`. A process reads ``stop`` from its
standard input (the end of input means that its driver is gone: it stops softly too) and writes one JSON
object a line to its standard output; what a stage prints goes to the attempt's log.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ltbench.environment import Environment, Settings
from ltbench.errors import Interrupted, LtbenchError
from ltbench.sweep.failures import classify, policy
from ltbench.sweep.ledger import Lease, Ledger
from ltbench.sweep.standing import Outcome, Standing
from ltbench.sweep.tasks import Task, build_tasks, finished, written_folder
from ltbench.temporary import remove_temporaries

RECYCLE = 75  # exit code: this process should not go on (out of memory, a dead CUDA context); start a new one
IDLE_SECONDS = 1.0


@dataclass(frozen=True)
class Stages:
    """What a worker needs of the stages: which are done, how to do one, and the environment to do it in."""

    is_done: Callable[..., bool]
    run_stage: Callable[..., None]
    environment: Callable[..., Environment]


def real_pipeline(settings: Settings) -> Stages:
    """Return the stages of `ltbench.pipeline`; imports torch and sets its threads."""
    from ltbench import pipeline
    from ltbench.environment import set_threads

    set_threads(settings.threads)
    return Stages(pipeline.is_done, pipeline.run_stage, Environment.of)


@dataclass
class Worker:
    """Claims and does tasks.

    Attributes
    ----------
    tasks
        What is left, those a task needs before it.
    root
        Output folder.
    report
        Called with one event, a small dict.
    stopping
        Set once a soft stop is asked for.
    """

    tasks: Sequence[Task]
    root: Path
    settings: Settings
    pipeline: Stages
    report: Callable[[dict[str, Any]], None]
    stopping: threading.Event = field(default_factory=threading.Event)
    must_restart: bool = False

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.root, self.settings.lease)
        done = finished(self.tasks, self.root, self.pipeline.is_done)
        self.pending: dict[str, Task] = {task.id: task for task in self.tasks if task.id not in done}
        self.failed: set[str] = set()
        self.not_before: dict[str, float] = {}
        self.lease: Lease | None = None  # of the stage that is being done

    def run(self) -> None:
        """Work until all tasks are done or wait for a person, or a stop is asked for."""
        idle, refused = False, 0
        while not self.stopping.is_set() and not self.must_restart:
            try:
                claimed = self._claim_next()
                if claimed is None and self.failed:  # somebody may have requeued them meanwhile
                    self.failed.clear()
                    claimed = self._claim_next()
            except LtbenchError as error:  # the claim cannot be written
                refused += 1
                self.report({"event": "trouble", "kind": error.kind, "message": str(error)})
                if refused >= policy(error.kind).attempts:
                    return
                self.stopping.wait(policy(error.kind).delay)
                continue
            refused = 0
            if claimed is not None:
                idle = False
                self._do(*claimed)
                continue
            if not self._worth_waiting():
                return
            if not idle:
                self.report({"event": "idle"})
                idle = True
            self.stopping.wait(IDLE_SECONDS)

    def _claim_next(self) -> tuple[Task, Lease] | None:
        """Claim the first task that is ready; forget those that are done."""
        claimed = self.ledger.claimed()
        for task in list(self.pending.values()):
            if self.stopping.is_set():
                return None
            if task.id in self.failed or any(need in self.pending for need in task.needs):
                continue
            if self.pipeline.is_done(task.stage, self.root):
                del self.pending[task.id]
                continue
            judged = self.ledger.standing(task) if task.resource in claimed else Standing()
            if not self._may_try(task, judged):
                continue
            lease = self.ledger.claim(task, after=judged.last)
            if lease is None:
                continue
            if self.pipeline.is_done(task.stage, self.root):  # its last owner finished between look and claim
                lease.end("done")
                del self.pending[task.id]
                continue
            return task, lease
        return None

    def _may_try(self, task: Task, now: Standing) -> bool:
        """Say whether a task is to be claimed now; note it as failed where a person must be asked."""
        if now.failed:
            if now.unrecorded:
                self.ledger.retire(task)
            self.failed.add(task.id)
            return False
        if not now.failures:
            return True
        key = f"{task.id}/{now.attempt}"
        return time.monotonic() >= self.not_before.setdefault(key, time.monotonic() + now.delay)

    def _worth_waiting(self) -> bool:
        """Say whether any pending task can still become ready: not those behind a failed one."""
        blocked = set(self.failed)
        for task in self.pending.values():
            if any(need in blocked for need in task.needs):
                blocked.add(task.id)
        return any(task_id not in blocked for task_id in self.pending)

    def _do(self, task: Task, lease: Lease) -> None:
        about = {"task": task.id, "attempt": lease.number, "resource": task.resource}
        tries = self.ledger.tries(task)
        self.report({"event": "claimed", "name": task.name, "tries": tries, **about})
        if lease.number > 1:
            remove_leftovers(self.root / written_folder(task.stage))
        outcome: Outcome = "done"
        started = time.monotonic()
        pulse = _Pulse(lease, self.settings.beat)
        self.lease = lease
        more: dict[str, Any] = {}
        with pulse, _printing_to(lease.log):
            try:
                self.pipeline.run_stage(task.stage, self.root, self._environment(lease, pulse))
                if not self.pipeline.is_done(task.stage, self.root):
                    raise RuntimeError("the stage ended without leaving its artifact")
            except Interrupted as error:
                outcome, more = "interrupted", {"message": str(error)}
            except BaseException as error:
                with contextlib.suppress(OSError):  # the log's disk may be full
                    traceback.print_exc()
                failure = classify(error)
                self.must_restart = failure.must_restart
                outcome, more = "failed", {"kind": failure.kind, "message": failure.message}
        seconds = round(time.monotonic() - started, 3)
        if lease.held():
            with contextlib.suppress(LtbenchError):  # the result stands even if its record cannot be written
                lease.end(outcome, seconds=seconds, **more)
        else:  # whatever happened, the stage is another worker's now
            outcome, more = "lost", {}
        self.lease = None
        self.report({"event": "ended", "outcome": outcome, "seconds": seconds, **about, **more})
        if outcome == "done":
            self.pending.pop(task.id, None)

    def _environment(self, lease: Lease, pulse: _Pulse) -> Environment:
        def progress(state: dict[str, Any]) -> None:
            pulse.progress = state
            if pulse.due():
                self.report({"event": "progress", "task": lease.task, **state})

        def stop() -> bool:
            return self.stopping.is_set() or pulse.lost

        return self.pipeline.environment(self.settings, progress=progress, stop=stop, guard=lease.check)


class _Pulse(threading.Thread):
    """Moves the heartbeat on while a stage runs, and notices when the claim was taken over."""

    def __init__(self, lease: Lease, seconds: float) -> None:
        super().__init__(daemon=True)
        self.lease, self.seconds = lease, seconds
        self.progress: dict[str, Any] = {}
        self.lost = False
        self._over = threading.Event()
        self._reported = 0.0

    def run(self) -> None:
        while not self._over.wait(self.seconds):
            self.lost = not self.lease.held()
            if not self.lost:
                self.lease.beat(self.progress)

    def due(self) -> bool:
        """Say whether a quarter of a second has passed since the last progress report."""
        now = time.monotonic()
        if now - self._reported < 0.25:
            return False
        self._reported = now
        return True

    def __enter__(self) -> _Pulse:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of a writer that was killed before it could rename them."""
    for place in (folder, folder / "weights", folder / "partial"):
        remove_temporaries(place)


@contextlib.contextmanager
def _printing_to(log: Path) -> Iterator[None]:
    """Send everything this process prints, native libraries included, to a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    copies = [os.dup(1), os.dup(2)]
    try:
        target = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o666)
    except OSError:
        target = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(target, 1)
        os.dup2(target, 2)
        yield
    finally:
        with contextlib.suppress(OSError):  # a full disk must not hide how the stage ended
            sys.stdout.flush()
            sys.stderr.flush()
        for number, handle in zip((1, 2), copies, strict=True):
            os.dup2(handle, number)
            os.close(handle)
        os.close(target)


# --- the process ---------------------------------------------------------------------------------------


def _listen(stopping: threading.Event) -> None:
    """Stop softly when told to, or when the driver at the other end of the pipe is gone."""
    os.read(0, 16)  # not sys.stdin, whose lock would be held when the interpreter shuts down
    stopping.set()


def _reporter() -> Callable[[dict[str, Any]], None]:
    """Return a writer of events to the standard output as it is now, whatever is printed there later."""
    channel = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)

    def report(event: dict[str, Any]) -> None:
        with contextlib.suppress(OSError, ValueError):  # the driver may be gone
            channel.write(json.dumps(event) + "\n")

    return report


def arguments(root: Path, plan: Path, settings: Settings) -> list[str]:
    """Return the command-line arguments of `main`."""
    return [str(root), str(plan), json.dumps(settings.as_json())]


def main(argv: Sequence[str], make_pipeline: Callable[[Settings], Stages] = real_pipeline) -> int:
    """Run one worker of a local driver: ROOT PLAN SETTINGS-AS-JSON."""
    from ltbench.sweep.status import load_plan

    root, plan, settings = Path(argv[0]), Path(argv[1]), Settings.from_json(json.loads(argv[2]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver hears Ctrl-C and says what to do
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    report = _reporter()
    threading.Thread(target=_listen, args=(stopping,), daemon=True).start()
    tasks = build_tasks(load_plan(plan).runs)
    pipeline = make_pipeline(settings)
    report({"event": "ready"})
    worker = Worker(tasks, root, settings, pipeline, report, stopping)
    worker.run()
    return RECYCLE if worker.must_restart else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
