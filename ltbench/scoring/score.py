"""Samples -> a tidy table of scores: overall, per class, per shot group, with the floor beside each.

Every number is one row. For a metric ``m`` that does not itself use held-out images there are also
    m.floor, m.floor_sd   the same statistic of held-out real images in the samples' place, at
                          n = min(generated, held-out) images a class, over repeated draws
    m.at_floor_n          where more images were generated than are held out, or the floor's reference is smaller:
                          the samples' own value at that n against that reference
    m.ci_low, m.ci_high   95 % bootstrap interval over the generated images: evaluation noise only
A group's value, ``macro`` and ``worst`` are the mean and the worst of its classes' values, so that every
class counts alike and no number mixes sample sizes. The reference is cut to equally many images a class.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ltbench import rng
from ltbench.data import Dataset
from ltbench.errors import DataCorrupt
from ltbench.extractors.registry import Extractor, Features, auto_extractors, cached_features, get_extractor
from ltbench.files import read_json, write_json
from ltbench.metrics.registry import REGISTRY, Metric, get_metric
from ltbench.stats import bootstrap
from ltbench.data.images import SCORE_SEED, ImageSet, balanced, halves
from ltbench.runs.scores import COLUMNS, run_columns
from ltbench.spec import RunSpec, ScoreSpec


@dataclass(frozen=True)
class Setting:
    """Everything that one sample set's metrics on one extractor are computed from.

    Attributes
    ----------
    pools : reference, heldout, training, generated.
    extractor : None for metrics on images.
    cache : folder for features and floors.
    reference : what the reference is called.
    extracted : features by pool, shared by the metrics on one extractor.
    """

    pools: dict[str, ImageSet]
    extractor: Extractor | None
    num_classes: int
    cache: Path
    reference: str
    extracted: dict[str, Features] = field(default_factory=dict)

    def arrays(self, pool: str, needs: str) -> np.ndarray:
        """Return features, logits or images of a pool, computed once."""
        if needs == "images" or self.extractor is None:
            return self.pools[pool].images
        if pool not in self.extracted:
            images = self.pools[pool].images
            self.extracted[pool] = cached_features(self.extractor, images, self.cache / "features")
        found = self.extracted[pool]
        array = found.features if needs == "features" else found.logits
        assert array is not None  # `_requested` pairs metrics on logits with classifiers only
        return array


def score_samples(
    cell: Dataset, images: np.ndarray, labels: np.ndarray, spec: RunSpec, cache: Path, device: str = "cpu"
) -> pd.DataFrame:
    """Score one sample set.

    Parameters
    ----------
    cell : its data cell.
    images, labels : (N,C,H,W) uint8 and (N,) int64.
    spec : names the run in every row; ``spec.score`` says what is measured.
    cache : folder where features and floors are kept by content.

    Returns
    -------
    A table with `COLUMNS`, one row a number.
    """
    fixed = run_columns(spec)
    rows = score_pools(cell, ImageSet(images, labels), spec.score, cache, device)
    table = pd.DataFrame([{**fixed, **row} for row in rows])
    return table.reindex(columns=list(COLUMNS))


def score_pools(
    cell: Dataset, generated: ImageSet, request: ScoreSpec, cache: Path, device: str = "cpu"
) -> list[dict[str, Any]]:
    """Return one dict a number, without the columns that name the run."""
    if len(generated.rows) != cell.num_classes:
        raise DataCorrupt(
            f"the sample set has images of {len(generated.rows)} of {cell.num_classes} classes: sample all of them"
        )
    if generated.images.shape[1:] != cell.shape:
        raise DataCorrupt(f"the samples are {generated.images.shape[1:]}, the data set's images {cell.shape}")
    reference = balanced(cell.reference, "reference")
    name = cell.spec.dataset
    if request.reference_half != "none":
        reference = halves(reference, "reference/halves")[request.reference_half == "second"]
        name = f"{name}, {request.reference_half} half"
    pools = {
        "reference": reference,
        "heldout": balanced(cell.heldout, "heldout"),
        "training": cell.train,
        "generated": generated,
    }
    pools["floor_reference"], pools["floor_heldout"] = _floor_pools(
        cell, pools["reference"], pools["heldout"]
    )
    rows: list[dict[str, Any]] = []
    extracted: dict[str, dict[str, Features]] = {}
    for metric, extractor in _requested(request, cell, device):
        shared = extracted.setdefault(extractor.name if extractor else "", {})
        setting = Setting(pools, extractor, cell.num_classes, cache, name, shared)
        rows.extend(_measure(metric, setting, cell, request))
    return rows


def _floor_pools(cell: Dataset, reference: ImageSet, heldout: ImageSet) -> tuple[ImageSet, ImageSet]:
    """Return the disjoint real sets of the floor: (reference, held-out).

    Where the held-out images are part of the reference (celeba5, imagenet_lt), that set is cut in two halves.
    """
    if not cell.heldout_in_reference:
        return reference, heldout
    return halves(reference, "floor/halves")


def _requested(request: ScoreSpec, cell: Dataset, device: str) -> Iterator[tuple[Metric, Extractor | None]]:
    """Pair each metric with the extractors it runs on; a named protocol brings its own."""
    dataset = cell.spec.dataset
    names = [
        n for name in request.extractors for n in (auto_extractors(dataset) if name == "auto" else (name,))
    ]
    loaded: dict[str, Extractor] = {}

    def get(name: str) -> Extractor:
        if name not in loaded:
            loaded[name] = get_extractor(name, device=device)
        return loaded[name]

    for metric in requested_metrics(request.metrics):
        if metric.needs == "bottleneck":
            continue
        if metric.needs == "images":
            yield metric, None
            continue
        for name in (metric.extractor,) if metric.extractor else dict.fromkeys(names):
            extractor = get(name)
            if metric.needs == "class_logits" and extractor.classifies != dataset:
                continue
            yield metric, extractor


def requested_metrics(names: Sequence[str]) -> list[Metric]:
    """Return the metrics of a request; ``default``: the quick ones on any extractor, ``all``: every one on any
    extractor (a paper's protocol, which fixes its extractor and so needs that one's weights, goes by name)."""
    chosen: dict[str, Metric] = {}
    for name in names:
        if name == "all":
            chosen |= {m.name: m for m in REGISTRY.values() if m.extractor is None}
        elif name == "default":
            chosen |= {m.name: m for m in REGISTRY.values() if m.default}
        else:
            chosen[name] = get_metric(name)
    return list(chosen.values())


# -- one metric -------------------------------------------------------------------------------------


def _measure(metric: Metric, setting: Setting, cell: Dataset, request: ScoreSpec) -> list[dict[str, Any]]:
    """Compute one metric overall, per class and per group, with floors and intervals."""
    source = _Source(metric, setting)
    rows = []
    scopes: list[int | None] = []
    if "overall" in metric.scopes:
        scopes.append(None)
    if "class" in metric.scopes:
        scopes.extend(range(cell.num_classes))
    per_class: dict[tuple[str, int], dict[str, Any]] = {}
    for k in scopes:
        if not source.enough(k):
            continue
        values = _with_floor(source, k, request)
        for name, value in values.items():
            for label, number in source.spread(name, value, k):
                row = _row(metric, setting, cell, label, name, number, source)
                rows.append(row)
                if label is not None:
                    per_class[name, label] = row
    rows.extend(_groups(metric, per_class, cell))
    return rows


class _Source:
    """Rows of a metric's inputs for a scope (None: all images; k: one class)."""

    def __init__(self, metric: Metric, setting: Setting) -> None:
        self.metric, self.setting = metric, setting
        self.pools = setting.pools
        self.outputs = {output.name: output for output in metric.outputs}

    def rows(self, pool: str, k: int | None) -> np.ndarray:
        """Positions of the scope's images in a pool."""
        source = self.pools[pool]
        return np.arange(len(source.labels)) if k is None else source.rows[k]

    def enough(self, k: int | None) -> bool:
        """Tell whether every set the metric takes has its fewest images in this scope."""
        taken = [name for name in self.metric.inputs if name in self.pools]
        return all(len(self.rows(name, k)) >= self.metric.minimum for name in taken)

    def reference(self, k: int | None, pool: str = "reference") -> Any:
        """Return the scope's reference, prepared once where the metric can."""
        if pool == "floor_reference" and self.pools[pool] is self.pools["reference"]:
            pool = "reference"
        if self.metric.prepare is None:
            return self.setting.arrays(pool, self.metric.needs)[self.rows(pool, k)]
        return prepared_reference(self, pool, k)

    def value(
        self,
        k: int | None,
        pool: str = "generated",
        rows: np.ndarray | None = None,
        reference: str = "reference",
    ) -> dict[str, Any]:
        """Return the metric's values in a scope, with `rows` of `pool` as the generated images."""
        needs = self.metric.needs
        chosen = self.rows(pool, k) if rows is None else rows
        available: dict[str, Any] = {
            "num_classes": self.setting.num_classes,
            "seed": SCORE_SEED,
            "generated": self.setting.arrays(pool, needs)[chosen],
            "generated_labels": self.pools[pool].labels[chosen],
        }
        for name in ("heldout", "training"):
            if name in self.metric.inputs:
                available[name] = self.setting.arrays(name, needs)[self.rows(name, k)]
            available[f"{name}_labels"] = self.pools[name].labels[self.rows(name, k)]
        if "reference" in self.metric.inputs:
            available["reference"] = self.reference(k, reference)
        available["reference_labels"] = self.pools[reference].labels[self.rows(reference, k)]
        return self.metric(**available)

    def spread(self, name: str, value: Any, k: int | None) -> Iterator[tuple[int | None, float]]:
        """Yield (class or None, number): a value of one number a class becomes a row a class."""
        if np.ndim(value) == 0:
            yield k, float(value)
        else:
            yield from ((label, float(number)) for label, number in enumerate(value))


_PREPARED: dict[tuple[Any, ...], Any] = {}
_PREPARED_FOR: list[str] = []  # the reference and extractor that `_PREPARED` belongs to


def prepared_reference(source: _Source, pool: str, k: int | None) -> Any:
    """Return what a metric makes of its reference, made once a process for all sample sets and metrics.

    A 60,000-image reference's neighbours cost more than everything else in a score. Only the last reference
    and extractor are kept, so memory stays that of one.
    """
    setting, metric = source.setting, source.metric
    owner = f"{setting.extractor.hash if setting.extractor else ''}/{setting.pools['reference'].score_sha256}"
    if [owner] != _PREPARED_FOR:
        _PREPARED.clear()
        _PREPARED_FOR[:] = [owner]
    assert metric.prepare is not None
    key = (metric.prepare, metric.needs, pool, k)
    if key not in _PREPARED:
        _PREPARED[key] = metric.prepare(setting.arrays(pool, metric.needs)[source.rows(pool, k)])
    return _PREPARED[key]


def _with_floor(source: _Source, k: int | None, request: ScoreSpec) -> dict[str, Any]:
    """Return a scope's values and, beside each, its floor, its value at the floor's n, its interval."""
    values = source.value(k)
    out = dict(values)
    if {"heldout", "training"} & set(source.metric.inputs):
        return out  # calibrated on held-out images already
    here, real = source.rows("generated", k), source.rows("floor_heldout", k)
    per = 1 if k is not None else source.setting.num_classes
    count = min(len(here) // per, len(real) // per)
    if count * per < source.metric.minimum:
        return out
    for name, draws in _floor(source, k, count, request.floor_draws).items():
        out[f"{name}.floor"] = float(np.mean(draws))
        if len(draws) > 1:
            out[f"{name}.floor_sd"] = float(np.std(draws, ddof=1))
    halved = source.pools["floor_reference"] is not source.pools["reference"]
    if len(here) // per > count or halved:
        cut = [
            source.value(k, rows=rows, reference="floor_reference")
            for rows in _draws(source, "generated", k, count, request.floor_draws)
        ]
        for name in values:
            out[f"{name}.at_floor_n"] = float(np.mean([one[name] for one in cut]))
    if request.bootstrap and len(here) // per >= 2 * source.metric.minimum:
        labels = source.pools["generated"].labels[here]
        intervals = bootstrap(
            lambda rows: source.value(k, rows=here[rows]),
            len(here),
            replicates=request.bootstrap,
            seed=SCORE_SEED,
            labels=labels,
        )
        for name, interval in intervals.items():
            out[f"{name}.ci_low"], out[f"{name}.ci_high"] = interval.low, interval.high
    return out


def _draws(source: _Source, pool: str, k: int | None, count: int, repeats: int) -> list[np.ndarray]:
    """Return seeded draws of `count` images a class without replacement; one where that is all there are."""
    labels = source.pools[pool].rows
    classes = sorted(labels) if k is None else [k]
    if all(len(labels[c]) == count for c in classes):
        repeats = 1
    out = []
    for repeat in range(repeats):
        stream = rng.numpy_generator(SCORE_SEED, f"floor/{pool}/{k}/{count}", repeat)
        out.append(np.concatenate([np.sort(stream.permutation(labels[c])[:count]) for c in classes]))
    return out


def _floor(source: _Source, k: int | None, count: int, repeats: int) -> dict[str, list[float]]:
    """Return each output's floor draws; they depend on real images alone, so they are kept on disk."""
    setting, metric = source.setting, source.metric
    identity = json.dumps(
        {
            "metric": metric.definition,
            "extractor": setting.extractor.hash if setting.extractor else None,
            "sets": [source.pools[name].score_sha256 for name in ("floor_reference", "floor_heldout")],
            "class": k,
            "count": count,
            "repeats": repeats,
        },
        sort_keys=True,
    )
    path = setting.cache / "floors" / f"{hashlib.sha256(identity.encode()).hexdigest()[:32]}.json"
    if path.exists():
        return read_json(path)
    draws = [
        source.value(k, "floor_heldout", rows, reference="floor_reference")
        for rows in _draws(source, "floor_heldout", k, count, repeats)
    ]
    out = {name: [float(one[name]) for one in draws] for name in draws[0]}
    write_json(path, out)
    return out


# -- rows -------------------------------------------------------------------------------------------


def _row(
    metric: Metric, setting: Setting, cell: Dataset, k: int | None, name: str, value: float, source: _Source
) -> dict[str, Any]:
    generated = source.rows("generated", k)
    reference = source.rows("reference", k)
    return {
        "scope": "overall" if k is None else "class",
        "class_or_group": "" if k is None else str(k),
        "n_train": int(cell.counts.sum() if k is None else cell.counts[k]),
        "metric": name,
        "definition": metric.definition,
        "extractor": setting.extractor.name if setting.extractor else "",
        "reference": setting.reference,
        "n_reference": len(reference),
        "n_generated": len(generated),
        "value": value,
        "extractor_hash": setting.extractor.hash if setting.extractor else "",
        "reference_hash": setting.pools["reference"].score_sha256[:16],
        "manifest": cell.manifest_hash[:16],
    }


def _groups(
    metric: Metric, per_class: dict[tuple[str, int], dict[str, Any]], cell: Dataset
) -> list[dict[str, Any]]:
    """Average the classes' rows over each shot group and over all classes, and pick the worst class."""
    groups = {**cell.groups, "macro": tuple(range(cell.num_classes))}
    better = {output.name: output.better for output in metric.outputs}
    rows = []
    for name in dict.fromkeys(name for name, _ in per_class):
        if name.endswith((".floor_sd", ".ci_low", ".ci_high")):
            continue  # spreads do not average
        for group, labels in groups.items():
            found = [per_class[name, k] for k in labels if (name, k) in per_class]
            if len(found) == len(labels):
                rows.append(_combined(found, group, float(np.mean([row["value"] for row in found]))))
        found = [row for (other, _), row in per_class.items() if other == name]
        if len(found) == cell.num_classes and better.get(name):
            pick = np.max if better[name] == "lower" else np.min
            rows.append(_combined(found, "worst", float(pick([row["value"] for row in found]))))
    return rows


def _combined(rows: list[dict[str, Any]], group: str, value: float) -> dict[str, Any]:
    """Return a group's row; its sample sizes are those of one class, the fewest in the group."""
    return {
        **rows[0],
        "scope": "group",
        "class_or_group": group,
        "n_train": sum(row["n_train"] for row in rows),
        "n_reference": min(row["n_reference"] for row in rows),
        "n_generated": min(row["n_generated"] for row in rows),
        "value": value,
    }
