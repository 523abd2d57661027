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

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ltbench.data import Dataset, ImageSet
from ltbench.data.groupings import Group, find_groups
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
from ltbench.runs.score_columns import COLUMNS, run_columns
from ltbench.scoring.floors import Number, with_floors
from ltbench.scoring.inputs import (
    OVERALL,
    PROCESS_CACHE,
    MetricInputs,
    Place,
    ReferenceCache,
    ScoringContext,
)
from ltbench.scoring.rows import Row, combined, dashes, group_rows, proportions_remark, score_row
from ltbench.specs import RunSpec, ScoreSpec
from ltbench.text import as_name


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
    extracted: dict[str, dict[str, Features]] = {}  # by hash: a name may be of two networks
    for metric, extractor, absent, reason in _available(request, dataset, device):
        shared = extracted.setdefault(extractor.hash if extractor else "", {})
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
        if metric.needs == "bottleneck":  # ``all`` and ``default`` are of images; by name it is told
            if metric.name in request.metrics:
                pairs.append(
                    (metric, None, "", f"{metric.name} is measured on a trained network (probe stage)")
                )
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
                unfit.append((metric, None, as_name(name), str(missing[name])))
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
        return dashes(inputs, dataset, OVERALL, reason)
    per_class: dict[tuple[str, int], Row] = {}
    for place in _places(metric, dataset, groups):
        short = inputs.shortage(place)
        if short:
            measured = dashes(inputs, dataset, place, short)
        else:
            measured = _place_rows(inputs, dataset, place, request)
        rows += measured
        per_class |= {
            (row["metric"], int(row["class_or_group"])): row for row in measured if row["scope"] == "class"
        }
    return rows + group_rows(inputs, per_class, dataset, groups) + _elsewhere(inputs, dataset, groups)


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
        rows += dashes(inputs, dataset, OVERALL, metric.elsewhere)
    if "class" not in metric.scopes:
        every = Group("macro", tuple(range(dataset.num_classes)), "")
        rows += [
            combined([row], every, np.mean, dataset) | {"reason": metric.elsewhere}
            for row in dashes(inputs, dataset, OVERALL, metric.elsewhere)
        ]
    if "pooled" not in metric.scopes:
        for group in groups:
            place = Place("pooled", group.name, group.labels, group.grouping)
            rows += dashes(inputs, dataset, place, metric.elsewhere)
    return rows


def _place_rows(inputs: MetricInputs, dataset: Dataset, place: Place, request: ScoreSpec) -> list[Row]:
    """Return a place's rows; a value of one number a class becomes a row a class."""
    try:
        numbers = with_floors(inputs, place, request)
    except UsageError as error:  # what these images do not allow at this place
        return dashes(inputs, dataset, place, str(error))
    remark, stated = proportions_remark(inputs, place), {output.name for output in inputs.metric.outputs}
    rows = []
    for name, number in numbers.items():
        if np.ndim(number.value) == 0:
            rows.append(score_row(inputs, dataset, place, name, number, remark if name in stated else ""))
            continue
        for k, value in enumerate(number.value):
            of_class = Place("class", str(k), (k,))
            why = "" if np.isfinite(value) else f"class {k} has no images that it could be computed on"
            rows.append(
                score_row(inputs, dataset, of_class, name, Number(value, *inputs.sizes(of_class), why))
            )
    return rows
