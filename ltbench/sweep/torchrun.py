"""``torchrun --nproc_per_node=N -m ltbench run ...``: each training is shared by all N processes.

Every process expands the same study. Process 0 leads: it claims each training as any worker does, tells the
others which one it is, and alone writes files. The others follow: they train along and leave when the last
training is done. What comes after (samples, scores) process 0 hands to the ordinary local driver.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from ltbench import pipeline
from ltbench.environment import Environment, Settings, explain_failures, set_threads
from ltbench.errors import Interrupted
from ltbench.specs import RunSpec
from ltbench.sweep.failures import policy
from ltbench.sweep.ledger import Ledger
from ltbench.sweep.status import SavedPlan, requeue_failed, save_plan, survey
from ltbench.sweep.tasks import Task, build_tasks, finished
from ltbench.sweep.worker import Stages, Worker, real_pipeline
from ltbench.training.distributed import Group, explain_lost_peers, join, local_device

_TORCHRUN = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "GROUP_WORLD_SIZE")
_REPORT_SECONDS = 10.0
_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # torchrun passes each on to all of its processes


def processes() -> int:
    """Return how many processes torchrun started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def leads() -> bool:
    """Tell whether this process is the one that plans, prints and writes."""
    return int(os.environ.get("RANK", "0")) == 0


def train_together(runs: Sequence[RunSpec], root: Path, settings: Settings) -> bool:
    """Do the trainings of some runs in all of torchrun's processes.

    Parameters
    ----------
    runs
        The expanded grid, the same in every process.
    root
        Folder of the runs.
    settings
        How a stage runs: device, threads, precision switches.

    Returns
    -------
    bool
        Whether this process goes on: True in process 0 where nothing stopped and no training is left to be done.
        Its environment is then free of torchrun's variables.
    """
    tasks = build_tasks(runs)
    trainings = [task for task in tasks if task.stage.kind == "train"]
    group = join(local_device(settings.device))
    try:
        if leads():  # it alone looks what is done: hosts may see one disk differently
            save_plan(root, SavedPlan(tuple(runs), settings=settings))
            requeue_failed(trainings, Ledger(root, settings.lease), only_mendable=True)
            done = finished(tasks, root, pipeline.is_done)
            return _lead(trainings, done, root, settings, group)
        _follow(trainings, root, settings)
        return False
    finally:
        _end_group()


def _end_group() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    for name in _TORCHRUN:
        os.environ.pop(name, None)


def _broadcast(index: int | None) -> int | None:
    """Send the number of a training, or None for no more, from process 0 to all; return it."""
    message = [index]
    dist.broadcast_object_list(message, src=0)
    return message[0]


def _lead(trainings: Sequence[Task], done: set[str], root: Path, settings: Settings, group: Group) -> bool:
    stopping, failed = threading.Event(), threading.Event()
    for signum in _STOPS:
        signal.signal(signum, lambda *_: stopping.set())
    alone = real_pipeline(settings)
    index = {task.stage.key: number for number, task in enumerate(trainings)}

    def run_stage(stage: pipeline.Stage, out: Path, env: Environment) -> None:
        _broadcast(index[stage.key])
        try:
            with explain_lost_peers():
                alone.run_stage(stage, out, env)
        except Interrupted:
            stopping.set()
            raise
        except BaseException:  # the others may be waiting in the middle of a step: nothing can go on
            failed.set()
            stopping.set()
            raise

    shared = Stages(alone.is_done, run_stage, alone.environment)
    left = [task for task in trainings if task.id not in done]
    print(f"{len(left)} trainings, each by {group.world} processes", file=sys.stderr)
    Worker(left, root, settings, shared, _reporter(), stopping).run()
    if failed.is_set():
        os._exit(1)  # torchrun ends the others, and says so
    _broadcast(None)
    return not stopping.is_set() and not _some_left(left, root, settings)


def _some_left(trainings: Sequence[Task], root: Path, settings: Settings) -> bool:
    """Tell whether the local driver would train any of these alone: by one process it is slower, and another draw."""
    rows = survey(trainings, Ledger(root, settings.lease))
    return any(row.state != "done" and (row.state != "failed" or policy(row.kind).mendable) for row in rows)


def _reporter() -> Callable[[dict[str, Any]], None]:
    """Return a printer of a worker's events; while a stage runs, the usual streams go to its log."""
    channel = os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8")
    reported = 0.0

    def report(event: dict[str, Any]) -> None:
        nonlocal reported
        kind = event.pop("event")
        if kind == "progress":
            if time.monotonic() - reported < _REPORT_SECONDS:
                return
            reported = time.monotonic()
            loss = f", loss {event['loss']:.4f}" if "loss" in event else ""
            channel.write(f"step {event['step']} of {event['total']}{loss}\n")
        elif kind == "claimed":
            channel.write(f"{event['name']}\n")
        elif kind == "ended":
            message = f": {event['message']}" if "message" in event else ""
            channel.write(f"{event['outcome']} after {event['seconds']:.0f} s{message}\n")

    return report


def _follow(trainings: Sequence[Task], root: Path, settings: Settings) -> None:
    for signum in _STOPS:  # process 0 hears it and stops all at the same step
        signal.signal(signum, signal.SIG_IGN)
    set_threads(settings.threads)
    env = Environment.of(settings)
    with explain_lost_peers():
        while (number := _broadcast(None)) is not None:
            task = trainings[number]
            with contextlib.suppress(Interrupted), explain_failures("train", task.stage.spec, env):
                pipeline.train_along(task.stage, root, replace(env))
