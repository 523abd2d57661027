"""Runs -> tasks: every stage once, with the tasks it needs and the folder that only one worker may write."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ltbench.pipeline import Stage, stages
from ltbench.runs.progress import needed_snapshots
from ltbench.specs import RunSpec


@dataclass(frozen=True)
class Task:
    """One stage of a sweep.

    Attributes
    ----------
    stage
        What to do; runs that share its product share the task.
    resource
        Name of what it writes. Two tasks with one resource never run at once: a longer training
        continues a shorter one's folder, and two sets of scores go into one file.
    needs
        Ids of the tasks that must be done before it.
    """

    stage: Stage
    resource: str
    needs: tuple[str, ...]

    @property
    def id(self) -> str:
        """The stage's kind and key."""
        return task_id(self.stage)

    @property
    def name(self) -> str:
        """What a person calls it: stage and folder."""
        return f"{self.stage.kind} {label(self.stage)}"


def task_id(stage: Stage) -> str:
    """Return the id of a stage: equal for stages with one product."""
    return f"{stage.kind}-{stage.key}"


def label(stage: Stage) -> str:
    """Return the folder of a stage's product, relative to the output root."""
    return str(written_folder(stage))


def written_folder(stage: Stage) -> Path:
    """Return the folder a stage writes, relative to the output root."""
    if stage.kind == "train":
        return stage.folder
    return stage.folder / "probes" if stage.kind == "probe" else stage.sample_folder


def build_tasks(runs: Iterable[RunSpec]) -> list[Task]:
    """Return the tasks of all runs, each once, those it needs before it.

    Trainings of one folder follow one another, the shortest first; the snapshots that different runs ask of
    one training are made together.
    """
    planned = [stages(run) for run in runs]
    trainings: dict[Path, dict[int, list[Stage]]] = {}
    for stage in (stage for run in planned for stage in run if stage.kind == "train"):
        trainings.setdefault(stage.folder, {}).setdefault(stage.spec.train.steps, []).append(stage)
    tasks: dict[str, Task] = {}
    for run in planned:
        before: tuple[str, ...] = ()
        for stage in run:
            if stage.kind == "train":
                if task_id(stage) not in tasks:
                    _add_trainings(tasks, trainings[stage.folder], stage.spec.train.steps)
                train = before = (task_id(stage),)
                continue
            needs = train if stage.kind == "probe" else before
            tasks.setdefault(task_id(stage), Task(stage, _resource(stage), needs))
            before = (task_id(stage),)
    return list(tasks.values())


def finished(tasks: Sequence[Task], root: Path, is_done: Callable[[Stage, Path], bool]) -> set[str]:
    """Return the ids of the tasks that need no doing: their product is there, or all that is made from it is.

    So the weights and images of a finished study may be deleted, and one that comes from a repository
    without them is not trained again.

    Parameters
    ----------
    tasks
        As `build_tasks` returns them, those a task needs before it.
    root
        Folder of the runs.
    is_done
        As `ltbench.pipeline.is_done`.
    """
    later: dict[str, list[str]] = {}
    for task in tasks:
        for need in task.needs:
            later.setdefault(need, []).append(task.id)
    out: set[str] = set()
    for task in reversed(tasks):
        made_from_it = later.get(task.id)
        if (made_from_it and out.issuperset(made_from_it)) or is_done(task.stage, root):
            out.add(task.id)
    return out


def _add_trainings(tasks: dict[str, Task], by_steps: dict[int, list[Stage]], last: int) -> None:
    needs: tuple[str, ...] = ()
    for steps in sorted(steps for steps in by_steps if steps <= last):
        stage = _with_all_snapshots(by_steps[steps])
        tasks.setdefault(task_id(stage), Task(stage, _resource(stage), needs))
        needs = (task_id(stage),)


def _with_all_snapshots(same: Sequence[Stage]) -> Stage:
    first = same[0]
    snapshots = tuple(sorted({step for stage in same for step in needed_snapshots(stage.spec)}))
    if snapshots == first.spec.train.snapshots:
        return first
    train = first.spec.train.model_copy(update={"snapshots": snapshots})
    return Stage(first.kind, first.spec.model_copy(update={"train": train}), first.key, first.folder)


def _resource(stage: Stage) -> str:
    name = str(written_folder(stage)).replace("/", "--")
    return f"{name}--scores" if stage.kind == "score" else name
