"""What `ltbench status`, `retry`, `logs`, `reproduce` and `run --slurm` print."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING

from rich.live import Live
from rich.table import Table
from rich.text import Text

from ltbench.cli.console import make_console
from ltbench.cli.signals import heard
from ltbench.environment import Settings
from ltbench.errors import UsageError
from ltbench.runs.bundle import read_bundle
from ltbench.runs.places import bundles_in
from ltbench.runs.spec_files import check_specs
from ltbench.specs import RunSpec
from ltbench.sweep.ledger import Ledger
from ltbench.sweep.progress import describe
from ltbench.sweep.status import (
    Row,
    SavedPlan,
    closing_lines,
    counts,
    find_run,
    log_of,
    look,
    plans_of,
    requeue_failed,
    status_code,
    survey,
    tasks_of,
)
from ltbench.sweep.tasks import Task, build_tasks
from ltbench.text import command

if TYPE_CHECKING:
    from ltbench.study.file import Study
    from ltbench.sweep.slurm import SlurmOptions

WATCH_SECONDS = 2.0
console = make_console()
_COLOURS = {"done": "green", "running": "cyan", "stale": "yellow", "queued": "dim", "failed": "red"}


def draw(rows: Sequence[Row], everything: bool = False, failures: bool = True) -> Text:
    """Return a sweep's state: a line for what runs, is stale or failed, and with `everything` for the rest."""
    left_out = {"done", "queued"} if failures else {"done", "queued", "failed"}
    text = Text(no_wrap=True, overflow="ellipsis")
    for row in rows:
        if everything or row.state not in left_out:
            text.append(f"{row.state:8}", style=_COLOURS[row.state])
            text.append(f"{row.task.name}{_details(row)}\n")
    number = counts(rows)
    summary = ", ".join(f"{count} {state}" for state, count in number.items())
    return text.append(f"{summary} of {len(rows)} stages", style="bold")


def _details(row: Row) -> str:
    """Return who works on a stage and how far, or why it waits."""
    about = []
    if row.owner:
        job = f" job {row.owner['job']}" if "job" in row.owner else ""
        about.append(f"{row.owner['host']} pid {row.owner['pid']}{job}")
    if row.tries > 1 or row.kind:
        about.append(f"attempt {row.attempt}")
    state = [describe(row.progress)] if row.progress.get("total") else []
    if "beat" in row.progress:
        state.append(f"heartbeat {row.progress['beat']}")
    if row.kind or row.message:
        state.append(f"{row.kind}: {row.message}" if row.kind else row.message)
    return (f" ({', '.join(about)})" if about else "") + (f": {', '.join(state)}" if state else "")


def root_and_study(named: Path | None, out: Path, data_root: Path | None) -> tuple[Path, Study | None]:
    """Return the folder of runs and, where a study file or preset is named and not a folder, the study in it."""
    from ltbench.study.presets import preset_names

    if named is None or named.is_dir():
        return named or out, None
    if named.suffix.lower() != ".toml" and named.as_posix() not in preset_names():
        return named, None
    from ltbench.interop.networks import with_networks
    from ltbench.study.resolve import resolve_study

    study = resolve_study(str(named), data_root=data_root)
    plans_of(out)  # before networks are looked for: nothing may have been started there
    runs, _ = with_networks(study.runs, out, data_root, keep=False)
    return out, dataclasses.replace(study, runs=runs)


def _tasks(root: Path, study: Study | None) -> list[Task]:
    if study is None:
        return tasks_of(root)
    from ltbench.sweep.study_run import study_tasks

    return study_tasks(study, root)


def show_status(root: Path, watch: bool, everything: bool, study: Study | None = None) -> int:
    """Print the state of all sweeps in an output folder, or of one study, once or until all is done.

    Returns
    -------
    The exit code.
    """
    held = bundles_in(root)
    for path in held:
        console.print(_in_words(path), soft_wrap=True, markup=False)
    check_specs(root)
    try:
        tasks, ledger = _tasks(root, study), Ledger(root)
    except UsageError:
        if held:  # and no sweep was started beside it
            return 0
        raise
    rows = watch_tasks(tasks, ledger, everything) if watch else look(tasks, ledger)
    if not watch:
        console.print(draw(rows, everything, failures=False), soft_wrap=True)  # the last lines have them
    for line in closing_lines(rows, root, ledger)[1:]:
        console.print(line, soft_wrap=True)
    return status_code(rows)


def _in_words(bundle: Path) -> str:
    """Say what a bundle holds: it was finished when it was packed."""
    about = read_bundle(bundle).index
    return f"{bundle}: a bundle of {about.get('trainings')} trainings and {about.get('numbers')} numbers, all done"


def watch_tasks(
    tasks: Sequence[Task],
    ledger: Ledger,
    everything: bool = False,
    active: Callable[[], bool] = lambda: True,
) -> list[Row]:
    """Show tasks live until nothing can go on or `active` says no; Ctrl-C ends the watching only.

    On a terminal one table is redrawn; elsewhere a line is printed whenever the counts change.
    """
    rows = survey(tasks, ledger)
    shown: dict[str, int] = {}
    with Live(console=console, auto_refresh=False, transient=True) as live:
        try:
            while any(row.state in ("queued", "running", "stale") for row in rows) and active():
                if console.is_terminal:
                    live.update(draw(rows, everything), refresh=True)
                elif shown != (number := counts(rows)):
                    shown = {str(state): count for state, count in number.items()}
                    console.print(", ".join(f"{count} {state}" for state, count in number.items()))
                if not _can_go_on(rows):
                    break
                time.sleep(WATCH_SECONDS)
                rows = survey(tasks, ledger)
        except KeyboardInterrupt as stop:
            heard(stop)
    console.print(draw(rows, everything, failures=False), soft_wrap=True)
    return rows


def _can_go_on(rows: Sequence[Row]) -> bool:
    """Say whether anything is left that does not wait behind a failure."""
    blocked: set[str] = set()
    for row in rows:
        if row.state == "failed" or any(need in blocked for need in row.task.needs):
            blocked.add(row.task.id)
    return any(row.state != "done" and row.task.id not in blocked for row in rows)


def retry_failed(
    root: Path, start: bool, workers: str | None, study: Study | None = None, data_root: Path | None = None
) -> list[Row]:
    """Let what failed, of all or of one study, be tried again and, with `start`, do it here with local workers.

    A run is done as the newest plan that holds it says, but for what is given here.
    """
    plans, tasks, ledger = plans_of(root), _tasks(root, study), Ledger(root)
    again = requeue_failed(tasks, ledger)
    console.print(f"{len(again)} failed stages will be tried again")
    if not again:
        return survey(tasks, ledger)
    if not start:
        console.print("a running driver takes them up; without one: run the same command again")
        return survey(tasks, ledger)
    from ltbench.sweep.local import run_local

    ended: dict[str, Row] = {}
    for plan in _plans_again(plans, {task.id for task in again}, workers, data_root):
        rows = run_local(plan.runs, root, plan.settings, plan.workers, plan.title, console)
        ended |= {row.task.id: row for row in rows}
        if _can_go_on(rows):  # a person stopped it
            break
    return list(ended.values())


def _plans_again(
    plans: Sequence[SavedPlan], tasks: Set[str], workers: str | None, data_root: Path | None
) -> list[SavedPlan]:
    """Return plans of the runs that these tasks are of, one for all runs that are to run alike."""
    newest = {run.model_dump_json(): (run, plan) for plan in plans for run in plan.runs}
    alike: dict[tuple[Settings, str], list[RunSpec]] = {}
    for run, plan in newest.values():
        if tasks & {task.id for task in build_tasks([run])}:
            settings = (
                plan.settings
                if data_root is None
                else dataclasses.replace(plan.settings, data_root=data_root)
            )
            alike.setdefault((settings, workers or plan.workers), []).append(run)
    return [SavedPlan(tuple(runs), "retry", *how) for how, runs in alike.items()]


def show_logs(run: str, root: Path, lines: int | None) -> None:
    """Print what the stages of a run printed, attempt by attempt."""
    tasks = find_run(run, root, tasks_of(root))
    text = log_of(tasks, Ledger(root), lines)
    console.print(text or f"no attempt at {run} is recorded in {root}", highlight=False, soft_wrap=True)


def slurm_options(text: str, device: str | None = None, workers: str = "auto") -> SlurmOptions:
    """Return what ``--slurm`` asks for, so that a typo is told before anything else is done.

    Raises
    ------
    UsageError
        A mistake in it, or a flag beside it for what Slurm decides.
    """
    from ltbench.sweep.slurm import parse_slurm

    if device is not None:
        raise UsageError(
            "--slurm: a task uses the GPU that Slurm gives it, as by gpus_per_node=1, else the CPU: leave --device out"
        )
    if workers != "auto":
        raise UsageError(
            f"--slurm: each task is one worker: say tasks={workers} in it, and leave --workers out"
        )
    return parse_slurm(text)


def show_slurm_keys() -> None:
    """Print the keys of ``--slurm`` with their meaning."""
    from ltbench.sweep.slurm import KEYS

    table = Table("key", "what it is", box=None, header_style="bold")
    for key, meaning in KEYS.items():
        table.add_row(key, meaning)
    console.print(table)
    console.print(
        "for example: ltbench run -p STUDY --slurm partition=gpu,time=8h,gpus_per_node=1 (--dry-run shows the script)",
    )


def submit_and_follow(
    runs: Sequence[RunSpec], root: Path, settings: Settings, options: str, title: str
) -> list[Row]:
    """Submit a study to Slurm and show how it goes; Ctrl-C leaves the jobs running."""
    from ltbench.sweep import slurm

    jobs = slurm.submit(runs, root, settings, slurm.parse_slurm(options), title)
    if jobs:
        array = jobs[0].split("_")[0]
        console.print(f"submitted job array {array} with {len(jobs)} tasks (to cancel: scancel {array})")
        line = command("ltbench", "status", "--watch", "--out", root)
        console.print(f"this screen may be closed; to see it again: {line}", soft_wrap=True)
    ledger = Ledger(root, settings.lease)
    return watch_tasks(build_tasks(runs), ledger, active=lambda: slurm.active(jobs))


def show_reproduction(folder: Path, out: Path | None, settings: Settings, tolerance: float) -> bool:
    """Make a run again, print what agrees, and return whether it was reproduced."""
    from ltbench.sweep.reproduce import reproduce

    if not 0 < tolerance < float("inf"):
        raise UsageError(f"--tolerance {tolerance:g} must be above 0")
    target = out or Path("reproduced") / folder.name
    result = reproduce(folder, target, settings, tolerance, console)
    table = Table("artifact", "identical", "difference", "judged by", box=None, header_style="bold")
    for item in result.comparisons:
        rule = (
            "every bit" if not result.changed else f"{tolerance:g} relative" if item.judged else "not judged"
        )
        same = f"{item.identical:,} of {item.count:,}"
        table.add_row(item.what, same, f"{item.difference:.3g}", rule)
    console.print(table)
    for name in result.absent:
        console.print(f"not kept in the recorded run: {name}")
    if result.changed:
        console.print("another class of machine: " + "; ".join(result.changed))
    for text in result.unmatched:
        console.print(f"not compared: {text}", soft_wrap=True)
    held = "to the last bit" if not result.changed else f"within {tolerance:g}"
    verdict = f"reproduced {held}" if result.reproduced else f"NOT reproduced {held}"
    if result.unmatched and result.reproduced:
        verdict += ", as far as it was compared"
    console.print(f"{verdict}: {folder} again in {target}")
    return result.reproduced
