"""Status of a sweep: from its plans and claims to a row a stage, closing lines, exit codes, logs and retries."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ltbench import pipeline
from ltbench.environment import Settings
from ltbench.errors import CheckpointError, UsageError, nearest
from ltbench.files import read_object, write_json
from ltbench.specs import KEY_BASE, RunSpec
from ltbench.sweep.failures import KILLED, policy
from ltbench.sweep.ledger import CUT_SHORT_SECONDS, Ledger
from ltbench.sweep.standing import State
from ltbench.sweep.tasks import Task, build_tasks, finished
from ltbench.text import command

_TAIL_LINES = 4  # of a failed attempt's log, that are shown
_REASONS = 20  # why stages failed, that the last lines tell
_SILENT_FOR = 5 * 60.0  # seconds without a heartbeat, by its file's time, after which a person is told so


# --- plans ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SavedPlan:
    """The runs somebody asked for, as kept in the output folder.

    Attributes
    ----------
    runs
        The expanded grid.
    title
        The study's title.
    settings
        How the workers were to run.
    workers
        ``auto`` or the number of local worker processes.
    """

    runs: tuple[RunSpec, ...]
    title: str = ""
    settings: Settings = field(default_factory=Settings)
    workers: str = "auto"


def save_plan(root: Path, plan: SavedPlan) -> Path:
    """Write a plan below the output folder; the same runs are one file."""
    runs = [_content(run) for run in plan.runs]
    digest = hashlib.sha256(json.dumps(runs, sort_keys=True).encode()).hexdigest()[:16]
    path = root / ".sweep" / "plans" / f"{digest}.json"
    settings = {**plan.settings.as_json(), "workers": plan.workers}
    write_json(path, {"title": plan.title, "settings": settings, "runs": runs})
    return path


def _content(run: RunSpec) -> dict[str, Any]:
    """Return what a saved plan says of a run: also defaults that have changed, so that it means one thing."""
    content = run.model_dump(mode="json", exclude_defaults=True)
    content["sample"] = content.get("sample", {}) | {name: getattr(run.sample, name) for name in KEY_BASE}
    return content


def load_plan(path: Path) -> SavedPlan:
    """Read a plan.

    Raises
    ------
    CheckpointError
        The file is cut, or of another version.
    """
    content = read_object(path)
    runs, title, settings = (content.get(key) for key in ("runs", "title", "settings"))
    try:
        if not (isinstance(runs, list) and isinstance(title, str) and isinstance(settings, dict)):
            raise ValueError("it lacks runs, title or settings")
        workers = str(settings.get("workers", "auto"))
        known = Settings.from_json(settings)
        return SavedPlan(tuple(RunSpec.stored(run) for run in runs), title, known, workers)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{path} is no plan of a sweep ({reason}): delete it and run again") from error


def plans_of(root: Path) -> list[SavedPlan]:
    """Return every plan that was ever started in an output folder, the oldest first.

    Raises
    ------
    UsageError
        Nothing was.
    """
    paths = sorted((root / ".sweep" / "plans").glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
    if not paths:
        raise UsageError(f"no sweep was started in {root}: name the folder of runs, as `run` did by --out")
    return [load_plan(path) for path in paths]


def tasks_of(root: Path) -> list[Task]:
    """Return the tasks of all plans of an output folder."""
    return build_tasks(run for plan in plans_of(root) for run in plan.runs)


# --- the survey ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """The state of one task.

    Attributes
    ----------
    state
        Queued, running, done, failed or stale.
    attempt
        Number of its last attempt at its resource, which names the log; 0 before the first.
    tries
        How many attempts there were at the task itself, where one runs.
    silence
        Seconds since the heartbeat of the attempt that runs, by the clocks of two machines.
    owner
        Host, pid and Slurm job of the attempt that runs, else empty.
    progress
        Step, total, loss, rate and heartbeat of the attempt that runs.
    kind, message
        Class and sentence of the last failure; for a queued task also what it waits for.
    """

    task: Task
    state: State
    attempt: int = 0
    owner: dict[str, Any] = field(default_factory=dict)
    progress: dict[str, Any] = field(default_factory=dict)
    kind: str = ""
    message: str = ""
    tries: int = 0
    silence: float | None = None

    @property
    def abandoned(self) -> bool:
        """Whether it looks as if its worker were gone without anybody here being able to know it."""
        return self.state == "running" and (self.silence or 0.0) > _SILENT_FOR


def survey(tasks: Sequence[Task], ledger: Ledger) -> list[Row]:
    """Return the state of every task; `ledger` remembers heartbeats from one call to the next."""
    claimed = ledger.claimed()
    done = finished(tasks, ledger.root, pipeline.is_done)
    rows: list[Row] = []
    undone: dict[str, Row] = {}
    for task in tasks:
        if task.id in done:
            rows.append(Row(task, "done"))
            continue
        row = _undone(task, ledger, task.resource in claimed)
        before = next((undone[need] for need in task.needs if need in undone), None)
        if row.state == "queued" and before is not None:
            why = ", which failed" if before.state == "failed" else ""
            message = before.message if before.state == "queued" and "failed" in before.message else ""
            row = Row(task, "queued", row.attempt, message=message or f"waits for {before.task.name}{why}")
        undone[task.id] = row
        rows.append(row)
    return rows


def _undone(task: Task, ledger: Ledger, claimed: bool) -> Row:
    if not claimed:
        return Row(task, "queued")
    now = ledger.standing(task)
    if now.state in ("running", "stale") and now.holder is not None:
        held = now.holder
        tries = ledger.tries(task) + (held.task == "")
        return Row(task, now.state, held.number, held.owner, held.progress, tries=tries, silence=held.silence)
    return Row(task, now.state, now.attempt, kind=now.kind, message=now.message)


def look(tasks: Sequence[Task], ledger: Ledger) -> list[Row]:
    """Return a survey that has waited, where it must, to see whether a claim without an owner was cut short."""
    rows = survey(tasks, ledger)
    until = time.monotonic() + 3 * CUT_SHORT_SECONDS
    while any(row.state == "running" and not row.owner for row in rows) and time.monotonic() < until:
        time.sleep(CUT_SHORT_SECONDS / 4)
        rows = survey(tasks, ledger)
    return rows


def counts(rows: Iterable[Row]) -> dict[State, int]:
    """Return how many tasks are in each state, those without any left out."""
    number = Counter(row.state for row in rows)
    order: tuple[State, ...] = ("done", "running", "stale", "queued", "failed")
    return {state: number[state] for state in order if number[state]}


def closing_lines(rows: Sequence[Row], root: Path, ledger: Ledger | None = None) -> list[str]:
    """Return the sweep's last lines: what is done, what failed and why, what to type next.

    Stages that failed for one reason are one entry. With a `ledger`, a worker that was ended from outside leaves the
    last lines of its log; other failures are told whole by their sentence.
    """
    number = counts(rows)
    lines = [", ".join(f"{count} {state}" for state, count in number.items()) + f" of {len(rows)} stages"]
    failed = [row for row in rows if row.state == "failed"]
    reasons: dict[tuple[str, str], list[Row]] = {}
    for row in failed:
        reasons.setdefault((row.kind, row.message), []).append(row)
    for (kind, message), alike in list(reasons.items())[:_REASONS]:
        first = alike[0]
        others = f" and {len(alike) - 1} more" if len(alike) > 1 else ""
        lines.append(f"failed: {first.task.name}{others} ({kind}, attempt {first.attempt}): {message}")
        if ledger is not None and kind == KILLED:
            lines.extend(f"  | {line}" for line in tail(first, ledger))
        lines.append(f"  {policy(kind).advice}")
    if len(reasons) > _REASONS:
        status = command("ltbench", "status", "--all", "--out", root)
        lines.append(f"... and {len(reasons) - _REASONS} other reasons: {status}")
    if failed:
        waiting = sum(1 for row in rows if row.state == "queued")
        behind = f" ({waiting} queued stages wait behind them)" if waiting else ""
        name = failed[0].task.stage.folder.name
        lines.append(f"to see why: {command('ltbench', 'logs', name, '--out', root)}")
        again = command("ltbench", "retry", "--failed", "--out", root)
        lines.append(f"then, to try them again: {again}{behind}")
    elif not number.get("running") and (number.get("queued") or number.get("stale")):
        lines.append("run the same command again to go on")
    lines.extend(
        f"no heartbeat for {(row.silence or 0) / 60:.0f} min: {row.task.name}; if its machine is down, run the "
        "same command again: it takes the stage over after a minute of silence"
        for row in rows
        if row.abandoned
    )
    return lines


def tail(row: Row, ledger: Ledger) -> list[str]:
    """Return the last lines that a task's last attempt printed."""
    log = ledger.folder / row.task.resource / f"{row.attempt}.log"
    return (
        log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:] if log.exists() else []
    )


def exit_code(rows: Sequence[Row]) -> int:
    """Return 0 where all is done, 1 where something failed, 130 where work is left."""
    if any(row.state == "failed" for row in rows):
        return 1
    return 0 if all(row.state == "done" for row in rows) else 130


def status_code(rows: Sequence[Row]) -> int:
    """Return 1 where something needs a person: it failed, or its worker is gone and nobody goes on with it."""
    if any(row.state == "failed" or row.abandoned for row in rows):
        return 1
    at_work = any(row.state == "running" for row in rows)
    return int(not at_work and any(row.state == "stale" for row in rows))


def requeue_failed(tasks: Sequence[Task], ledger: Ledger, only_mendable: bool = False) -> list[Task]:
    """Let failed tasks be tried again; return them.

    Parameters
    ----------
    tasks
        Those of the sweep.
    ledger
        Their attempts.
    only_mendable
        Leave those whose cause is in spec or code, which trying again cannot mend.
    """
    rows = [row for row in look(tasks, ledger) if row.state == "failed"]
    mendable = [row.task for row in rows if not only_mendable or policy(row.kind).mendable]
    return [task for task in mendable if ledger.requeue(task)]


# --- logs ----------------------------------------------------------------------------------------------


def find_run(name: str, root: Path, tasks: Sequence[Task]) -> list[Task]:
    """Return the tasks of the run a person names: its folder, a path to it, or its key's eight digits.

    Raises
    ------
    UsageError
        No run of that name in the folder.
    """
    run = Path(name).name
    folders = {task.stage.folder.name for task in tasks}
    chosen = [folder for folder in folders if folder == run or folder.endswith(f"-{run}")]
    if not chosen:
        raise UsageError(f"no run {name!r} in {root}{nearest(run, folders)}")
    return [task for task in tasks if task.stage.folder.name in chosen]


def log_of(tasks: Sequence[Task], ledger: Ledger, lines: int | None = None) -> str:
    """Return what the attempts at some tasks printed, each under a line that says which and how it ended.

    Parameters
    ----------
    tasks
        The tasks, in the order to print.
    ledger
        Their attempts and logs.
    lines
        Keep only so many last lines of each attempt; None: all.
    """
    parts = []
    for resource in dict.fromkeys(task.resource for task in tasks):
        for attempt in ledger.attempts(resource):
            end = attempt.end or {}
            how = end.get("outcome", "running")
            why = f" ({end['kind']}): {end.get('message', '')}" if end.get("kind") else ""
            who = f"{attempt.owner.get('host', '?')} pid {attempt.owner.get('pid', '?')}"
            parts.append(f"== {resource} attempt {attempt.number}, {who}: {how}{why}")
            log = ledger.folder / resource / f"{attempt.number}.log"
            text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
            shown = text.splitlines()[-(lines or 0) :]
            parts.extend(shown)
    return "\n".join(parts)
