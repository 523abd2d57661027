"""Sweeps on a Slurm cluster: a job array whose tasks claim and do stages until none is left or time runs out.

Nothing is handed from the driver to the tasks but the plan's file, so the driver may go away. Slurm warns a
task with SIGUSR2 some time before its limit (``scancel --signal=USR2`` does the same): the worker stops at the
next checkpoint and the task asks to be requeued. SIGTERM (preemption, ``scancel``) only stops it softly:
Slurm itself requeues what it preempted, and what a person cancelled stays cancelled.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any

from ltbench.environment import Settings
from ltbench.errors import LtbenchError, UsageError, nearest
from ltbench.specs import RunSpec
from ltbench.sweep.failures import TIME_OUT
from ltbench.sweep.ledger import Ledger
from ltbench.sweep.status import SavedPlan, load_plan, requeue_failed, save_plan, survey
from ltbench.sweep.tasks import build_tasks
from ltbench.sweep.worker import Stages, Worker, real_pipeline
from ltbench.text import whole_number

_DEFAULT_TASKS, _MOST_TASKS = 64, 1024  # of a job array
_EARLY = 60  # seconds by which Slurm may warn a task before its time, see sbatch --signal
_OWN = {
    "time": "limit of a task: 90m, 8h, 2d or D-HH:MM:SS; default 1h. A task that runs out of it is requeued",
    "tasks": f"size of the job array, up to {_MOST_TASKS}; default: one a training that is left, at most {_DEFAULT_TASKS}",
    "parallel": "tasks at once; default: all",
    "warn": "seconds before the limit at which a task saves and is requeued; default 120",
}
_SBATCH = {
    "partition": "as sbatch --partition",
    "account": "as sbatch --account",
    "qos": "as sbatch --qos",
    "constraint": "as sbatch --constraint",
    "exclude": "nodes to leave out: exclude=n1,n2",
    "nodelist": "nodes to use: nodelist=n1,n2",
    "gres": "generic resources: gres=gpu:a100:1",
    "mem": "memory of a node: mem=32G",
    "mem_per_cpu": "memory of a core",
    "mem_per_gpu": "memory of a GPU's task",
    "cpus_per_task": "cores of a task",
    "gpus_per_node": "GPUs of a task; a worker uses one",
    "exclusive": "exclusive=user: share no node",
}
KEYS = {**_OWN, **_SBATCH}  # what ``--slurm`` may say, and what it means
_LISTS = ("exclude", "nodelist", "gres")  # whose values may hold commas


class SlurmError(LtbenchError):
    """Slurm is not there or refused the job."""

    kind = "slurm"


@dataclass(frozen=True)
class SlurmOptions:
    """What ``--slurm`` asks for.

    Attributes
    ----------
    minutes
        Time limit of a task.
    tasks
        Size of the job array; None: one a training that is left, at most 64.
    parallel
        Tasks at once; None: all.
    warn
        Seconds before the limit at which a task is told to save and requeue.
    sbatch
        Further options, as sbatch spells them with _ for -.
    """

    minutes: int = 60
    tasks: int | None = None
    parallel: int | None = None
    warn: int = 120
    sbatch: dict[str, str] = field(default_factory=dict)


def parse_slurm(text: str) -> SlurmOptions:
    """Read ``partition=gpu,time=8h,gpus_per_node=1,exclude=n1,n2``.

    Raises
    ------
    UsageError
        A key that is not in `KEYS`, a value that cannot be read, or a task that would be warned at its start.
    """
    if not text.isprintable():  # a line break in a value would be a line of the job's script
        raise UsageError(f"--slurm {text!r} holds control characters: write it as partition=gpu,time=8h")
    given: dict[str, str] = {}
    key = ""
    for entry in filter(None, (part.strip() for part in text.split(","))):
        before, (key, equals, value) = key, entry.partition("=")
        key = key.strip().lstrip("-").replace("-", "_")
        if not equals and before in _LISTS:  # one more of a list
            key, given[before] = before, f"{given[before]},{entry}"
            continue
        if not equals or not value.strip():
            raise UsageError(f"--slurm {entry}: write it as KEY=VALUE, as in partition=gpu,time=8h")
        if key not in KEYS:
            raise UsageError(f"--slurm: unknown key {key!r}{nearest(key, KEYS)}; `--slurm help` lists them")
        given[key] = value.strip()
    minutes = _minutes(given.get("time", "1h"))
    warn = _number("warn", given.get("warn")) or SlurmOptions.warn
    if warn + _EARLY >= minutes * 60:
        raise UsageError(
            f"--slurm time={minutes}m: a task is warned {warn} s before its limit, and up to {_EARLY} s earlier, so that "
            f"it would do nothing and be requeued for ever: allow at least time={(warn + _EARLY) // 60 + 1}m"
        )
    tasks = _number("tasks", given.get("tasks"))
    if (tasks or 0) > _MOST_TASKS:
        raise UsageError(
            f"--slurm tasks={tasks}: an array has at most {_MOST_TASKS} tasks, each does many stages"
        )
    return SlurmOptions(
        minutes=minutes,
        tasks=tasks,
        parallel=_number("parallel", given.get("parallel")),
        warn=warn,
        sbatch={key: value for key, value in given.items() if key not in _OWN},
    )


def _minutes(text: str) -> int:
    """Read ``90`` (minutes), ``90m``, ``8h``, ``2d``, ``HH:MM:SS`` or ``D-HH:MM:SS``."""
    if match := re.fullmatch(r"([0-9]{1,7})([mhd]?)", text):
        minutes = int(match[1]) * {"": 1, "m": 1, "h": 60, "d": 1440}[match[2]]
    elif match := re.fullmatch(r"(?:([0-9]{1,4})-)?([0-9]{1,4}):([0-9]{2}):([0-9]{2})", text):
        days, hours, rest, seconds = (int(part or 0) for part in match.groups())
        minutes = days * 1440 + hours * 60 + rest + (seconds > 0)
    else:
        raise UsageError(f"--slurm time={text}: write 90m, 8h, 2d or D-HH:MM:SS")
    if minutes < 1:
        raise UsageError(f"--slurm time={text}: must be at least a minute")
    return minutes


def _number(key: str, text: str | None) -> int | None:
    if text is None:
        return None
    if not (number := whole_number(text)):
        raise UsageError(f"--slurm {key}={text}: must be a whole number from 1")
    return number


# --- the driver's side ---------------------------------------------------------------------------------


def submit(
    runs: Sequence[RunSpec],
    root: Path,
    settings: Settings,
    options: SlurmOptions,
    title: str = "",
    make_pipeline: Callable[[Settings], Stages] = real_pipeline,
) -> list[str]:
    """Submit a job array that does all stages of some runs; return the ids of its tasks, none if all is done.

    Raises
    ------
    SlurmError
        There is no Slurm here, or it refuses the job.
    """
    if shutil.which("sbatch") is None:
        raise SlurmError("--slurm needs the command sbatch: run on a machine that can submit Slurm jobs")
    submitit = _submitit()
    root = root.resolve()
    tasks = build_tasks(runs)
    ledger = Ledger(root, settings.lease)
    plan = save_plan(root, SavedPlan(tuple(runs), title, settings))
    requeue_failed(tasks, ledger, only_mendable=True)
    left = {row.task.stage.folder for row in survey(tasks, ledger) if row.state not in ("done", "failed")}
    if not left:
        return []
    count = _array_size(options, len(left))
    executor = submitit.SlurmExecutor(folder=root / ".sweep" / "slurm", python=_python())
    executor.update_parameters(**_parameters(options, count))
    try:
        with executor.batch():
            task = SlurmTask(root, plan, settings, options.warn, make_pipeline)
            jobs = [executor.submit(task) for _ in range(count)]
    except (submitit.core.utils.FailedJobError, subprocess.CalledProcessError) as error:
        lines = str(getattr(error, "stderr", None) or error).strip().splitlines()
        raise SlurmError(f"Slurm refused the job: {lines[-1] if lines else 'without saying why'}") from error
    return [job.job_id for job in jobs]


def _submitit() -> Any:
    """Return the library that speaks to Slurm, or say how to get it."""
    try:
        import submitit
    except ImportError as error:
        raise SlurmError("--slurm needs submitit: pip install 'ltbench[slurm]'") from error
    return submitit


def _python() -> str:
    """Return how a task starts Python: -P imports nothing from the current folder."""
    return f"{shlex.quote(sys.executable)} -P"


def _array_size(options: SlurmOptions, left: int) -> int:
    return options.tasks or min(left, _DEFAULT_TASKS)


def _parameters(options: SlurmOptions, count: int) -> dict[str, Any]:
    """Return what submitit is told of a job array."""
    more = {key.replace("_", "-"): value for key, value in options.sbatch.items()}
    return {
        "job_name": "ltbench",
        "time": options.minutes,
        "signal_delay_s": options.warn,
        "array_parallelism": options.parallel or count,
        "additional_parameters": {"requeue": True, **more},
    }


def batch_script(runs: Sequence[RunSpec], root: Path, options: SlurmOptions) -> str:
    """Return the script that `submit` would hand to sbatch; needs no Slurm and writes nothing.

    It counts every stage as left, as in an empty output folder.
    """
    submitit = _submitit()

    class OnPaper(submitit.SlurmExecutor):  # type: ignore[name-defined, misc]
        @classmethod
        def affinity(cls) -> int:
            return 1  # no Slurm is needed to write a script

    count = _array_size(options, len({task.stage.folder for task in build_tasks(runs)}))
    executor = OnPaper(folder=root.resolve() / ".sweep" / "slurm", python=_python())
    executor.update_parameters(**_parameters(options, count))
    if count > 1:
        executor.parameters["map_count"] = count
    return str(executor._make_submission_file_text(executor._submitit_command_str, "dry-run"))


def active(jobs: Iterable[str]) -> bool:
    """Say whether any of these jobs is still queued or running."""
    arrays = {job.split("_")[0] for job in jobs}
    if not arrays:
        return False
    command = ["squeue", "--noheader", "--format=%F", "--me"]
    queue = subprocess.run(command, capture_output=True, text=True, check=False)
    return queue.returncode != 0 or bool(arrays & set(queue.stdout.split()))


# --- the task's side -----------------------------------------------------------------------------------


@dataclass
class SlurmTask:
    """One task of the array; submitit pickles it and calls it on the node."""

    root: Path
    plan: Path
    settings: Settings
    warn: int
    make_pipeline: Callable[[Settings], Stages]

    def __call__(self) -> str:
        """Work until nothing is left (``finished``) or a signal stops it; then say which."""
        stopping, warned = threading.Event(), threading.Event()
        settings = _on_this_node(self.settings)
        tasks = build_tasks(load_plan(self.plan).runs)
        worker = Worker(tasks, self.root, settings, self.make_pipeline(settings), _say, stopping)

        def last_resort() -> None:
            """Requeue although the stage is still busy: it cannot stop in time, and is told so."""
            if worker.lease is not None:
                with contextlib.suppress(LtbenchError):
                    worker.lease.end(
                        "failed", kind=TIME_OUT, message="it could not be stopped before the time limit"
                    )
            _requeue()

        def on_signal(number: int, _: FrameType | None) -> None:
            stopping.set()
            if number == signal.SIGUSR2 and not warned.is_set():
                warned.set()
                timer = threading.Timer(max(1.0, self.warn * 0.75), last_resort)
                timer.daemon = True
                timer.start()

        signal.signal(signal.SIGUSR2, on_signal)
        signal.signal(signal.SIGTERM, on_signal)
        worker.run()
        if warned.is_set() or worker.must_restart:
            raise SystemExit(0 if _requeue() else 1)  # Slurm ends the rest of the task
        return "stopped" if stopping.is_set() else "finished"


def _on_this_node(settings: Settings) -> Settings:
    """Use the GPU that Slurm gave to this task, and all of its cores where it has none."""
    cores = int(os.environ.get("SLURM_CPUS_PER_TASK", "0"))
    slurms = os.environ.get("SLURM_STEP_GPUS") or os.environ.get("SLURM_JOB_GPUS", "")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", slurms)  # where it is set, PyTorch sees no others
    given = re.match(r"[0-9]|GPU-|MIG-", visible.strip())  # not -1 or NoDevFiles, which hide all
    return replace(settings, device="cuda" if given else "cpu", threads=cores or settings.threads)


def _say(event: dict[str, Any]) -> None:
    if event["event"] in ("claimed", "ended", "trouble"):
        print(event, flush=True)


def _requeue() -> bool:
    """Ask Slurm to run this task again from the start, and return whether it will; what is done is on disk."""
    array, index = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    job = f"{array}_{index}" if array and index else os.environ["SLURM_JOB_ID"]
    print(f"requeueing {job}", flush=True)
    command = ["scontrol", "requeue", job]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        if done.returncode <= 0:  # below: ended by Slurm, with the rest of the task
            return True
        why = done.stderr.strip()
    except (subprocess.TimeoutExpired, OSError) as error:
        why = str(error)
    print(f"{job} was not requeued: {why}; run the same command again to go on", flush=True)
    return False
