"""Scores over a training: from a run to its snapshots' own runs, from their scores to a curve and the step it would choose.

``score.snapshot_images`` has every snapshot sampled and scored against the first half of the reference. A step chosen
by such a curve is a selection: it is reported with other images, against the second half.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ltbench.errors import UsageError
from ltbench.runs.layout import SCORES, folder_name, sample_folder
from ltbench.runs.scores import read_scores
from ltbench.specs import RunSpec


@dataclass(frozen=True)
class Curve:
    """One training's Frechet distance at its snapshots.

    Attributes
    ----------
    run
        Name of the training's folder.
    points
        (step, value), steps ascending.
    images
        Generated images behind each value.
    """

    run: str
    points: tuple[tuple[int, float], ...]
    images: int

    @property
    def best(self) -> int:
        """The step of the smallest value; the earliest of equal ones."""
        return min(self.points, key=lambda point: (point[1], point[0]))[0]


def snapshot_curves(runs: Sequence[RunSpec], root: Path) -> list[Curve]:
    """Return a curve for every training whose snapshots were scored, in the order of the runs."""
    curves: dict[tuple[str, str], dict[int, tuple[float, int]]] = {}
    for run in runs:
        path = root / sample_folder(run) / SCORES
        if run.score.reference_half != "first" or not path.exists():
            continue
        table = read_scores(path)
        rows = table[(table["metric"] == "frechet") & (table["scope"] == "overall")]
        if rows.empty:
            continue
        row = rows.iloc[0]
        key = (folder_name(run), run.sample.model_dump_json())
        curves.setdefault(key, {})[run.train.steps] = float(row["value"]), int(row["n_generated"])
    return [
        Curve(
            name,
            tuple((step, value) for step, (value, _) in sorted(points.items())),
            next(iter(points.values()))[1],
        )
        for (name, _), points in curves.items()
        if len(points) > 1
    ]


def with_snapshots(run: RunSpec) -> list[RunSpec]:
    """Return the run, and before it one of few images at each snapshot where ``score.snapshot_images`` asks for it.

    They are prefixes of the same training, so it is trained once; only sampling and scoring come on top. Their
    reference is its first half: who chooses a step by them can report on the second.

    Raises
    ------
    UsageError
        Images at snapshots, and no snapshots.
    """
    count = run.score.snapshot_images
    if not count:
        return [run]
    if not run.train.snapshots:
        raise UsageError(
            "score.snapshot_images scores the snapshots of a training: name some, as in --set train.snapshots=1000,2000"
        )
    run = run.model_copy(update={"score": run.score.model_copy(update={"snapshot_images": 0})})
    few = run.sample.model_copy(update={"per_class": count})
    half = run.score.model_copy(update={"reference_half": "first"})
    earliest = run.sample.bad_step or 0  # no network is guided away from a later one
    early = [
        run.model_copy(
            update={
                "train": run.train.model_copy(update={"steps": step}),
                "sample": few,
                "score": half,
            }
        )
        for step in (*(s for s in run.train.snapshots if earliest < s < run.train.steps), run.train.steps)
    ]
    return [*early, run]
