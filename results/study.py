"""One bundle's scores as queries in words: a number, a difference with its interval, a rank correlation."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from ltbench.report.tables.cost import correlation_text
from ltbench.runs.bundle import read_bundle
from ltbench.runs.provenance import processors
from ltbench.runs.results import Results, load_results
from ltbench.stats import paired

STOCHASTIC, DETERMINISTIC = "sde-dpmsolver++", "dpmsolver++"
COLUMNS = {"ratio": "imbalance_ratio"}  # filters that are called shorter than the scores' columns
GROUPS = ("head", "middle", "tail")


class Study:
    """The scores of one bundle, and how a page asks for them.

    Every query takes ``method`` ("cbdm", or "cbdm:published" for a variant), ``where`` ("overall", a third such
    as "tail", "pooled tail", or a class as "9") and filters by column: ``metric`` (default frechet), ``sampler``
    (default the stochastic one), ``guidance`` (0), ``rule`` (plain), ``ratio``, ``step``, ``class_order``, ``split_seed``,
    or by a setting, as ``train.learning_rate``.
    """

    def __init__(self, folder: Path, **defaults: object) -> None:
        self.folder, self.defaults = folder, defaults

    @functools.cached_property
    def scores(self) -> pd.DataFrame:
        """Our own scores, with the grouping into thirds alone."""
        scores = self._results.scores
        return scores[(scores["origin"] == "ours") & scores["grouping"].isin(["", "thirds"])]

    @functools.cached_property
    def _results(self) -> Results:
        return load_results(self.folder)

    def miscounted(self) -> str:
        """Say how many numbers the bundle states and how many are read; empty where they agree."""
        stated, read = read_bundle(self.folder).index["numbers"], len(self._results.scores)
        return "" if stated == read else f"{self.folder} states {stated:,} numbers and {read:,} are read"

    @functools.cached_property
    def _places(self) -> dict[tuple[str, ...], np.ndarray]:
        """Rows by method, metric, scope and place: a page asks hundreds of times, of a million rows."""
        keys = ["method", "metric", "scope", "class_or_group"]
        return dict(self.scores.groupby(keys, observed=True).indices)

    @functools.cached_property
    def probes(self) -> pd.DataFrame:
        """The figures of every network's bottleneck, a row a (run, step, protocol, t, metric)."""
        runs = self._results.runs.values()
        return pd.concat([table for run in runs if (table := run.probes()) is not None], ignore_index=True)

    def probe(self, metric: str, t: int, protocol: str = "noised") -> pd.DataFrame:
        """Return an entanglement figure at a noise level and the last step: training seed x method.

        Raises
        ------
        LookupError
            It was not measured, or there are several of a seed and method.
        """
        rows = self.probes
        rows = rows[(rows["metric"] == metric) & (rows["t"] == t) & (rows["protocol"] == protocol)]
        rows = rows[rows["step"] == rows["step"].max()]
        if rows.empty or rows.duplicated(["train_seed", "method"]).any():
            raise LookupError(f"{self.folder.name}: no one {metric} of {protocol} images at t = {t}")
        return rows.pivot_table(index="train_seed", columns="method", values="value")

    def entanglement(self, method: str, metric: str, t: int, digits: int = 2) -> str:
        """Return an entanglement figure's ``mean ± sd`` over training seeds, of noised images with the null label."""
        values = self.probe(metric, t)[method].dropna()
        return f"{values.mean():.{digits}f} ± {values.std():.{digits}f}"

    def correlation(
        self, metric: str, t: int, where: str = "overall", within: bool = False, **filters: object
    ) -> str:
        """Return Spearman's correlation over trainings of an entanglement figure with the FD, and p over whole seeds.

        `within` methods each method's mean is taken out of both: is the less entangled training of a method better?
        """
        figure = self.probe(metric, t)
        distance = pd.DataFrame({method: self.values(method, where, **filters) for method in figure})
        return correlation_text(figure, distance, within)

    def values(self, method: str, where: str = "overall", **filters: object) -> pd.Series:
        """Return the values by training seed, ascending.

        Raises
        ------
        LookupError
            No such score, or several of one seed: the query has to say which.
        """
        return self._rows(method, where, **filters).set_index("train_seed")["value"].sort_index()

    def _rows(self, method: str, where: str, **filters: object) -> pd.DataFrame:
        """Return the rows of the scores behind `values`, one a training seed; errors as there."""
        asked = (
            {"metric": "frechet", "sampler": STOCHASTIC, "guidance": 0.0, "rule": ""}
            | self.defaults
            | filters
        )
        name, _, variant = method.partition(":")
        scope, place = _place(where)
        rows = self.scores.iloc[self._places.get((name, str(asked["metric"]), scope, place), [])]
        if variant:
            rows = rows[rows["variant"] == variant]
        for column, value in asked.items():
            held = rows["settings"].astype(object).map(_settings).str.get(column) if "." in column else None
            rows = rows[(rows[COLUMNS.get(column, column)] if held is None else held) == value]
        problem = "no score" if rows.empty else "several scores a seed"
        if rows.empty or not rows["train_seed"].is_unique:
            raise LookupError(f"{self.folder.name}: {problem} of {method} in {where} with {asked}")
        return rows

    def mean(
        self, method: str, where: str = "overall", digits: int = 2, spread: bool = True, **filters: object
    ) -> str:
        """Return ``mean ± sd`` over training seeds; the value alone where there is one seed."""
        values = self.values(method, where, **filters)
        text = f"{values.mean():.{digits}f}"
        return f"{text} ± {values.std():.{digits}f}" if spread and len(values) > 1 else text

    def sd(self, method: str, where: str = "overall", digits: int = 2, **filters: object) -> str:
        """Return the standard deviation over training seeds."""
        return f"{self.values(method, where, **filters).std():.{digits}f}"

    def percent(self, method: str, where: str = "tail", **filters: object) -> str:
        """Return a rate's mean over seeds in percent."""
        value = 100 * self.values(method, where, **filters).mean()
        return f"{value:.0f} %" if value >= 10 else f"{value:.1f} %"

    def floor(
        self, where: str = "overall", digits: int = 2, metric: str = "frechet", **filters: object
    ) -> str:
        """Return the metric of held-out real images against the reference."""
        return f"{self.values('ddpm', where, metric=f'{metric}.floor', **filters).mean():.{digits}f}"

    def reference(self, where: str = "overall", **filters: object) -> int:
        """Return how many reference images DDPM's Frechet distance is measured against."""
        return int(self._rows("ddpm", where, **filters)["n_reference"].iloc[0])

    def seeds(self, method: str = "ddpm", **filters: object) -> int:
        """Return how many training seeds a method has."""
        return len(self.values(method, **filters))

    def steps(self, method: str = "ddpm") -> list[int]:
        """Return the training steps at which a method was scored, ascending."""
        name = method.partition(":")[0]
        return sorted(map(int, self.scores.loc[self.scores["method"] == name, "step"].unique()))

    def steps_of_seeds(self, seeds: int, method: str = "ddpm") -> int:
        """Return the last training step at which a method was scored with so many training seeds."""
        return max(step for step in self.steps(method) if self.seeds(method, step=step) >= seeds)

    def reach(self, methods: Mapping[str, str], seeds: int, unit: int) -> str:
        """Return how far methods (name -> title) go with so many seeds, in lengths of `unit`: ``A and B to 16 times``."""
        titles: dict[int, list[str]] = {}
        for name, title in methods.items():
            titles.setdefault(self.steps_of_seeds(seeds, name) // unit, []).append(title)
        return ", ".join(
            f"{enumeration(those)} to {times} times" for times, those in sorted(titles.items(), reverse=True)
        )

    def shown_steps(
        self, method: str, steps: Sequence[int], where: str = "overall", **filters: object
    ) -> list[int]:
        """Return the steps at which a method's difference from DDPM has an interval without 0."""
        out = []
        for step in steps:
            a, b = (self.values(name, where, **filters, step=step) for name in (method, "ddpm"))
            result = paired(a, b)
            if result is not None and (result.low > 0 or result.high < 0):
                out.append(step)
        return out

    def first_under_floor(
        self, method: str, steps: Sequence[int], where: str, metric: str, **filters: object
    ) -> int | None:
        """Return the first of the steps at which a method's mean is below that of held-out real images; None: never."""
        for step in steps:
            here = filters | {"step": step}
            floor = self.values("ddpm", where, metric=f"{metric}.floor", **here).mean()
            if self.values(method, where, metric=metric, **here).mean() < floor:
                return step
        return None

    def processors(self) -> str:
        """Return the processors that made the bundle."""
        return enumeration(processors(run.provenance for run in self._results.runs.values()))

    def measured(self, methods: Mapping[str, str], **filters: object) -> dict[str, str]:
        """Return those of the methods (name -> title) that have scores."""
        found = {}
        for name, title in methods.items():
            with contextlib.suppress(LookupError):
                self.values(name, **filters)
                found[name] = title
        return found

    def coverage(self, methods: Mapping[str, str], **filters: object) -> str:
        """Return how many seeds which methods have: ``3 seeds of DDPM, 1 of T2H``, ``3 seeds of all 2 methods``."""
        by_seeds: dict[int, list[str]] = {}
        for name, title in self.measured(methods, **filters).items():
            by_seeds.setdefault(self.seeds(name, **filters), []).append(title)
        if len(methods) > 1 and [len(titles) for titles in by_seeds.values()] == [len(methods)]:
            (n,) = by_seeds
            return f"{n} seed{'s' * (n != 1)} of all {len(methods)} methods"
        parts = [f"{n} of {enumeration(titles)}" for n, titles in sorted(by_seeds.items(), reverse=True)]
        first, *rest = parts
        n, of, titles = first.partition(" of ")
        return ", ".join([f"{n} seed{'s' * (n != '1')}{of}{titles}", *rest])

    def diverged(self, method: str, over: float = 10.0, **filters: object) -> int:
        """Return in how many training seeds the overall FD is over a bound."""
        return int((self.values(method, **filters) > over).sum())

    def diff(
        self, method: str, baseline: str = "ddpm", where: str = "overall", digits: int = 2, **filters: object
    ) -> str:
        """Return ``mean [low, high], k of n seeds`` of the paired difference, as a 95 % t interval."""
        return _difference(
            self.values(method, where, **filters), self.values(baseline, where, **filters), digits
        )

    def best_diff(
        self,
        method: str,
        where: str = "overall",
        scales: tuple[float, ...] = (0.0, 0.5, 1.0, 1.5, 2.0),
        **filters: object,
    ) -> str:
        """Return the paired difference from DDPM, each at its `best` scale."""
        sides = (
            self.values(name, where, **filters, guidance=self.best(name, where, scales, **filters)[0])
            for name in (method, "ddpm")
        )
        return _difference(*sides, 2)

    def rule_diff(self, rule: str, method: str, where: str = "tail", **filters: object) -> str:
        """Return ``mean [low, high], k of n seeds`` of a rule of guidance minus plain guidance, same method and scale."""
        return _difference(
            self.values(method, where, **filters, rule=rule), self.values(method, where, **filters), 2
        )

    def agreement(self, methods: list[str], where: str = "overall", **filters: object) -> str:
        """Return Spearman's correlation of the methods' means under the two kinds of sampler."""
        means = [
            [self.values(method, where, **filters, sampler=sampler).mean() for method in methods]
            for sampler in (STOCHASTIC, DETERMINISTIC)
        ]
        return f"{spearmanr(*means).statistic:.2f}"

    def best(
        self,
        method: str,
        where: str = "overall",
        scales: tuple[float, ...] = (0.0, 0.5, 1.0, 1.5, 2.0),
        **filters: object,
    ) -> tuple[float, float]:
        """Return (scale, mean) of the guidance scale with the lowest mean: chosen on what it is reported by."""
        means = {
            scale: float(self.values(method, where, **filters, guidance=scale).mean()) for scale in scales
        }
        scale = min(means, key=means.__getitem__)
        return scale, means[scale]

    def lowest(
        self,
        methods: Sequence[str],
        steps: Sequence[int],
        scales: Sequence[float],
        where: str,
        **filters: object,
    ) -> tuple[str, int, float]:
        """Return (method, step, scale) of the lowest mean of all that were measured."""
        means = {}
        for key in itertools.product(methods, steps, scales):
            with contextlib.suppress(LookupError):
                method, step, scale = key
                means[key] = self.values(method, where, **filters, step=step, guidance=scale).mean()
        return min(means, key=means.__getitem__)

    def counts(self, **filters: object) -> list[int]:
        """Return the training images of each class (K,), in order of their labels, as DDPM's scores state them."""
        rows = self.scores[(self.scores["method"] == "ddpm") & (self.scores["scope"] == "class")]
        for column, value in (self.defaults | filters).items():
            rows = rows[rows[COLUMNS.get(column, column)] == value]
        each = rows[["class_or_group", "n_train"]].astype({"class_or_group": str}).drop_duplicates()
        if each.empty or not each["class_or_group"].is_unique:
            raise LookupError(f"{self.folder.name}: no one set of training images with {filters}")
        return [int(n) for _, n in sorted((int(k), n) for k, n in each.itertuples(index=False))]

    def first_at(
        self,
        method: str,
        methods: list[str],
        where: str = "overall",
        scales: tuple[float, ...] = (0.0, 0.5, 1.0, 1.5, 2.0),
        **filters: object,
    ) -> str:
        """Return at how many of the guidance scales a method has the lowest mean of all methods: ``k of n``."""

        def mean(name: str, scale: float) -> float:
            return float(self.values(name, where, **filters, guidance=scale).mean())

        first = sum(
            min(methods, key=lambda name, scale=scale: mean(name, scale)) == method for scale in scales
        )
        return f"{first} of {len(scales)}"


@functools.cache
def _settings(text: str) -> dict[str, object]:
    settings: dict[str, object] = json.loads(text)
    return settings


def enumeration(names: Sequence[str]) -> str:
    """Return names as a sentence says them: ``A, B and C``."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def _difference(a: pd.Series, b: pd.Series, digits: int) -> str:
    result = paired(a, b)
    if result is None:
        raise LookupError("the two have no seed in common")
    if result.n == 1:
        return f"{result.mean:+.{digits}f} (one seed)"
    if result.low != result.low:  # all seeds' differences are equal
        return f"{result.mean:+.{digits}f}, {result.agree} of {result.n} seeds"
    low, high = f"{result.low:+.{digits}f}", f"{result.high:+.{digits}f}"
    return f"{result.mean:+.{digits}f} [{low}, {high}], {result.agree} of {result.n} seeds"


def _place(where: str) -> tuple[str, str]:
    """Return (scope, class_or_group) of a place in words."""
    if where == "overall":
        return "overall", ""
    if where.startswith("pooled "):
        return "pooled", where.removeprefix("pooled ")
    return ("group", where) if where in (*GROUPS, "macro", "worst") else ("class", where)
