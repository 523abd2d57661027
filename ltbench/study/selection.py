"""Tuning of a sampling setting: from ``[select]`` and trials' scores to a chosen value and the runs that report it.

Every method tries equally many values of one sampling setting. They are compared on a validation sampling
seed against one half of the reference; the best is then sampled anew with other seeds and scored against the
other half. Nothing that was chosen by a number is reported by that number, and the whole curve is kept.

    [select]
    key = "sample.guidance"    # what the [[grid]] tries
    metric = "frechet"         # what decides, overall; lower or higher is better as the metric says
    extractor = "inception"    # on whose features; needed where several are scored
    validation_seed = 1000     # sample.seed of the trials
    seeds = [0, 1, 2]          # sample.seed of what is reported
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ltbench.errors import CheckpointError, UsageError, nearest
from ltbench.files import replacing
from ltbench.metrics.registry import REGISTRY
from ltbench.runs.layout import SCORES, sample_folder
from ltbench.runs.scores import read_scores
from ltbench.specs import RunSpec, SampleSpec, sample_key

COLUMNS = ("dataset", "imbalance_ratio", "method", "key", "value", "train_seed", "metric", "score", "chosen")


def _directions() -> dict[str, str]:
    return {
        o.name: o.better for m in REGISTRY.values() for o in m.outputs if o.better and "overall" in m.scopes
    }


class Selection(BaseModel):
    """What is tuned, by which number; see the module."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    key: str = "sample.guidance"
    metric: str = "frechet"
    extractor: str | None = None
    validation_seed: int = Field(1000, ge=0)
    seeds: tuple[int, ...] = (0, 1, 2)

    @model_validator(mode="after")
    def _sound(self) -> Selection:
        known = [f"sample.{name}" for name in SampleSpec.model_fields if name not in ("seed", "per_class")]
        if self.key not in known:
            raise ValueError(f"key must be a sampling setting, not {self.key!r}{nearest(self.key, known)}")
        if self.metric not in _directions():
            raise ValueError(
                f"no metric called {self.metric!r} can decide{nearest(self.metric, _directions())}"
            )
        if not self.seeds or len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise ValueError("seeds must be different sampling seeds, at least one")
        if self.validation_seed in self.seeds:
            raise ValueError(f"validation_seed {self.validation_seed} must not be among the reported seeds")
        return self

    @property
    def field(self) -> str:
        """The tuned field of `SampleSpec`."""
        return self.key.removeprefix("sample.")


def read_selection(content: Any, where: str) -> Selection | None:
    """Read a study file's ``[select]`` table; None where there is none.

    Raises
    ------
    UsageError
        No table, an unknown key, or a value out of range.
    """
    if content is None:
        return None
    if not isinstance(content, Mapping):
        raise UsageError(f"{where}: [select] must be a table with key and metric")
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in content.items()}
    for key in given:
        if key not in Selection.model_fields:
            raise UsageError(f"{where}: [select]: unknown key {key!r}{nearest(key, Selection.model_fields)}")
    try:
        return Selection.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = f"{first['loc'][0]}: " if first["loc"] else ""
        raise UsageError(f"{where}: [select]: {field}{first['msg'].removeprefix('Value error, ')}") from error


@dataclass(frozen=True)
class Choice:
    """One method's curve in one data cell, and what was chosen from it.

    Attributes
    ----------
    runs
        Its trials, a run a value and train seed.
    scores
        Value -> the trials' scores, a number a train seed.
    chosen
        The value whose mean score is best, the smallest of equals; one that has no score for a seed is left out.
    """

    runs: tuple[RunSpec, ...]
    scores: Mapping[Any, tuple[float, ...]]
    chosen: Any


def _group(run: RunSpec, selection: Selection) -> str:
    """Return what makes two trials one curve: everything but the tuned value and the seeds."""
    content = run.model_dump(mode="json", exclude={"train_seed": True, "sample": {selection.field, "seed"}})
    return json.dumps(content, sort_keys=True)


def _groups(runs: Sequence[RunSpec], selection: Selection) -> dict[str, list[RunSpec]]:
    out: dict[str, list[RunSpec]] = {}
    for run in runs:
        out.setdefault(_group(run, selection), []).append(run)
    return out


def _value(run: RunSpec, selection: Selection) -> Any:
    return getattr(run.sample, selection.field)


def _rank(value: Any) -> tuple[bool, Any]:
    """Return what values are sorted by: none, as of an interval without a limit, comes last."""
    return value is None, value


def _with(run: RunSpec, half: str, **sample: Any) -> RunSpec:
    return run.model_copy(
        update={
            "sample": SampleSpec.model_validate(run.sample.model_dump() | sample),
            "score": run.score.model_copy(update={"reference_half": half}),
        }
    )


def trials(runs: Sequence[RunSpec], selection: Selection) -> tuple[RunSpec, ...]:
    """Return a study's runs as trials: validation seed, first half of the reference.

    Raises
    ------
    UsageError
        The methods' grids differ in size or hold one value, or values or methods are tried on different seeds.
    """
    made = {
        (sample_key(trial), repr(trial.score)): trial
        for trial in (_with(run, "first", seed=selection.validation_seed) for run in runs)
    }
    out = tuple(made.values())
    cells: dict[str, list[list[RunSpec]]] = {}
    for curve in _groups(out, selection).values():
        cells.setdefault(curve[0].data.model_dump_json(), []).append(curve)
    sizes = {_check_sizes(curves, selection) for curves in cells.values()}
    if sizes == {1}:
        raise UsageError(f"[select]: nothing to choose from: give {selection.key} several values in [[grid]]")
    for curves in cells.values():
        _check_seeds(curves, selection)
    return out


def _check_sizes(curves: Sequence[Sequence[RunSpec]], selection: Selection) -> int:
    """Return how many values the curves of one data cell try; refuse unequal numbers."""
    sizes = [(len({_value(run, selection) for run in curve}), curve[0].method.name) for curve in curves]
    (few, short), (many, long) = min(sizes), max(sizes)
    if few < many:
        raise UsageError(
            f"[select]: {long} tries {many} values of {selection.key} and {short} {few}: give every "
            "method a grid of one size"
        )
    return many


def _check_seeds(curves: Sequence[Sequence[RunSpec]], selection: Selection) -> None:
    """Refuse values or methods of one data cell that are tried on different train seeds: means of other seeds."""
    (expected, first), *others = [(_seeds(curve, selection), curve[0].method.name) for curve in curves]
    for found, method in others:
        if found != expected:
            raise UsageError(
                f"[select]: {first} is tuned on the seeds {expected} and {method} on {found}: give every method the "
                "same seeds in [[grid]]"
            )


def _seeds(curve: Sequence[RunSpec], selection: Selection) -> str:
    """Return the train seeds that all values of a curve are tried on, as a sentence says them."""
    seeds: dict[Any, list[int]] = {}
    for run in sorted(curve, key=lambda run: run.train_seed):
        seeds.setdefault(_value(run, selection), []).append(run.train_seed)
    (value, expected), *others = ((value, ", ".join(map(str, tried))) for value, tried in seeds.items())
    for other, found in others:
        if found != expected:
            raise UsageError(
                f"[select]: {curve[0].method.name} tries {selection.key} {value} with seeds {expected} and {other} with "
                f"seeds {found}: give every value the same seeds in [[grid]]"
            )
    return expected


def choose(runs: Sequence[RunSpec], selection: Selection, root: Path) -> list[Choice]:
    """Read the trials' scores below `root` and choose each curve's best value.

    Raises
    ------
    UsageError, CheckpointError
        A score is missing, there are several to choose by, or none is a number.
    """
    better = min if _directions()[selection.metric] == "lower" else max
    out = []
    for group in _groups(runs, selection).values():
        scores: dict[Any, tuple[float, ...]] = {}
        for run in sorted(group, key=lambda run: (_rank(_value(run, selection)), run.train_seed)):
            value = _value(run, selection)
            scores[value] = (*scores.get(value, ()), _score(run, selection, root))
        means = {
            value: float(np.mean(values)) for value, values in scores.items() if np.isfinite(values).all()
        }
        if not means:
            raise UsageError(
                f"[select]: {group[0].method.name} has no value of {selection.key} with a {selection.metric} for "
                f"every seed: see why in their {SCORES}, or choose by another metric"
            )
        out.append(Choice(tuple(group), scores, better(means, key=means.__getitem__)))
    return out


def _score(run: RunSpec, selection: Selection, root: Path) -> float:
    path = root / sample_folder(run) / SCORES
    if not path.is_file():
        raise CheckpointError(f"{path} is missing: run the same command again")
    rows = read_scores(path)
    rows = rows[
        (rows["sample_key"] == sample_key(run))
        & (rows["metric"] == selection.metric)
        & (rows["scope"] == "overall")
        & rows["reference"].str.endswith(", first half")
    ]
    if selection.extractor is not None:
        rows = rows[rows["extractor"] == selection.extractor]
    if len(rows) == 1:
        return float(rows["value"].iloc[0])
    if len(rows):
        extractors = ", ".join(sorted(set(rows["extractor"])))
        raise UsageError(f"[select]: {selection.metric} is scored on {extractors}: name one as extractor")
    on = f" on {selection.extractor}" if selection.extractor else ""
    raise UsageError(f"[select]: {path} holds no {selection.metric}{on}: ask for it in score.metrics")


def reported(choices: Sequence[Choice], selection: Selection) -> tuple[RunSpec, ...]:
    """Return the runs to report: each curve's chosen value, fresh seeds, second half of the reference."""
    return tuple(
        _with(run, "second", seed=seed)
        for choice in choices
        for run in choice.runs
        if _value(run, selection) == choice.chosen
        for seed in selection.seeds
    )


def planned(runs: Sequence[RunSpec], selection: Selection) -> tuple[RunSpec, ...]:
    """Return all runs as far as a plan can know them: for the chosen value stands each curve's last."""
    tried = trials(runs, selection)
    last = [
        Choice(tuple(group), {}, max((_value(run, selection) for run in group), key=_rank))
        for group in _groups(tried, selection).values()
    ]
    return tried + reported(last, selection)


def write_curves(choices: Sequence[Choice], selection: Selection, path: Path) -> pd.DataFrame:
    """Write every trial's score as CSV, a row a trial, and return the table."""
    rows = []
    for choice in choices:
        seeds = sorted({run.train_seed for run in choice.runs})
        data, method = choice.runs[0].data, choice.runs[0].method
        for value, by_seed in choice.scores.items():
            for seed, score in zip(seeds, by_seed, strict=True):
                shown = "none" if value is None else value
                place = (data.dataset, data.imbalance_ratio, method.name, selection.key, shown, seed)
                rows.append((*place, selection.metric, score, value == choice.chosen))
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False)
    return table
