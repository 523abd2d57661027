"""The metrics by name: those of the tree in the order of print, then those of installed packages.

Another package adds one by an entry point of the group ``ltbench.metrics`` that names a `Metric` (or a list).
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, get_args

from ltbench.errors import UsageError, nearest
from ltbench.metrics.base import GIVEN, PROBED, Lazy, Metric, Needs, Output, Scope, Value
from ltbench.metrics.catalogue import CATALOGUE
from ltbench.plugins import ExtensionPoint

__all__ = [
    "METRICS",
    "REGISTRY",
    "Metric",
    "Output",
    "Scope",
    "Value",
    "check",
    "find_output",
    "get_metric",
    "requested_metrics",
]


def check(metric: Any) -> None:
    """Raise TypeError or ValueError for what cannot be a metric of the registry."""
    if not isinstance(metric, Metric):
        raise TypeError(f"{metric!r} is no ltbench.metrics.base.Metric")
    if not metric.outputs or not metric.inputs:
        raise ValueError(f"{metric.name} has no inputs or no outputs")
    if not {"overall", "class", "pooled"} >= set(metric.scopes) or not metric.scopes:
        raise ValueError(f"{metric.name}: scopes are overall, class and pooled, not {metric.scopes}")
    if not callable(metric.function):
        raise TypeError(f"{metric.name}: its function cannot be called")
    _check_outputs(metric)
    _check_inputs(metric)
    if not isinstance(
        metric.function, Lazy
    ):  # to ask a function of the tree for its signature would import torch
        _check_call(metric.name, "function", metric.function, metric.inputs, metric.settings)
    if metric.prepare is not None and not isinstance(metric.prepare, Lazy):
        _check_call(metric.name, "prepare", metric.prepare)


def _check_outputs(metric: Metric) -> None:
    names = [output.name for output in metric.outputs]
    if any("." in name for name in names):
        raise ValueError(f"{metric.name}: the number {next(n for n in names if '.' in n)!r} holds a dot")
    if len(set(names)) < len(names):
        raise ValueError(f"{metric.name} has two outputs of one name")
    for output in (output for output in metric.outputs if output.per_class):
        start = f"{metric.name}: {output.name} is one number a class,"
        if metric.needs == "bottleneck":
            raise ValueError(f"{start} which the probe does not keep: write one output a figure")
        if tuple(metric.scopes) != ("overall",):
            raise ValueError(f"{start} from one computation on the whole set: write scopes=('overall',)")
        if metric.floor:
            raise ValueError(f"{start} and floors are kept of single numbers: write floor=False")


def _check_inputs(metric: Metric) -> None:
    if metric.needs not in get_args(Needs):
        raise ValueError(
            f"{metric.name}: nothing is called {metric.needs!r} that a metric could need"
            f"{nearest(str(metric.needs), get_args(Needs))}"
        )
    given = PROBED if metric.needs == "bottleneck" else GIVEN
    for name in metric.inputs:
        if name not in given:
            raise ValueError(
                f"{metric.name} takes {name!r}, which a metric that needs {metric.needs} is not given"
                f"{nearest(str(name), given)}"
            )
    if metric.floor and {"heldout", "heldout_labels"} & set(metric.inputs):
        # a floor puts held-out images in the samples' place, and these would still hold each of them
        raise ValueError(
            f"{metric.name}: its floor would compare the held-out images with themselves: "
            "take 'reference' in place of 'heldout', or write floor=False"
        )


def _check_call(
    name: str,
    role: str,
    function: Callable[..., Any],
    inputs: Iterable[str] = (),
    settings: Iterable[str] = (),
) -> None:
    """Raise TypeError where a function does not take these arguments by name, or one reference where there are none."""
    named = dict.fromkeys([*inputs, *settings])
    try:
        signature = inspect.signature(function)
    except ValueError:  # a compiled function states none
        return
    except TypeError as error:
        raise TypeError(f"{name}: its {role} cannot be called") from error
    try:
        signature.bind(*([] if named else [None]), **named)
    except TypeError as error:
        taken = ", ".join(named) or "one reference"
        raise TypeError(f"{name}: its {role} cannot be called with {taken}: {error}") from error


METRICS: ExtensionPoint[Metric] = ExtensionPoint(
    "metric",
    group="ltbench.metrics",
    name_of=lambda metric: metric.name,
    check=check,
    parts_of=lambda metric: [output.name for output in metric.outputs],
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
