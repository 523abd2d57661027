"""Scoring: from samples to a tidy table of scores, overall, per class and per group, floors beside each.

Every number is one row with its own sample sizes; `ltbench.scoring.floors` says what stands beside a value.
Two kinds of number are given for a group of classes, in two scopes that no table may mix:

    group    the mean over the group's classes of their own values, so that every class counts alike
             (``macro`` and ``worst``: over all classes; iFID is ``frechet`` on Inception at ``macro``); its
             sizes are those of one class, the smallest of the group
    pooled   one value of all the group's images as one set, as CM, CCUA and UTLO report

What cannot be computed is a row without a value and with its `reason`; of samples without labels that is
everything about classes and groups. The reference is cut to equally many
images a class, so a set of unequal classes is remarked where all are scored together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ltbench.data import Dataset, ImageSet
from ltbench.data.groupings import Group, find_groups, labels_text
from ltbench.data.images import balanced, halves
from ltbench.diffusion.guidance import evaluations
from ltbench.errors import DataCorrupt, DataMissing, UsageError
from ltbench.extractors.registry import (
    Extractor,
    Features,
    classifies,
    get_extractor,
    resolve_extractors,
)
from ltbench.metrics.registry import Metric, requested_metrics
from ltbench.runs.scores import COLUMNS, as_reason, run_columns
from ltbench.scoring.floors import Number, with_floors
from ltbench.scoring.inputs import (
    OVERALL,
    PROCESS_CACHE,
    MetricInputs,
    Place,
    ReferenceCache,
    ScoringContext,
)
from ltbench.spec import RunSpec, ScoreSpec

Row = dict[str, Any]


def score_samples(
    dataset: Dataset,
    images: np.ndarray,
    labels: np.ndarray,
    spec: RunSpec,
    cache: Path,
    device: str = "cpu",
    stored: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Score one sample set.

    Parameters
    ----------
    dataset
        Its data cell.
    images, labels
        (N,C,H,W) uint8 and (N,) int64.
    spec
        Names the run in every row; ``spec.score`` says what is measured.
    cache
        Folder where features and floors are kept by content.
    device
        Where features are computed.
    stored
        Rows that are there already; a metric that has all of its own is left out.

    Returns
    -------
    A table with `COLUMNS`, one row a number, in one order.
    """
    fixed = run_columns(spec, evaluations(spec.sample, dataset.prior).nfe)
    rows = score_pools(dataset, ImageSet(images, labels), spec.score, cache, device, stored=stored)
    table = pd.DataFrame([{**fixed, **row} for row in rows])
    return table.reindex(columns=list(COLUMNS))


def score_pools(
    dataset: Dataset,
    generated: ImageSet,
    request: ScoreSpec,
    cache: Path,
    device: str = "cpu",
    *,
    stored: pd.DataFrame | None = None,
    prepared: ReferenceCache = PROCESS_CACHE,
) -> list[Row]:
    """Return one dict a number, without the columns that name the run; parameters as `score_samples`.

    Raises
    ------
    UsageError
        An unknown metric, extractor or grouping; a data set whose reference is its training set.
    DataCorrupt
        Samples of another shape or without some of the classes.
    """
    if dataset.unscorable:
        raise UsageError(dataset.unscorable)
    if generated.labelled and len(generated.rows) != dataset.num_classes:
        raise DataCorrupt(
            f"the sample set has images of {len(generated.rows)} of {dataset.num_classes} classes: sample all of them"
        )
    if generated.images.shape[1:] != dataset.shape:
        raise DataCorrupt(
            f"the samples are {generated.images.shape[1:]}, the data set's images {dataset.shape}"
        )
    groups = find_groups(request.groups, dataset.groups, dataset.head_to_tail, dataset.counts)
    pools, name = _pools(dataset, request)
    pools["generated"] = generated
    rows: list[Row] = []
    extracted: dict[str, dict[str, Features]] = {}
    for metric, extractor, absent, reason in _available(request, dataset, device):
        shared = extracted.setdefault(extractor.name if extractor else "", {})
        context = ScoringContext(pools, extractor, dataset.num_classes, cache, name, prepared, shared, absent)
        if stored is not None and _is_stored(metric, context, request, groups, stored):
            continue
        rows.extend(_measure(metric, context, dataset, request, groups, reason))
    return rows


def _pools(dataset: Dataset, request: ScoreSpec) -> tuple[dict[str, ImageSet], str]:
    """Return the real sets of a request by role, and what its reference is called."""
    name, heldout = dataset.spec.dataset, balanced(dataset.heldout, "heldout")
    if request.reference == "heldout":
        reference, name = heldout, f"{name}, held-out"
    elif request.reference == "longtail":
        reference, name = dataset.train, f"{name}, long-tailed"
    else:
        reference = balanced(dataset.reference, "reference")
    if request.reference_half != "none":
        reference = halves(reference, "reference/halves")[request.reference_half == "second"]
        name = f"{name}, {request.reference_half} half"
    pools = {"reference": reference, "heldout": dataset.heldout, "training": dataset.train}
    shared = dataset.heldout_in_reference and request.reference == "balanced"
    if shared or request.reference == "heldout":  # a floor compares disjoint sets: that one's two halves
        pools["floor_reference"], pools["floor_heldout"] = halves(reference, "floor/halves")
    else:
        pools["floor_reference"], pools["floor_heldout"] = reference, heldout
    return pools, name


def _available(
    request: ScoreSpec, dataset: Dataset, device: str
) -> Iterator[tuple[Metric, Extractor | None, str, str]]:
    """Pair each metric with the extractors it runs on; where none can, with its name and the reason.

    Where no metric at all can be computed for want of weights, that is an error and not a table of dashes.
    """
    names = resolve_extractors(request.extractors, dataset.spec.dataset, request.resize)
    loaded: dict[str, Extractor] = {}
    missing: dict[str, DataMissing] = {}
    pairs: list[tuple[Metric, Extractor | None, str, str]] = []
    for metric in requested_metrics(request.metrics):
        if metric.needs == "bottleneck":
            continue
        if metric.needs == "images":
            pairs.append((metric, None, "", ""))
            continue
        unfit: list[tuple[Metric, Extractor | None, str, str]] = []
        fit = len(pairs)
        for name in (metric.extractor,) if metric.extractor else names:
            try:
                if name not in loaded and name not in missing:
                    loaded[name] = get_extractor(name, device=device)
            except DataMissing as error:
                missing[name] = error
            if name in missing:
                unfit.append((metric, None, name, str(missing[name])))
            elif why := _unfit(metric, loaded[name], dataset):
                unfit.append((metric, loaded[name], "", why))
            else:
                pairs.append((metric, loaded[name], "", ""))
        pairs += unfit if len(pairs) == fit else [pair for pair in unfit if pair[2]]
    if missing and all(reason for *_, reason in pairs):
        raise next(iter(missing.values()))
    yield from pairs


def _unfit(metric: Metric, extractor: Extractor, dataset: Dataset) -> str:
    """Say why a metric cannot be computed on an extractor's output; empty where it can."""
    if metric.needs == "class_logits" and not classifies(extractor, dataset.spec):
        return f"{extractor.name} does not classify the classes of {dataset.spec.dataset}"
    if metric.needs == "logits" and not extractor.has_logits:
        return f"{extractor.name} gives no class scores"
    return ""


def _is_stored(
    metric: Metric,
    context: ScoringContext,
    request: ScoreSpec,
    groups: Sequence[Group],
    stored: pd.DataFrame,
) -> bool:
    """Tell whether the rows of a metric on an extractor against this reference are all there, groups included."""
    if request.bootstrap:  # how many replicates made an interval is not stored
        return False
    rows = stored[
        (stored["definition"] == metric.definition)
        & (stored["extractor_hash"] == (context.extractor.hash if context.extractor else ""))
        & (stored["reference_hash"] == context.pools["reference"].score_sha256[:16])
    ]
    needed = {("pooled", group.name) for group in groups if "pooled" in metric.scopes}
    needed |= {("group", group.name) for group in groups if "class" in metric.scopes}
    there = set(zip(rows["scope"], rows["class_or_group"], strict=True))
    return len(rows) > 0 and needed <= there


# -- one metric -------------------------------------------------------------------------------------


def _measure(
    metric: Metric,
    context: ScoringContext,
    dataset: Dataset,
    request: ScoreSpec,
    groups: Sequence[Group],
    reason: str,
) -> list[Row]:
    """Compute one metric at all its places, with floors and intervals, and the means over groups of classes."""
    inputs = MetricInputs(metric, context)
    rows: list[Row] = []
    if reason:
        return _dashes(inputs, dataset, OVERALL, reason)
    per_class: dict[tuple[str, int], Row] = {}
    for place in _places(metric, dataset, groups):
        short = inputs.shortage(place)
        if short:
            measured = _dashes(inputs, dataset, place, short)
        else:
            measured = _place_rows(inputs, dataset, place, request)
        rows += measured
        per_class |= {
            (row["metric"], int(row["class_or_group"])): row for row in measured if row["scope"] == "class"
        }
    return rows + _group_rows(inputs, per_class, dataset, groups) + _elsewhere(inputs, dataset, groups)


def _places(metric: Metric, dataset: Dataset, groups: Sequence[Group]) -> Iterator[Place]:
    if "overall" in metric.scopes:
        yield OVERALL
    if "class" in metric.scopes:
        for k in range(dataset.num_classes):
            yield Place("class", str(k), (k,))
    if "pooled" in metric.scopes:
        for group in groups:
            yield Place("pooled", group.name, group.labels, group.grouping)


def _elsewhere(inputs: MetricInputs, dataset: Dataset, groups: Sequence[Group]) -> list[Row]:
    """Return dashes at the scopes that a metric does not have and says why; classes are told at ``macro``."""
    metric, rows = inputs.metric, []
    if not metric.elsewhere:
        return []
    if "overall" not in metric.scopes:
        rows += _dashes(inputs, dataset, OVERALL, metric.elsewhere)
    if "class" not in metric.scopes:
        every = Group("macro", tuple(range(dataset.num_classes)), "")
        rows += [
            _combined([row], every, np.mean, dataset) | {"reason": metric.elsewhere}
            for row in _dashes(inputs, dataset, OVERALL, metric.elsewhere)
        ]
    if "pooled" not in metric.scopes:
        for group in groups:
            place = Place("pooled", group.name, group.labels, group.grouping)
            rows += _dashes(inputs, dataset, place, metric.elsewhere)
    return rows


def _place_rows(inputs: MetricInputs, dataset: Dataset, place: Place, request: ScoreSpec) -> list[Row]:
    """Return a place's rows; a value of one number a class becomes a row a class."""
    try:
        numbers = with_floors(inputs, place, request)
    except UsageError as error:  # what these images do not allow at this place
        return _dashes(inputs, dataset, place, str(error))
    remark, stated = _remark(inputs, place), {output.name for output in inputs.metric.outputs}
    rows = []
    for name, number in numbers.items():
        if np.ndim(number.value) == 0:
            rows.append(_row(inputs, dataset, place, name, number, remark if name in stated else ""))
            continue
        for k, value in enumerate(number.value):
            of_class = Place("class", str(k), (k,))
            why = "" if np.isfinite(value) else f"class {k} has no images that it could be computed on"
            rows.append(_row(inputs, dataset, of_class, name, Number(value, *inputs.sizes(of_class), why)))
    return rows


def _remark(inputs: MetricInputs, place: Place) -> str:
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


# -- rows -------------------------------------------------------------------------------------------


def _row(
    inputs: MetricInputs, dataset: Dataset, place: Place, name: str, number: Number, remark: str = ""
) -> Row:
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


def _dashes(inputs: MetricInputs, dataset: Dataset, place: Place, reason: str) -> list[Row]:
    """Return a row without a value for each of a metric's leading outputs at a place."""
    number = Number(np.nan, *inputs.sizes(place), reason)
    outputs = [o for o in inputs.metric.outputs if not o.auxiliary and not o.per_class]
    return [_row(inputs, dataset, place, output.name, number) for output in outputs]


def _group_rows(
    inputs: MetricInputs, per_class: dict[tuple[str, int], Row], dataset: Dataset, groups: Sequence[Group]
) -> list[Row]:
    """Average the classes' rows over each group and over all classes, and pick the worst class.

    A class without a value leaves its groups without one, and they say which class it is.
    """
    every = Group("macro", tuple(range(dataset.num_classes)), "")
    better = {output.name: output.better for output in inputs.metric.outputs}
    rows = []
    for name in dict.fromkeys(name for name, _ in per_class):
        if name.endswith((".floor_sd", ".ci_low", ".ci_high")):
            continue  # spreads do not average
        for group in (*groups, every):
            members = [per_class[name, k] for k in group.labels if (name, k) in per_class]
            if members and (len(members) == len(group.labels) or name in better):
                rows.append(_combined(members, group, np.mean, dataset))
        if better.get(name):
            members = [row for (other, _), row in per_class.items() if other == name]
            pick = np.max if better[name] == "lower" else np.min
            rows.append(_combined(members, Group("worst", every.labels, ""), pick, dataset))
    return rows


def _combined(rows: list[Row], group: Group, how: Callable[[list[float]], float], dataset: Dataset) -> Row:
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
