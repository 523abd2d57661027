"""The local driver: one worker process a GPU, or one-thread processes on the cores, and what they are doing.

The driver holds no state that matters: what is done, claimed and failed is on disk. It starts workers, shows
their progress, replaces those that die and writes down what they died of. Workers are fresh interpreters
with their own session, so that Ctrl-C reaches the driver alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import IO, Any

from rich.console import Console

from ltbench.environment import Settings, free_memory
from ltbench.errors import LtbenchError, UsageError, is_out_of_memory
from ltbench.specs import RunSpec
from ltbench.sweep import worker as worker_module
from ltbench.sweep.failures import classify_exit, oom_kill_count
from ltbench.sweep.ledger import Ledger, end_attempt
from ltbench.sweep.progress import Screen, make_screen
from ltbench.sweep.signals import replace_handlers
from ltbench.sweep.standing import Outcome
from ltbench.sweep.status import Row, SavedPlan, counts, requeue_failed, save_plan, survey
from ltbench.sweep.tasks import Task, build_tasks
from ltbench.sweep.worker import RECYCLE
from ltbench.text import whole_number

WORKER = (sys.executable, "-P", "-m", "ltbench.sweep.worker")  # -P: imports nothing from the current folder
_MEMORY_A_WORKER = 1 << 30  # bytes: torch and its libraries, a small network and its data
_FAILED_STARTS = 3


class WorkerBroken(LtbenchError):
    """Worker processes die before they can claim anything."""

    kind = "worker"


@dataclass(frozen=True)
class Slot:
    """Where one worker runs: its device, and what its environment adds."""

    device: str
    environment: Mapping[str, str]


def slots(workers: str, device: str, threads: int, width: int) -> list[Slot]:
    """Return where workers are to run.

    Parameters
    ----------
    workers
        ``auto`` (one a GPU; without one as many processes as cores, memory allowing) or a number.
    device
        ``cpu``, ``cuda`` (all visible GPUs are shared out) or one GPU, ``cuda:1`` or ``mps``.
    threads
        CPU threads of a worker.
    width
        How many tasks could run at once; more workers than that are not started.

    Raises
    ------
    UsageError
        Neither ``auto`` nor a whole number from 1.
    """
    visible = _gpus() if device == "cuda" else []
    if workers == "auto":
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        free = free_memory() // _MEMORY_A_WORKER
        number = len(visible) if visible else 1 if device != "cpu" else min(cores // threads, free)
    elif given := whole_number(workers):
        number = given
    else:
        raise UsageError(f"--workers takes auto or a whole number from 1, not {workers!r}")
    number = max(1, min(number, width))
    limits = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
    if visible:
        pins = [{"CUDA_VISIBLE_DEVICES": visible[index % len(visible)]} for index in range(number)]
        return [Slot("cuda", {**limits, **pin}) for pin in pins]
    return [Slot(device, limits)] * number


def _gpus() -> list[str]:
    """Return the names by which CUDA_VISIBLE_DEVICES can pin each GPU that this process sees."""
    import torch

    count = torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    names = [name.strip() for name in named.split(",") if name.strip()]
    return names[:count] if names else [str(index) for index in range(count)]


@dataclass
class _Running:
    """A worker process and what it last said."""

    number: int
    slot: Slot
    process: subprocess.Popen[bytes]
    stdin: IO[bytes]
    stdout: IO[bytes]
    errors: IO[bytes]
    oom_kills: int
    held: dict[str, Any] = field(default_factory=dict)
    claimed_any: bool = False
    buffer: bytes = b""


@dataclass
class LocalDriver:
    """Runs the tasks of a plan with local workers; `run` returns when nothing is left that they can do."""

    tasks: Sequence[Task]
    root: Path
    plan: Path
    settings: Settings
    slots: Sequence[Slot]
    screen: Screen
    command: Sequence[str] = WORKER

    def __post_init__(self) -> None:
        self.running: dict[int, _Running] = {}
        self.selector = selectors.DefaultSelector()
        self.interrupts = 0
        self.failed_starts = 0
        self.told = False

    def run(self) -> None:
        """Start the workers and follow them to the end.

        Raises
        ------
        WorkerBroken
            Workers cannot start.
        """
        with self._signals(), self.screen:
            try:
                for number, slot in enumerate(self.slots):
                    self._start(number, slot)
                while self.running:
                    for key, _ in self.selector.select(timeout=0.25):
                        self._read(key.data)
                    self._handle_interrupts()
                    self.screen.tick()
            finally:
                self._kill_all()
                self.selector.close()

    # -- workers ----------------------------------------------------------------------------------------

    def _start(self, number: int, slot: Slot) -> None:
        settings = replace(self.settings, device=slot.device)
        errors = tempfile.TemporaryFile()  # noqa: SIM115 -- closed with the worker
        process = subprocess.Popen(
            [*self.command, *worker_module.arguments(self.root, self.plan, settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, **slot.environment},
            start_new_session=True,
        )
        assert process.stdin is not None, "a pipe was asked for"
        assert process.stdout is not None, "a pipe was asked for"
        worker = _Running(number, slot, process, process.stdin, process.stdout, errors, oom_kill_count())
        self.selector.register(worker.stdout, selectors.EVENT_READ, worker)
        self.running[number] = worker

    def _read(self, worker: _Running) -> None:
        data = os.read(worker.stdout.fileno(), 1 << 16)
        worker.buffer += data
        *lines, worker.buffer = worker.buffer.split(b"\n")
        for line in lines:
            event = json.loads(line)
            self._note(worker, event)
            self.screen.event(worker.number, event)
        if not data:
            self._ended(worker)

    def _note(self, worker: _Running, event: dict[str, Any]) -> None:
        if event["event"] == "claimed":
            worker.held, worker.claimed_any, self.failed_starts = event, True, 0
        elif event["event"] == "ended":
            worker.held = {}

    def _ended(self, worker: _Running) -> None:
        """Take leave of a worker whose output has ended, and replace it if it died."""
        self.selector.unregister(worker.stdout)
        code = worker.process.wait()
        for pipe in (worker.stdin, worker.stdout):
            with contextlib.suppress(OSError):
                pipe.close()
        worker.errors.seek(0)
        printed = worker.errors.read().decode(errors="replace").strip()
        worker.errors.close()
        del self.running[worker.number]
        self.screen.event(worker.number, {"event": "gone"})
        if code not in (0, RECYCLE):
            self._record_death(worker, code, printed)
        if code != 0 and self.interrupts == 0:
            self._start(worker.number, worker.slot)

    def _record_death(self, worker: _Running, code: int, printed: str) -> None:
        """Write down what a worker died of, where it held a stage."""
        if worker.held:
            failure = classify_exit(code, oom_kill_count() - worker.oom_kills)
            self._end(
                worker, "interrupted" if self.interrupts > 1 else "failed", failure.kind, failure.message
            )
            self.screen.line(f"worker {worker.number}: {failure.message}, at {worker.held['name']}")
        elif not worker.claimed_any:
            self.failed_starts += 1
            if self.failed_starts >= _FAILED_STARTS:
                # of a traceback the error, as for any command
                why = printed.rpartition("\n")[2][-600:] or "silent"
                lacking = "; use fewer --workers or a machine with more memory" * is_out_of_memory(
                    RuntimeError(why)
                )
                raise WorkerBroken(f"workers end before they begin (exit code {code}): {why}{lacking}")

    def _end(self, worker: _Running, outcome: Outcome, kind: str, message: str) -> None:
        folder = Ledger(self.root).folder / worker.held["resource"]
        number = worker.held["attempt"]
        if not (folder / f"{number}.end").exists():
            with contextlib.suppress(LtbenchError, OSError):
                end_attempt(folder, number, outcome, kind=kind, message=message)

    def _kill_all(self) -> None:
        for worker in list(self.running.values()):
            worker.process.kill()
            worker.process.wait()
            if worker.held:
                self._end(worker, "interrupted", "", "stopped at once")
        self.running.clear()

    # -- signals ----------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        def on_signal(_signal: int, _frame: FrameType | None) -> None:
            self.interrupts += 1

        heard = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup's sweep outlives its terminal
            heard.append(signal.SIGHUP)
        before = replace_handlers(dict.fromkeys(heard, on_signal))
        try:
            yield
        finally:
            replace_handlers(before)

    def _handle_interrupts(self) -> None:
        """Ctrl-C once: every worker stops at its next checkpoint; twice: at once."""
        if self.interrupts == 1 and not self.told:
            self.told = True
            self.screen.line("stopping at the next checkpoint; Ctrl-C again to stop at once")
            for worker in self.running.values():
                with contextlib.suppress(OSError):
                    worker.stdin.write(b"stop\n")
                    worker.stdin.flush()
        elif self.interrupts > 1:
            self._kill_all()


def run_local(
    runs: Sequence[RunSpec],
    root: Path,
    settings: Settings,
    workers: str = "auto",
    title: str = "",
    console: Console | None = None,
    command: Sequence[str] = WORKER,
) -> list[Row]:
    """Do all stages of some runs with local workers and return the state of every stage.

    What is done is skipped; failures whose cause a person may have mended meanwhile are tried again, the
    others wait for `ltbench retry --failed`. Any number of these may run at once on one output folder.

    Parameters
    ----------
    runs
        The expanded grid.
    root
        Output folder.
    settings
        How workers run; ``settings.device`` ``cuda`` shares out all visible GPUs.
    workers
        ``auto`` or a number.
    title
        What the sweep is called on the screen.
    console
        Where progress is shown, live on a terminal and in plain lines elsewhere; None: nowhere.
    command
        The worker's command line.
    """
    tasks = build_tasks(runs)
    plan = save_plan(root, SavedPlan(tuple(runs), title, settings, workers))
    ledger = Ledger(root, settings.lease)
    requeue_failed(tasks, ledger, only_mendable=True)
    rows = survey(tasks, ledger)
    left = [row.task for row in rows if row.state not in ("done", "failed")]
    if left:
        width = max(counts_by_kind(left).values())
        where = slots(workers, settings.device, settings.threads, width)
        shown = make_screen(len(tasks), counts(rows).get("done", 0), console)
        LocalDriver(tasks, root, plan, settings, where, shown, command).run()
        ledger.check_place()
    return survey(tasks, Ledger(root, settings.lease))


def counts_by_kind(tasks: Sequence[Task]) -> dict[str, int]:
    """Return how many tasks there are of each kind."""
    out: dict[str, int] = {}
    for task in tasks:
        out[task.stage.kind] = out.get(task.stage.kind, 0) + 1
    return out
