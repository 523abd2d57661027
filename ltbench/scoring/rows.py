"""Rows of scores: from a number at a place to its row, to the means and worst over classes, and to what has no value.

A group's row is the mean over its classes' own values; its sample sizes are those of one class, the smallest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ltbench.data import Dataset
from ltbench.data.groupings import Group, labels_text
from ltbench.runs.score_columns import as_reason
from ltbench.scoring.floors import Number
from ltbench.scoring.inputs import MetricInputs, Place

Row = dict[str, Any]


def proportions_remark(inputs: MetricInputs, place: Place) -> str:
    """Say where samples of unequal or unknown classes are compared with a reference of other proportions."""
    if place.scope == "class" or "reference" not in inputs.metric.inputs:
        return ""
    if not inputs.pools["generated"].labelled:
        return "the samples have no labels: in which proportions they hold the classes is not known"
    shares = []
    for pool in ("generated", "reference"):
        rows = inputs.pools[pool].rows
        sizes = np.array([len(rows.get(k, ())) for k in inputs.classes(place)])
        shares.append(sizes / max(1, sizes.sum()))
        if pool == "generated":
            made = f"{sizes.min()} to {sizes.max()}" if sizes.min() < sizes.max() else str(sizes.min())
    if np.allclose(shares[0], shares[1], atol=1e-3, rtol=0.05):
        return ""
    return (
        f"the samples ({made} images a class) and the reference hold the classes in other proportions,"
        " which this number includes: read the classes one by one, or sample as the reference is"
    )


def score_row(
    inputs: MetricInputs, dataset: Dataset, place: Place, name: str, number: Number, remark: str = ""
) -> Row:
    """Return a number's row, without the columns that name the run."""
    context, counts = inputs.context, dataset.counts
    labels = list(inputs.classes(place))
    return {
        "scope": place.scope,
        "class_or_group": place.name,
        "n_train": int(counts[labels].sum()),
        "metric": name,
        "definition": inputs.metric.definition,
        "extractor": context.extractor.name if context.extractor else context.absent,
        "reference": context.reference,
        "n_reference": number.n_reference,
        "n_generated": number.n_generated,
        "value": number.value,
        "extractor_hash": context.extractor.hash if context.extractor else "",
        "reference_hash": context.pools["reference"].score_sha256[:16],
        "manifest": dataset.manifest_hash[:16],
        "grouping": place.grouping,
        "labels": labels_text(labels) if place.scope == "pooled" else "",
        "reason": as_reason(number.reason or remark),
    }


def dashes(inputs: MetricInputs, dataset: Dataset, place: Place, reason: str) -> list[Row]:
    """Return a row without a value for each of a metric's outputs at a place.

    Of a class also for what stands beside another output: the groups of that class have no mean of it either.
    A metric that gives nothing but one number a class has one at each class.
    """
    if all(output.per_class for output in inputs.metric.outputs) and place.labels is None:
        each = [Place("class", str(k), (k,)) for k in inputs.classes(place)]
        return [
            score_row(inputs, dataset, of, output.name, Number(np.nan, *inputs.sizes(of), reason))
            for of in each
            for output in inputs.metric.outputs
        ]
    number = Number(np.nan, *inputs.sizes(place), reason)
    every = place.scope == "class"
    outputs = [o for o in inputs.metric.outputs if (every or not o.auxiliary) and not o.per_class]
    return [score_row(inputs, dataset, place, output.name, number) for output in outputs]


def group_rows(
    inputs: MetricInputs, per_class: dict[tuple[str, int], Row], dataset: Dataset, groups: Sequence[Group]
) -> list[Row]:
    """Average the classes' rows over each group and over all classes, and pick the worst class.

    A class without a value leaves its groups without one, and they say which class it is.
    """
    every = Group("macro", tuple(range(dataset.num_classes)), "")
    better = {output.name: output.better for output in inputs.metric.outputs}
    single = tuple(f"{output.name}." for output in inputs.metric.outputs if not output.averaged)
    rows = []
    for name in dict.fromkeys(name for name, _ in per_class):
        if name.endswith((".floor_sd", ".ci_low", ".ci_high")) or f"{name}.".startswith(single):
            continue  # neither spreads nor p-values average
        for group in (*groups, every):
            members = [row for k in group.labels if (row := _of_class(per_class, name, k)) is not None]
            own = any((name, k) in per_class for k in group.labels)
            if own and len(members) == len(group.labels):
                rows.append(combined(members, group, np.mean, dataset))
        if better.get(name):
            members = [row for (other, _), row in per_class.items() if other == name]
            pick = np.max if better[name] == "lower" else np.min
            rows.append(combined(members, Group("worst", every.labels, ""), pick, dataset))
    return rows


def _of_class(per_class: dict[tuple[str, int], Row], name: str, k: int) -> Row | None:
    """Return a class's row of a number; a class whose floor is of its own sizes has its value at the floor's n in it.

    Where the samples have unequal classes some are cut to the floor's n and some are not.
    """
    base = name.removesuffix(".at_floor_n")
    if (name, k) in per_class or base == name:
        return per_class.get((name, k))
    value, floor = per_class.get((base, k)), per_class.get((f"{base}.floor", k))
    if value is None or floor is None or not np.isfinite(floor["value"]):
        return None
    return value | {"metric": name}


def combined(rows: list[Row], group: Group, how: Callable[[list[float]], float], dataset: Dataset) -> Row:
    """Return a group's row; its sample sizes are those of one class, the fewest in the group."""
    without = [row for row in rows if not np.isfinite(row["value"])]
    reason = ""
    if without:
        names = " ".join(row["class_or_group"] for row in without)
        reason = as_reason(f"no value of class{'es' * (len(without) > 1)} {names}: {without[0]['reason']}")
    return {
        **rows[0],
        "scope": "group",
        "class_or_group": group.name,
        "n_train": int(dataset.counts[list(group.labels)].sum()),
        "n_reference": min(row["n_reference"] for row in rows),
        "n_generated": min(row["n_generated"] for row in rows),
        "value": float("nan") if without else float(how([row["value"] for row in rows])),
        "grouping": group.grouping,
        "labels": labels_text(group.labels),
        "reason": reason,
    }
