"""What a row of scores is a repetition of: from a spec to its data cell in words, its settings and its series."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping, Set
from typing import Any

import numpy as np
import pandas as pd

from ltbench.runs.variants import current_variant
from ltbench.specs import RULE_FIELDS, DataSpec, RunSpec, rule_words

# Stated by columns of their own, or no setting of the method: left out of the `settings` column.
_NOT_A_SETTING = {
    "method.name",
    "train.steps",
    "train.snapshots",
    "train.imported",
    "sample.sampler",
    "sample.spacing",
    "sample.steps",
    "sample.guidance",
    "sample.seed",
}
PROTOCOL = ["method", "variant", "step", "sampler", "nfe", "guidance", "origin"]


def with_series(table: pd.DataFrame, spec: RunSpec | None, data: DataSpec | None = None) -> pd.DataFrame:
    """Return one sample set's scores with ``cell``, ``settings`` and ``series``.

    Parameters
    ----------
    table
        Rows of one ``scores.csv``.
    spec
        The run with its sampling; None for scores from elsewhere.
    data
        The data cell of scores from elsewhere, where it is recorded; None: as their columns state it.
    """
    cell = cell_label(spec.data if spec is not None else data or _data_of(table.iloc[0]))
    settings = json.dumps(settings_of(spec), sort_keys=True) if spec is not None else "{}"
    if spec is not None and set(table["sampler"]) == {spec.sample.sampler}:
        table = table.assign(sampler=spec.sample.label)  # another spacing makes it another sampler
    if spec is not None and spec.method.hyperparameters:
        now = current_variant(spec.method)  # a name stored earlier may mean other constants today
        table = table if now is None else table.assign(variant=now)
    keys = [
        f"{'|'.join(map(str, row))}|{cell}|{settings}"
        for row in zip(*(table[c] for c in PROTOCOL), strict=True)
    ]
    digests = {key: hashlib.sha256(key.encode()).hexdigest()[:8] for key in set(keys)}
    return table.assign(cell=cell, settings=settings, series=[digests[key] for key in keys])


def _data_of(row: pd.Series) -> DataSpec:
    ratio = row["imbalance_ratio"]
    return DataSpec.model_validate(
        {
            "dataset": row["dataset"],
            "imbalance_ratio": 1.0 if np.isnan(ratio) else ratio,
            "class_order": row["class_order"] or "identity",
            "split_seed": 0 if np.isnan(row["split_seed"]) else int(row["split_seed"]),
        }
    )


def cell_label(data: DataSpec) -> str:
    """Return a data cell in words: data set, ratio, and whatever is not the published split."""
    parts = [f"{data.dataset}, ratio {data.imbalance_ratio:g}"]
    for name, text in (
        ("profile", "{} profile"),
        ("class_order", "class order {}"),
        ("split_seed", "split seed {}"),
        ("head_count", "head count {}"),
        ("image_size", "{} px"),
    ):
        value = getattr(data, name)
        if value != DataSpec.model_fields[name].default:
            parts.append(text.format(value))
    if data.content:
        parts.append(f"content {data.content[:8]}")
    return ", ".join(parts)


def label_without(label: str, parts: str | tuple[str, ...]) -> str:
    """Return a data cell's label without the parts that begin so."""
    return ", ".join(part for part in label.split(", ") if not part.startswith(parts))


def settings_of(spec: RunSpec) -> dict[str, Any]:
    """Flatten model, method, training and sampling settings, without what has a column of its own."""
    flat: dict[str, Any] = {}

    def walk(prefix: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(f"{prefix}.{key}" if prefix else key, inner)
        elif prefix not in _NOT_A_SETTING:
            flat[prefix.removeprefix("method.hyperparameters.")] = value

    walk("", spec.model_dump(mode="json", include={"model", "method", "train"}))
    walk("sample", spec.sample.settings)
    if spec.sample.rule_label:  # whose evaluations do not tell the steps, as those of plain guidance do
        flat["sample.steps"] = spec.sample.steps
    return flat


def is_hyperparameter(key: str) -> bool:
    """Tell a method's own setting (``coral.w``) from those of model, training and sampling."""
    return key.split(".")[0] not in ("model", "train", "sample")


RULE_KEYS = frozenset({f"sample.{name}" for name in RULE_FIELDS} | {"sample.steps"})
"""Settings of a series that only a rule of guidance adds; those of plain guidance have none of them."""


@functools.lru_cache(maxsize=4096)
def rule_of(settings: str) -> str:
    """Return the rule of guidance that a series' settings (JSON) state, in words; blank: plain guidance."""
    return rule_words(_stated(json.loads(settings)))


def declared_rule(settings: Mapping[str, Any]) -> str:
    """Return a rule as a study declares it: another run's network is no part of it, which a file names by its path."""
    left_out = {"bad_weights", "bad_step"} if settings.get("sample.bad_weights") else set()
    return rule_words(_stated(settings, left_out))


def _stated(settings: Mapping[str, Any], left_out: Set[str] = frozenset()) -> dict[str, Any]:
    found = {name: settings.get(f"sample.{name}") for name in RULE_FIELDS if name not in left_out}
    return {name: value for name, value in found.items() if value is not None}


def main_sampling_seed(points: pd.DataFrame) -> dict[str, float]:
    """Return for each series the sampling seed that most of its trainings share, the smallest on a tie."""
    pairs = points[["series", "train_seed", "sample_seed"]].drop_duplicates()
    pairs = pairs.assign(series=pairs["series"].astype(str)).fillna(-1)
    counts = pairs.groupby(["series", "sample_seed"]).size().reset_index(name="n")
    counts = counts.sort_values(["series", "n", "sample_seed"], ascending=[True, False, True])
    first = counts.drop_duplicates("series")
    return dict(zip(first["series"], first["sample_seed"], strict=True))
