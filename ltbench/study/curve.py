"""Scores over a training, from the sample sets of its snapshots to a curve and the step that a curve would choose.

``score.snapshot_images`` has every snapshot sampled and scored against the first half of the reference. A step chosen
by such a curve is a selection: it is reported with other images, against the second half.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ltbench.runs.layout import SCORES, folder_name, sample_folder
from ltbench.runs.scores import read_scores
from ltbench.spec import RunSpec


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
