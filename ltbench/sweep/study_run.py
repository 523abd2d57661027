"""A study done in a folder of runs: planned, trained, tuned where it tunes, and how its stages ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from ltbench import pipeline
from ltbench.environment import Settings
from ltbench.errors import Interrupted
from ltbench.files import ensure_writable
from ltbench.specs import RunSpec
from ltbench.study import selection
from ltbench.study.file import Study
from ltbench.study.selection import Choice
from ltbench.sweep import cost, local
from ltbench.sweep.cost import Plan
from ltbench.sweep.status import Row, exit_code
from ltbench.sweep.tasks import Task, build_tasks, finished

Driver = Callable[[Sequence[RunSpec]], list[Row]]


def study_tasks(study: Study, out: Path) -> list[Task]:
    """Return a study's stages in a folder of runs; of one that tunes its trials and, once these are scored, the rest."""
    if study.select is None:
        return build_tasks(study.runs)
    trials = selection.trials(study.runs, study.select)
    tasks = build_tasks(trials)
    if len(finished(tasks, out, pipeline.is_done)) < len(tasks):
        return tasks
    choices = selection.choose(trials, study.select, out)
    return build_tasks([*trials, *selection.reported(choices, study.select)])


@dataclass(frozen=True)
class StudyOutcome:
    """How a study's stages ended.

    Attributes
    ----------
    rows
        The last state of every stage.
    """

    rows: tuple[Row, ...]

    @property
    def code(self) -> int:
        """The exit code: 0 where all is done."""
        return exit_code(self.rows)

    @property
    def stopped(self) -> bool:
        """Whether it was stopped softly and can go on."""
        return self.code == Interrupted.exit_code

    @property
    def scored(self) -> bool:
        """Whether a report has anything to show."""
        return any(row.state == "done" and row.task.stage.kind == "score" for row in self.rows)

    @property
    def failures(self) -> tuple[str, ...]:
        """A sentence for each stage that failed."""
        return tuple(f"{row.task.name}: {row.message}" for row in self.rows if row.state == "failed")

    @property
    def trainings(self) -> tuple[RunSpec, ...]:
        """The spec of each training, in the order of the study."""
        return tuple(row.task.stage.spec for row in self.rows if row.task.stage.kind == "train")


@dataclass(frozen=True)
class StudyRun:
    """A study that is about to be done in a folder.

    Attributes
    ----------
    study
        What to run.
    out
        Folder of the runs.
    settings
        How its stages run: device, threads, speed.
    workers
        ``auto`` or the number of local worker processes.
    networks
        Other runs' networks that images are guided away from, by hash.
    """

    study: Study
    out: Path
    settings: Settings
    workers: str = "auto"
    networks: Mapping[str, RunSpec] = field(default_factory=dict)

    @property
    def first(self) -> tuple[RunSpec, ...]:
        """The runs that are done first: the trials of a study that tunes (``[select]``), else all."""
        study = self.study
        return study.runs if study.select is None else selection.trials(study.runs, study.select)

    def plan(self, need_files: bool = True) -> Plan:
        """Check every run and estimate its cost on this machine, trials and what follows them.

        Parameters
        ----------
        need_files
            False: plan without data files too; what is missing is named in the plan.
        """
        study = self.study
        runs = study.runs if study.select is None else selection.planned(study.runs, study.select)
        device = self.settings.device
        count = len(local.slots(self.workers, device, threads=1, width=1_000_000))
        root = self.settings.data_root
        return cost.make_plan(runs, self.out, root, device, count, need_files, self.networks)

    def locally(self, console: Console | None) -> Driver:
        """Return what does runs with local workers; `console` shows their progress."""

        def drive(runs: Sequence[RunSpec]) -> list[Row]:
            return local.run_local(runs, self.out, self.settings, self.workers, self.study.title, console)

        return drive

    def execute(
        self, drive: Driver, chosen: Callable[[Sequence[Choice], Path], None] = lambda *_: None
    ) -> StudyOutcome:
        """Do the study's runs.

        A study that tunes has its trials done, its choice made and kept as CSV, and then what is to be reported
        done.

        Parameters
        ----------
        drive
            Does all stages of some runs, here (`locally`) or on a cluster.
        chosen
            Told the choices and where their curves are kept.
        """
        study = self.study
        ensure_writable(self.out)
        rows = drive(self.first)
        if study.select is None or exit_code(rows):
            return StudyOutcome(tuple(rows))
        choices = selection.choose(self.first, study.select, self.out)
        path = self.out / "selection" / f"{study.source.stem if study.source else 'study'}.csv"
        selection.write_curves(choices, study.select, path)
        chosen(choices, path)
        return StudyOutcome(tuple(drive(selection.reported(choices, study.select))))
