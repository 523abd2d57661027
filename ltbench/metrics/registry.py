"""The metrics by name: those of the tree in the order of print, then those of installed packages.

Another package adds one by an entry point of the group ``ltbench.metrics`` that names a `Metric` (or a list).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ltbench.errors import UsageError, nearest
from ltbench.metrics.base import Metric, Output, Scope, Value
from ltbench.metrics.catalogue import CATALOGUE
from ltbench.plugins import ExtensionPoint

__all__ = [
    "METRICS",
    "REGISTRY",
    "Metric",
    "Output",
    "Scope",
    "Value",
    "find_output",
    "get_metric",
    "requested_metrics",
]


def _check(metric: Any) -> None:
    """Raise TypeError or ValueError for what cannot be a metric of the registry."""
    if not isinstance(metric, Metric):
        raise TypeError(f"{metric!r} is no ltbench.metrics.base.Metric")
    if not metric.outputs or not metric.inputs:
        raise ValueError(f"{metric.name} has no inputs or no outputs")
    if not {"overall", "class", "pooled"} >= set(metric.scopes) or not metric.scopes:
        raise ValueError(f"{metric.name}: scopes are overall, class and pooled, not {metric.scopes}")
    if not callable(metric.function):
        raise TypeError(f"{metric.name}: its function cannot be called")
    outputs = {output.name for output in metric.outputs}
    taken = outputs & {o.name for other in CATALOGUE if other is not metric for o in other.outputs}
    if taken or any("." in name for name in outputs):
        raise ValueError(f"{metric.name}: the number {min(taken or outputs)!r} is taken or holds a dot")


METRICS: ExtensionPoint[Metric] = ExtensionPoint(
    "metric",
    group="ltbench.metrics",
    name_of=lambda metric: metric.name,
    check=_check,
    built_in=lambda: [("ltbench.metrics", metric) for metric in CATALOGUE],
)


class _Ordered(Mapping[str, Metric]):
    """All metrics by name, the tree's in the order of print; found at the first question."""

    def __getitem__(self, name: str) -> Metric:
        return METRICS.all()[name]

    def __iter__(self) -> Iterator[str]:
        in_tree = [metric.name for metric in CATALOGUE]
        return iter([*in_tree, *(name for name in METRICS.all() if name not in in_tree)])

    def __len__(self) -> int:
        return len(METRICS.all())


REGISTRY: Mapping[str, Metric] = _Ordered()


def get_metric(name: str) -> Metric:
    """Return the metric called ``name``, or say which name is closest.

    Raises
    ------
    UsageError
        No such metric.
    """
    if name not in METRICS and name not in METRICS.broken():
        raise UsageError(f"no metric called {name!r}{nearest(name, REGISTRY)}")
    return METRICS[name]


def find_output(name: str) -> Output | None:
    """Return the output called ``name`` of any metric, such as ``recall``; None where there is none."""
    return next((o for metric in REGISTRY.values() for o in metric.outputs if o.name == name), None)


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
