"""Floors and bootstrap intervals: from a metric's value at a place to the same numbers of real images.

Beside a value stand its floor, its value at the floor's sample size and its bootstrap interval, each with the
sample sizes that it was computed from.

    m.floor, m.floor_sd   the same statistic of held-out real images in the samples' place, at
                          n = min(generated, held-out) images a class, over repeated draws
    m.at_floor_n          where that n is smaller than the samples', or the floor's reference is another: the
                          samples' own value at that n against that reference. So a value has either a floor of
                          its own sizes beside it, or its own value at the floor's.
    m.ci_low, m.ci_high   95 % bootstrap interval over the generated images: evaluation noise only

The bootstrap costs 100 evaluations. Where the user does not say how many, it is made where that takes about a
second at most: on metrics marked ``quick`` and no more than `CHEAP` numbers (images x features) at a place.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ltbench import rng
from ltbench.data.images import SCORE_SEED
from ltbench.errors import LtbenchError, UsageError
from ltbench.files import read_json, write_json
from ltbench.scoring.bootstrap import bootstrap
from ltbench.scoring.inputs import MetricInputs, Place
from ltbench.specs import ScoreSpec

REPLICATES = 100
CHEAP = 1 << 17


@dataclass(frozen=True)
class Number:
    """One number with the sizes of the sets that it was computed from.

    Attributes
    ----------
    value
        A float, or (K,) where the metric gives one a class; nan with a `reason`.
    n_reference, n_generated
        Images of either side; of a floor those of its draws.
    reason
        Why there is no value, or what a reader has to know about it; empty for nothing.
    """

    value: Any
    n_reference: int
    n_generated: int
    reason: str = ""


def with_floors(inputs: MetricInputs, place: Place, request: ScoreSpec) -> dict[str, Number]:
    """Return a metric's values at a place by name and, beside each, its floor, value at the floor's n, interval.

    Names are in one order, each output followed by what belongs to it, whether floors were kept or not. What
    cannot be computed beside a value is nan with its reason, and leaves the value.
    """
    sizes = inputs.sizes(place)
    values = inputs.value(place)
    beside: dict[str, dict[str, Number]] = {name: {} for name in values}
    if inputs.metric.floor:
        _add_floors(beside, inputs, place, request)
    _add_intervals(beside, inputs, place, request, sizes)
    out = {}
    for name, value in values.items():
        out[name] = Number(value, *sizes)
        out |= {f"{name}.{role}": number for role, number in beside[name].items()}
    return out


def _add_floors(
    beside: dict[str, dict[str, Number]], inputs: MetricInputs, place: Place, request: ScoreSpec
) -> None:
    each = {pool: inputs.smallest(pool, place) for pool in ("generated", "floor_heldout")}
    count = min(each.values())
    used = count * len(inputs.classes(place))
    halved = inputs.pools["floor_reference"] is not inputs.pools["reference"]
    other = halved and "reference" in inputs.metric.inputs
    real = len(inputs.rows("floor_reference", place)) if other else inputs.sizes(place)[0]
    sizes = (real, used)
    if min(sizes) < inputs.metric.minimum:
        if each["generated"] < each["floor_heldout"] and used <= real:
            short = f"{used} generated with equally many a class"
        else:
            short = f"{min(sizes)} {'in half of the reference' if halved else 'held out'}"
        _without(beside, sizes, f"{place.title} has too few images for a floor: {short}", "floor")
        return
    try:
        floors = floor_draws(inputs, place, count, request.floor_draws)
    except UsageError as error:
        _without(beside, sizes, str(error), "floor")
        return
    for name, draws in floors.items():
        beside[name]["floor"] = Number(float(np.mean(draws)), *sizes)
        if len(draws) > 1:
            beside[name]["floor_sd"] = Number(float(np.std(draws, ddof=1)), *sizes)
    if len(inputs.rows("generated", place)) > used or other:
        try:
            cut = [
                inputs.value(place, rows=rows, reference="floor_reference")
                for rows in draw_rows(inputs, "generated", place, count, request.floor_draws)
            ]
        except UsageError as error:
            _without(beside, sizes, str(error), "at_floor_n")
            return
        for name, numbers in beside.items():
            numbers["at_floor_n"] = Number(float(np.mean([draw[name] for draw in cut])), *sizes)


def _add_intervals(
    beside: dict[str, dict[str, Number]],
    inputs: MetricInputs,
    place: Place,
    request: ScoreSpec,
    sizes: tuple[int, int],
) -> None:
    replicates = _replicates(inputs, place, request)
    enough = inputs.smallest("generated", place) >= 2 and sizes[1] >= 2 * inputs.metric.minimum
    if not replicates or not enough:
        return
    here, source = inputs.rows("generated", place), inputs.pools["generated"]
    try:
        intervals = bootstrap(
            lambda rows: inputs.value(place, rows=here[rows]),
            len(here),
            replicates=replicates,
            seed=SCORE_SEED,
            labels=source.labels[here] if source.labelled else None,
        )
    except UsageError as error:  # half of the images are too few for it
        _without(beside, sizes, str(error), "ci_low", "ci_high")
        return
    for name, interval in intervals.items():
        beside[name]["ci_low"] = Number(interval.low, *sizes)
        beside[name]["ci_high"] = Number(interval.high, *sizes)


def _without(beside: dict[str, dict[str, Number]], sizes: tuple[int, int], reason: str, *roles: str) -> None:
    """Put a number without a value and its reason into some roles beside every output."""
    for numbers in beside.values():
        numbers |= dict.fromkeys(roles, Number(np.nan, *sizes, reason))


def _replicates(inputs: MetricInputs, place: Place, request: ScoreSpec) -> int:
    """Return the number of bootstrap replicates: as asked, or `REPLICATES` where they are cheap."""
    if request.bootstrap is not None:
        return request.bootstrap
    if not inputs.metric.quick:
        return 0
    array = inputs.context.arrays("generated", inputs.metric.needs)
    width = int(np.prod(array.shape[1:]))
    return REPLICATES if len(inputs.rows("generated", place)) * width <= CHEAP else 0


def draw_rows(inputs: MetricInputs, pool: str, place: Place, count: int, repeats: int) -> list[np.ndarray]:
    """Return seeded draws of `count` images a class without replacement; one where that is all there are.

    Of unlabelled images as many are drawn in all.
    """
    source, classes = inputs.pools[pool], inputs.classes(place)
    if source.labelled:
        strata, each = [source.rows[c] for c in classes], count
    else:  # as many in all, of whatever class
        strata, each = [np.arange(len(source))], count * len(classes)
    if all(len(rows) == each for rows in strata):
        repeats = 1
    out = []
    for repeat in range(repeats):
        stream = rng.numpy_generator(SCORE_SEED, f"floor/{pool}/{place.key}/{count}", repeat)
        out.append(np.concatenate([np.sort(stream.permutation(rows)[:each]) for rows in strata]))
    return out


def floor_draws(inputs: MetricInputs, place: Place, count: int, repeats: int) -> dict[str, list[float]]:
    """Return each output's floor draws; they depend on real images alone, so they are kept on disk.

    A kept file names its content's digest; one that was changed is made again.
    """
    context, metric = inputs.context, inputs.metric
    real = ["floor_reference", "floor_heldout", *inputs.also_read]
    identity = json.dumps(
        {
            "metric": metric.definition,
            "extractor": context.extractor.hash if context.extractor else None,
            "sets": [inputs.pools[name].score_sha256 for name in real],
            "class": place.key,
            "count": count,
            "repeats": repeats,
        },
        sort_keys=True,
    )
    path = context.cache / "floors" / f"{hashlib.sha256(identity.encode()).hexdigest()[:32]}.json"
    stored = _kept(path)
    if stored is not None:
        return {output.name: stored[output.name] for output in metric.outputs if output.name in stored}
    draws = [
        inputs.value(place, "floor_heldout", rows, reference="floor_reference")
        for rows in draw_rows(inputs, "floor_heldout", place, count, repeats)
    ]
    out = {name: [float(draw[name]) for draw in draws] for name in draws[0]}
    write_json(path, {"draws": out, "sha256": _digest(out)})
    return out


def _kept(path: Path) -> dict[str, list[float]] | None:
    """Return what a floor's file holds; None where there is none or it is not what was written."""
    if not path.exists():
        return None
    try:
        content = read_json(path)
    except LtbenchError:  # cut short: it is made again
        return None
    if not isinstance(content, dict) or content.get("sha256") != _digest(content.get("draws")):
        return None
    return dict(content["draws"])


def _digest(draws: object) -> str:
    return hashlib.sha256(json.dumps(draws, sort_keys=True).encode()).hexdigest()
