"""Series that differ in one factor alone (guidance, steps, FLOPs, NFE, a hyper-parameter), as curves over it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ltbench.analysis.records import Runs, training_flops
from ltbench.analysis.series import Series, grouped, labelled
from ltbench.runs.variants import current_default

_MOST_LINES = 14  # curves in a panel
# What changes with a factor: FLOPs with steps; guidance 0 needs no unconditional pass (and `passes` has NFE without it).
_FOLLOWS = {"flops": ("step",), "guidance": ("nfe",), "nfe": ("passes", "sample.steps")}


@dataclass(frozen=True)
class Curve:
    """Series that differ in one factor alone, by rising x, with the name that tells the curve from the others."""

    x: list[float]
    series: list[Series]
    label: str = ""

    @property
    def kind(self) -> str:
        """The kind of sampler of all its points."""
        return self.series[0].kind

    @property
    def rule(self) -> str:
        """The rule of guidance of all its points."""
        return self.series[0].rule

    @property
    def seeds(self) -> tuple[int, ...]:
        """The training seeds that any of its points has."""
        return tuple(sorted({seed for one in self.series for seed in one.train_seeds}))

    def without(self, factor: str) -> Series:
        """Return it as one series, without what the x axis tells."""
        unsaid = {factor, *_FOLLOWS.get(factor, ())} & {"step", "guidance", "nfe"}
        blank: dict[str, Any] = dict.fromkeys(unsaid, math.nan)
        return replace(self.series[0], label=self.label, train_seeds=self.seeds, **blank)


def varied(series: Sequence[Series], factor: str, runs: Runs) -> list[Curve]:
    """Return the curves over a factor: of series that are alike in all else, the guidance's rule included."""
    follow = _follow(factor)
    columns = ("method", "variant", "step", "sampler", "nfe", "guidance", "origin", "passes")
    fixed = [name for name in columns if name not in follow]

    def rest(one: Series) -> tuple[object, ...]:
        settings = sorted((k, str(v)) for k, v in one.flat.items() if k not in follow)
        return *(str(getattr(one, name)) for name in fixed), *settings

    known = {one.key: x for one in series if (x := _x(one, factor, runs)) == x}
    lines = grouped((one for one in series if one.key in known), rest).values()
    rising = [sorted(line, key=lambda one: known[one.key]) for line in lines]
    curves = [Curve([known[one.key] for one in line], line) for line in rising]
    return [curve for curve in curves if len(set(curve.x)) > 1]


def _follow(factor: str) -> set[str]:
    """Return the factor and what changes with it; a changed hyper-parameter makes a variant "custom"."""
    return {factor, *_FOLLOWS.get(factor, ()), *(("variant",) if "." in factor else ())}


def _x(one: Series, factor: str, runs: Runs) -> float:
    """Return a series' value of a factor, a hyper-parameter's default where it is not set; nan where it has none."""
    if factor == "flops":
        return training_flops(one, runs)
    part, dot, name = factor.partition(".")
    value: Any = one.flat.get(factor) if dot else getattr(one, factor)
    if dot and factor not in one.flat and part in one.method.split("+"):
        value = current_default(part, name)
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def curves_that_fit(curves: Sequence[Curve]) -> list[Curve]:
    """Keep what a figure can hold: of many curves each method's longest, then the one of most trainings."""
    if len(curves) <= _MOST_LINES:
        return list(curves)

    def size(curve: Curve) -> tuple[int, int]:
        return len(curve.series), sum(len(one.train_seeds) for one in curve.series)

    methods = grouped(curves, lambda curve: curve.series[0].method)
    best = {method: max(rows, key=size) for method, rows in methods.items()}  # the first of equals
    return [curve for curve in curves if best[curve.series[0].method] is curve]


def label_curves(curves: Sequence[Curve], factor: str) -> list[Curve]:
    """Label each curve by what tells it from the others; the factor and what follows it do not."""
    names = labelled([curve.series[0] for curve in curves], _follow(factor))
    return [replace(curve, label=one.label) for curve, one in zip(curves, names, strict=True)]
