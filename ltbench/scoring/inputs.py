"""What a metric is computed from: sets of images, their features and a place, to the metric's arguments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ltbench.data import ImageSet
from ltbench.data.groupings import labels_text
from ltbench.data.images import SCORE_SEED
from ltbench.errors import UsageError
from ltbench.extractors.registry import Extractor, Features, cached_features
from ltbench.metrics.registry import Metric

_WORDS = {"heldout": "held-out", "floor_heldout": "held-out", "floor_reference": "reference"}


@dataclass(frozen=True)
class Place:
    """Which images a number is of.

    Attributes
    ----------
    scope
        ``overall``, ``class`` or ``pooled`` (the images of several classes as one set).
    name
        What ``class_or_group`` says.
    labels
        The classes, or None for all.
    grouping
        Name of the grouping that a pooled group belongs to.
    """

    scope: Literal["overall", "class", "pooled"]
    name: str = ""
    labels: tuple[int, ...] | None = None
    grouping: str = ""

    @property
    def key(self) -> int | str | None:
        """Return what stands for the place in names of kept floors and of random streams."""
        if self.labels is None:
            return None
        return self.labels[0] if self.scope == "class" else labels_text(self.labels)

    @property
    def title(self) -> str:
        """Return the place in words: ``class 3``, ``tail``, ``the whole set``."""
        return {"overall": "the whole set", "class": f"class {self.name}", "pooled": self.name}[self.scope]


OVERALL = Place("overall")


class ReferenceCache:
    """What metrics make of a reference (covariance, neighbours), made once for many sample sets and metrics.

    A 60,000-image reference's neighbours cost more than everything else in a score. Only the last reference
    and extractor are kept, so memory stays that of one.
    """

    def __init__(self) -> None:
        self._owner = ""
        self._made: dict[tuple[Any, ...], Any] = {}

    def get(self, inputs: MetricInputs, pool: str, place: Place) -> Any:
        """Return ``metric.prepare`` of the place's images in a pool."""
        context, metric = inputs.context, inputs.metric
        extractor = context.extractor.hash if context.extractor else ""
        owner = f"{extractor}/{context.pools['reference'].score_sha256}"
        if owner != self._owner:
            self._made.clear()
            self._owner = owner
        if metric.prepare is None:
            raise UsageError(f"{metric.name} prepares no reference")
        key = (metric.prepare, metric.needs, pool, place.labels)
        if key not in self._made:
            images = context.arrays(pool, metric.needs)[inputs.rows(pool, place)]
            with metric.guarded("failed to prepare its reference"):
                self._made[key] = metric.prepare(images)
        return self._made[key]


PROCESS_CACHE = ReferenceCache()
"""The cache that scores of one process share unless they are given another."""


@dataclass(frozen=True)
class ScoringContext:
    """Everything that one sample set's metrics on one extractor are computed from.

    Attributes
    ----------
    pools
        Reference, heldout, training, generated; floor_reference and floor_heldout, the disjoint real sets
        of the floors.
    extractor
        None for metrics on images.
    cache
        Folder for features and floors.
    reference
        What the reference is called.
    prepared
        What was made of the reference.
    extracted
        Features by pool, shared by the metrics on one extractor.
    absent
        Name of the extractor that a metric needs and that is not here, in `extractor`'s place.
    """

    pools: dict[str, ImageSet]
    extractor: Extractor | None
    num_classes: int
    cache: Path
    reference: str
    prepared: ReferenceCache
    extracted: dict[str, Features] = field(default_factory=dict)
    absent: str = ""

    def arrays(self, pool: str, needs: str) -> np.ndarray:
        """Return features (n,d), logits (n,M) or images (n,C,H,W) of a pool, computed once.

        Raises
        ------
        UsageError
            The extractor has no class scores.
        """
        if needs == "images" or self.extractor is None:
            return self.pools[pool].images
        if pool not in self.extracted:
            images = self.pools[pool].images
            self.extracted[pool] = cached_features(self.extractor, images, self.cache / "features")
        extracted = self.extracted[pool]
        array = extracted.features if needs == "features" else extracted.logits
        if array is None:
            raise UsageError(f"{self.extractor.name} gives no class scores: choose another extractor")
        return array


class MetricInputs:
    """A metric's arguments at a place, out of a context's pools."""

    def __init__(self, metric: Metric, context: ScoringContext) -> None:
        self.metric, self.context = metric, context
        self.pools = context.pools

    @property
    def also_read(self) -> list[str]:
        """Real pools that the metric reads beside the reference and what it scores, images or labels."""
        taken = {name.removesuffix("_labels") for name in self.metric.inputs}
        return sorted(taken & {"training", "heldout"})

    def rows(self, pool: str, place: Place) -> np.ndarray:
        """Positions of the place's images in a pool."""
        source = self.pools[pool]
        if place.labels is None:
            return np.arange(len(source.labels))
        none = np.array([], np.int64)
        return np.sort(np.concatenate([source.rows.get(k, none) for k in place.labels]))

    def classes(self, place: Place) -> Sequence[int]:
        """The classes of a place."""
        return range(self.context.num_classes) if place.labels is None else place.labels

    def smallest(self, pool: str, place: Place) -> int:
        """Return the images that a pool has of its smallest class of the place; of unlabelled ones an equal share."""
        if not self.pools[pool].labelled:
            return len(self.pools[pool]) // len(self.classes(place))
        rows = self.pools[pool].rows
        return min(len(rows.get(k, ())) for k in self.classes(place))

    def sizes(self, place: Place) -> tuple[int, int]:
        """Return the numbers of real images that a place's samples are compared with, and of the samples.

        Of a metric that takes no real images it is the reference's number, by which reports match stored rows.
        """
        taken = self.metric.inputs
        real = next((pool for pool in ("reference", "training", "heldout") if pool in taken), "reference")
        return len(self.rows(real, place)), len(self.rows("generated", place))

    def shortage(self, place: Place) -> str:
        """Say which of the metric's sets lacks images or labels at a place; empty where all have enough."""
        by_class = place.labels is not None or "generated_labels" in self.metric.inputs
        if by_class and not self.pools["generated"].labelled:
            return f"the samples have no labels, which {self.metric.name} needs here"
        for name in (name for name in self.metric.inputs if name in self.pools):
            there = len(self.rows(name, place))
            if there < self.metric.minimum:
                return (
                    f"{place.title} has {there} {_WORDS.get(name, name)} image{'s' * (there != 1)}"
                    f" and {self.metric.name} needs {self.metric.minimum}"
                )
        return ""

    def reference(self, place: Place, pool: str = "reference") -> Any:
        """Return the place's reference, prepared once where the metric can."""
        if pool == "floor_reference" and self.pools[pool] is self.pools["reference"]:
            pool = "reference"
        if self.metric.prepare is None:
            return self.context.arrays(pool, self.metric.needs)[self.rows(pool, place)]
        return self.context.prepared.get(self, pool, place)

    def value(
        self,
        place: Place,
        pool: str = "generated",
        rows: np.ndarray | None = None,
        reference: str = "reference",
    ) -> dict[str, Any]:
        """Return the metric's values at a place, with `rows` of `pool` as the generated images.

        Raises
        ------
        UsageError
            What the metric refuses; it failed, or gave NaN or infinity. Where it gives one number a class, NaN
            says that this class has none.
        """
        needs, context = self.metric.needs, self.context
        chosen = self.rows(pool, place) if rows is None else rows
        available: dict[str, Any] = {
            "num_classes": context.num_classes,
            "seed": SCORE_SEED,
            "generated": context.arrays(pool, needs)[chosen],
            "generated_labels": self.pools[pool].labels[chosen],
        }
        for name in ("heldout", "training"):
            if name in self.metric.inputs:
                available[name] = context.arrays(name, needs)[self.rows(name, place)]
            available[f"{name}_labels"] = self.pools[name].labels[self.rows(name, place)]
        if "reference" in self.metric.inputs:
            available["reference"] = self.reference(place, reference)
        available["reference_labels"] = self.pools[reference].labels[self.rows(reference, place)]
        values = self.metric(**available)
        self.metric.check_finite(values)
        return values
