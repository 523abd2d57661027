"""The one frame of differences, from paired scores to a row a series, place and measure; `contrasts` prints it.

Two methods trained with the same seed share initial weights, data order and noise, so their difference is taken
seed by seed. No p-value is given below six seeds: the exact sign-flip test of n pairs cannot go below 2 / 2^n,
which first falls under .05 at n = 6; and only for the one contrast that the study file declared.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from ltbench.analysis.cell_results import MEASURE, CellResults
from ltbench.analysis.names import Measure
from ltbench.analysis.protocols import main_protocols
from ltbench.analysis.series import Series, agree, agreeing, joined
from ltbench.specs import PLAIN
from ltbench.stats import EXACT_UP_TO, holm, paired_columns, sign_flip_p

if TYPE_CHECKING:
    from ltbench.study.contrast import Contrast

MIN_SEEDS_FOR_P = 6
PLACES = ("", "tail")  # all images, and the classes that this is about


class Difference(NamedTuple):
    """One row of the frame: a series' paired difference with its baseline, of one measure at one place."""

    measure: Measure
    series: str
    label: str
    baseline: str
    baseline_label: str
    scope: str
    place: str
    n: int
    mean: float
    low: float
    high: float
    agree: int
    p_t: float
    p: str

    @property
    def text(self) -> str:
        """In print: mean [interval] k/n."""
        mean, *ends = (f"{v:+.{self.measure.decimals}f}" for v in (self.mean, self.low, self.high))
        interval = (
            f" [{', '.join(ends)}]" if math.isfinite(self.low) else ""
        )  # none where all seeds' are equal
        return mean if self.n < 2 else f"{mean}{interval} {self.agree:.0f}/{self.n:.0f}"


def differences(cell: CellResults, baseline: str, declared: Contrast | None = None) -> pd.DataFrame:
    """Compare every series with its baseline, overall, per group and pooled.

    Returns
    -------
    One row a (series, scope, class_or_group, measure) with ``baseline`` and ``baseline_label`` (the series
    compared with), ``n``, ``seeds``, ``mean``, ``sd``, ``low``, ``high``, ``agree``, ``p_t`` (two-sided paired
    t test, uncorrected), ``p`` (a sentence).
    """
    pairs = [
        (one, base, rules, _is_declared(cell, one, base, rules, declared))
        for rules in (False, True)
        for one in cell.series
        if (base := other_rule(cell, one, declared) if rules else matching_baseline(cell, one, baseline))
    ]
    places = [
        (scope, place, measure)
        for scope in ("overall", "group", "pooled")
        for measure in cell.measures(scope)
        for place in ([""] if scope == "overall" else cell.groups(scope))
    ]
    rows: list[dict[Any, Any]] = []
    for scope, place, measure in places:
        asked = declared is not None and (declared.metric, declared.scope) == (
            measure.metric,
            place or "overall",
        )
        wide = cell.by_seed(scope, measure, place)
        here = [pair for pair in pairs if pair[0].key in wide and pair[1].key in wide]
        bases = wide[[base.key for _, base, *_ in here]].to_numpy()
        values_by_pair = wide[[one.key for one, *_ in here]].to_numpy() - bases
        numbers = paired_columns(values_by_pair).rename(columns={"p": "p_t"}).to_dict("records")
        for (one, base, rules, named), values, described in zip(here, values_by_pair.T, numbers, strict=True):
            known = np.isfinite(values)
            row: dict[Any, Any] = {
                "cell": cell.label,
                "series": one.key,
                "label": one.label,
                "baseline": base.key,
                "baseline_label": base.label,
                "scope": scope,
                "class_or_group": place,
                **measure._asdict(),
                "better": measure.better,
                "rules": rules,
                "declared": asked and named,
                **described,
                "seeds": " ".join(f"{seed:.0f}" for seed in wide.index[known]),
                "p": p_statement(values[known], asked and named),
            }
            rows += [row] if known.any() else []
    return pd.DataFrame(rows)


def matching_baseline(cell: CellResults, series: Series, baseline: str) -> Series | None:
    """Return the baseline's series to compare a series with: the same step, the protocol most alike.

    One of the same model, training and sampling settings before any other. Sampler, NFE and guidance that differ are
    allowed (papers tune guidance a method) and are shown by the label; another step never is, nor a deterministic
    sampler against a stochastic one or one rule of guidance against another, under which a scale means another thing.
    """
    if series.method == baseline:
        return None
    wanted = (baseline, series.step, series.kind, series.rule)
    rows = [s for s in cell.series if (s.method, s.step, s.kind, s.rule) == wanted]

    def alike(one: Series) -> tuple[bool, int]:
        return one.common == series.common, agreeing(one, series, "sampler", "guidance", "nfe", "origin")

    return max(rows, key=alike, default=None)


def other_rule(cell: CellResults, series: Series, declared: Contrast | None) -> Series | None:
    """Return the series that a declared contrast of rules sets a series against: one scale, as many evaluations."""
    if declared is None or not declared.rule or not _is_of(series, declared.method, declared.rule):
        return None
    same = ("step", "sampler", "guidance", "nfe", "origin")
    rows = (s for s in cell.series if _is_of(s, declared.baseline, declared.baseline_rule))
    return next((s for s in rows if agree(s, series, *same)), None)


def _is_of(series: Series, method: str, rule: str) -> bool:
    words = series.rule or PLAIN
    return series.method == method and rule in (words, words.partition(" ")[0])


def _is_declared(
    cell: CellResults, series: Series, base: Series, rules: bool, declared: Contrast | None
) -> bool:
    return (
        declared is not None
        and bool(declared.rule) == rules
        and (declared.method, declared.baseline) == (series.method, base.method)
        and all(declared.covers(cell.key, vars(one)) for one in (series, base))
    )


def p_statement(values: np.ndarray, declared: bool) -> str:
    """Say the p-value, or why there is none."""
    n = len(values)
    if n < MIN_SEEDS_FOR_P:
        return f"n too small: smallest attainable p = {2.0 / 2**n:.3g}" if n else "no common seed"
    if not declared:
        return "not declared beforehand"
    if n > EXACT_UP_TO:
        return f"t test: p = {paired_columns(values[:, None])['p'].iloc[0]:.2g}"
    return f"sign-flip test: p = {sign_flip_p(values):.2g}"


# -- views of the frame ---------------------------------------------------------------------------------------


def of_measure(
    frame: pd.DataFrame, measure: Measure, series: Iterable[Series], places: Collection[str]
) -> list[Difference]:
    """Return the rows of one measure, over all images and means over groups of any sizes, of series at places."""
    if frame.empty:
        return []
    keep = (frame["scope"] != "pooled") & ~frame["rules"]
    for name, value in measure._asdict().items():  # nan: a size that is not stated
        alike = frame[name].isna() if value != value else frame[name] == value
        keep &= alike | ((frame["scope"] != "overall") & name.startswith("n_"))
    keep &= frame["series"].isin([one.key for one in series]) & frame["class_or_group"].isin(list(places))
    return _rows(frame[keep])


def _rows(frame: pd.DataFrame) -> list[Difference]:
    measures = map(Measure._make, frame[MEASURE].itertuples(index=False, name=None))
    rest = frame.rename(columns={"class_or_group": "place"})[list(Difference._fields[1:])]
    others = rest.itertuples(index=False, name=None)
    return [Difference(measure, *row) for measure, row in zip(measures, others, strict=True)]


def shown_to_differ(rows: Sequence[Difference]) -> set[Difference]:
    """Return those that Holm's procedure over all of them shows to differ, at 5 %."""
    return {row for row, differs in zip(rows, holm([row.p_t for row in rows]), strict=True) if differs}


def declared_rows(cell: CellResults, frame: pd.DataFrame) -> list[Difference]:
    """Return the declared contrast's rows at the main protocols; a declaration names no sampler or guidance.

    Of rules, whose baseline is at the main protocols: a rule's own steps may be others.
    """
    if frame.empty:
        return []
    shown = [one.key for one in joined(main_protocols(cell))]
    compared = frame["series"].where(~frame["rules"], frame["baseline"])
    return _rows(frame[frame["declared"] & compared.isin(shown)])


def seed_differences(cell: CellResults, row: Difference) -> pd.Series:
    """Return a row's differences by training seed, those that both series have."""
    wide = cell.by_seed(row.scope, row.measure, row.place)
    return (wide[row.series] - wide[row.baseline]).dropna()
