"""The one frame of differences, from paired scores to tables: contrasts with the baseline, all cells at a glance.

Two methods trained with the same seed share initial weights, data order and noise, so their difference is taken
seed by seed. No p-value is given below six seeds: the exact sign-flip test of n pairs cannot go below 2 / 2^n,
which first falls under .05 at n = 6; and only for the one contrast that the study file declared.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from ltbench.report.cell_results import MEASURE, CellResults
from ltbench.report.names import (
    MISSING,
    Measure,
    group_title,
    mean_sd,
    method_rank,
    method_title,
)
from ltbench.report.protocols import main_protocols
from ltbench.report.series import Series, by_key, joined
from ltbench.report.tables.grid import Table, Tags, marked, measure_titles, series_tags
from ltbench.spec import PLAIN
from ltbench.stats import EXACT_UP_TO, agreement_chance, holm, paired_columns, sign_flip_p

if TYPE_CHECKING:
    from ltbench.study.contrast import Contrast

MIN_SEEDS_FOR_P = 6
PLACES = ("", "tail")  # all images, and the classes that this is about


class Difference(NamedTuple):
    """One row of the frame: a series' paired difference with its baseline, of one measure at one place."""

    series: str
    label: str
    baseline: str
    baseline_label: str
    scope: str
    place: str
    measure: Measure
    n: int
    mean: float
    low: float
    high: float
    agree: int
    p_t: float
    p: str


def differences(cell: CellResults, baseline: str, declared: Contrast | None = None) -> pd.DataFrame:
    """Compare every series with its baseline, overall, per group and pooled.

    Returns
    -------
    One row a (series, scope, class_or_group, measure) with ``baseline`` and ``baseline_label`` (the series
    compared with), ``n``, ``seeds``, ``mean``, ``sd``, ``low``, ``high``, ``agree``, ``p_t`` (two-sided paired
    t test, uncorrected), ``p`` (a sentence).
    """
    matched = [
        (one, base, False)
        for one in cell.series
        if (base := matching_baseline(cell, one, baseline)) is not None
    ]
    matched += [
        (one, base, True) for one in cell.series if (base := other_rule(cell, one, declared)) is not None
    ]
    rows: list[dict[str, Any]] = []
    numbers = []
    for scope, place, measure in _places(cell):
        wide = cell.by_seed(scope, measure, place)
        at = {key: i for i, key in enumerate(wide.columns)}
        here = [(one, base, rules) for one, base, rules in matched if one.key in at and base.key in at]
        if not here:
            continue
        table = wide.to_numpy()
        apart = (
            table[:, [at[one.key] for one, _, _ in here]] - table[:, [at[base.key] for _, base, _ in here]]
        )
        numbers.append(paired_columns(apart))
        seeds = wide.index.to_numpy().astype(int)
        for (one, base, rules), values in zip(here, apart.T, strict=True):
            known = np.isfinite(values)
            chosen = bool(declared and declared.rule) == rules and _is_declared(
                declared, cell, one, base, measure, place
            )
            rows.append(
                {
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
                    "declared": chosen,
                    "seeds": " ".join(map(str, seeds[known])),
                    "p": p_statement(values[known], chosen),
                }
            )
    if not rows:
        return pd.DataFrame()
    stated = pd.DataFrame(rows)
    found = pd.concat(numbers, ignore_index=True).rename(columns={"p": "p_t"})
    frame = pd.concat([stated.drop(columns=["seeds", "p"]), found, stated[["seeds", "p"]]], axis=1)
    return frame[frame["n"] > 0].reset_index(drop=True)


def _places(cell: CellResults) -> Iterator[tuple[str, str, Measure]]:
    for scope in ("overall", "group", "pooled"):
        for measure in cell.measures(scope):
            for place in [""] if scope == "overall" else cell.groups(scope):
                yield scope, place, measure


def matching_baseline(cell: CellResults, series: Series, baseline: str) -> Series | None:
    """Return the baseline's series to compare a series with: the same step, the protocol most alike.

    Sampler, NFE and guidance that differ are allowed (papers tune guidance a method) and are shown by the
    label; another step never is, nor a deterministic sampler against a stochastic one or one rule of guidance
    against another, under which a scale means another thing.
    """

    def alike(one: Series) -> int:
        pairs = (
            (getattr(one, name), getattr(series, name)) for name in ("sampler", "guidance", "nfe", "origin")
        )
        return sum(a == b or (a != a and b != b) for a, b in pairs)

    if series.method == baseline:
        return None
    rows = [
        s
        for s in cell.series
        if (s.method, s.step, s.kind, s.rule) == (baseline, series.step, series.kind, series.rule)
    ]
    return max(rows, key=alike, default=None)


def other_rule(cell: CellResults, series: Series, declared: Contrast | None) -> Series | None:
    """Return the series that a declared contrast of rules sets a series against: one scale, as many evaluations."""
    if declared is None or not declared.rule or series.method != declared.method:
        return None
    if not _has_rule(series, declared.rule):
        return None
    same = (series.step, series.sampler, series.guidance, series.nfe, series.origin)
    rows = [
        s
        for s in cell.series
        if s.method == declared.baseline
        and _has_rule(s, declared.baseline_rule)
        and (s.step, s.sampler, s.guidance, s.nfe, s.origin) == same
    ]
    return next(iter(rows), None)


def _has_rule(series: Series, name: str) -> bool:
    words = series.rule or PLAIN
    return name in (words, words.partition(" ")[0])


def _is_declared(
    declared: Contrast | None,
    cell: CellResults,
    series: Series,
    base: Series,
    measure: Measure,
    place: str,
) -> bool:
    return (
        declared is not None
        and declared.method == series.method
        and declared.baseline == base.method
        and declared.metric == measure.metric
        and declared.scope == (place or "overall")
        and declared.covers(cell.key, vars(series))
        and declared.covers(cell.key, vars(base))
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
    """Return the rows of one metric on one extractor, over all images and means over groups, of series at places."""
    if frame.empty:
        return []
    keep = (frame["metric"] == measure.metric) & (frame["extractor"] == measure.extractor)
    keep &= (frame["scope"] != "pooled") & ~frame["rules"]
    keep &= (frame["scope"] != "overall") | (frame["n_generated"] == measure.n_generated)
    keep &= frame["series"].isin([one.key for one in series]) & frame["class_or_group"].isin(list(places))
    return _rows(frame[keep])


def _rows(frame: pd.DataFrame) -> list[Difference]:
    columns = ["series", "label", "baseline", "baseline_label", "scope", "class_or_group"]
    numbers = ["n", "mean", "low", "high", "agree", "p_t", "p"]
    size = len(columns), len(columns) + len(MEASURE)
    return [
        Difference._make((*row[: size[0]], Measure._make(row[slice(*size)]), *row[size[1] :]))
        for row in frame[[*columns, *MEASURE, *numbers]].itertuples(index=False, name=None)
    ]


def shown_to_differ(rows: Sequence[Difference]) -> set[Difference]:
    """Return those that Holm's procedure over all of them shows to differ, at 5 %."""
    return {row for row, differs in zip(rows, holm([row.p_t for row in rows]), strict=True) if differs}


def difference_text(row: Difference) -> str:
    """Print one paired difference: mean [interval] k/n."""
    decimals = row.measure.decimals
    text = f"{row.mean:+.{decimals}f}"
    if row.n < 2:
        return text
    return f"{text} [{row.low:+.{decimals}f}, {row.high:+.{decimals}f}] {row.agree:.0f}/{row.n:.0f}"


def chances(seeds: Iterable[float]) -> str:
    """Say how often as many signs agree by chance, for each number of seeds that is there."""
    each = [
        f"{n}/{n} in {100 * agreement_chance(n, n):.2g} %" for n in sorted({int(n) for n in seeds} - {0, 1})
    ]
    return f" (by chance {', '.join(each)} of cases)" if each else ""


def contrast_table(cell: CellResults, frame: pd.DataFrame) -> Table | None:
    """Build the table of paired differences with the baseline, a row a method and protocol; None without any.

    The headline measures only, at the main protocols; contrasts.csv has every measure, place and setting.
    """
    if frame.empty:
        return None
    places = ["", *[g for g in cell.groups() if g != "macro"]]
    measures = cell.headline()
    lines = [  # a measure's title, a block, and its rows of the frame
        (title, block, of_measure(frame, measure, block, places))
        for measure, title in zip(measures, measure_titles(measures), strict=True)
        for block in main_protocols(cell)
    ]
    shown = [row for *_, rows in lines for row in rows]
    if not shown:
        return None
    differ = shown_to_differ(shown)
    rows: list[list[str]] = []
    tags: list[Tags] = []
    rules = []
    for title, block, found in lines:
        members = by_key(block)
        rules.append(len(rows))
        for key in dict.fromkeys(row.series for row in found):
            own = [row for row in found if row.series == key]
            base = members.get(own[0].baseline)
            named = f"{members[key].label} - {base.label if base is not None else own[0].baseline_label}"
            at = {row.place: marked(difference_text(row), row in differ) for row in own}
            settings = [title, block[0].scale_text, str(max(int(row.n) for row in own))]
            rows.append([named, *(at.get(p, MISSING) for p in places), *settings])
            tags.append(series_tags(members[key]))
    notes = [
        "Differences seed by seed: mean [95 % t interval], k of n seeds with the mean's sign"
        f"{chances(row.n for row in shown)}. "
        "The interval is mean ± t(n-1) sd/√n, which takes the differences as normal, and holds for one difference alone; "
        f"bold: shown to differ by Holm's procedure over all {len(shown)} of the table, at 5 %. "
        f"{_declared(declared_rows(cell, frame))} Every measure, place and setting: contrasts.csv."
    ]
    columns = ["Contrast", *[group_title(p) for p in places], "Metric", "Guidance ω", "n"]
    title = f"Paired differences on common seeds, {cell.label}"
    inner = tuple(sorted({r for r in rules if 0 < r < len(rows)}))
    return Table(f"contrasts-{cell.slug}", title, columns, rows, 1, inner, notes, 3, tags)


def declared_rows(cell: CellResults, frame: pd.DataFrame) -> list[Difference]:
    """Return the declared contrast's rows at the main protocols; a declaration names no sampler or guidance.

    Of rules, whose baseline is at the main protocols: a rule's own steps may be others.
    """
    if frame.empty:
        return []
    shown = [one.key for one in joined(main_protocols(cell))]
    return _rows(
        frame[frame["declared"] & frame["series"].where(~frame["rules"], frame["baseline"]).isin(shown)]
    )


def _declared(rows: Sequence[Difference]) -> str:
    """Say what the study file declared and its p-value, or why there is none."""
    if not rows:
        return "No contrast was declared in a study file ([contrast]), so there is no p-value."
    each = "; ".join(
        f"{row.label} - {row.baseline_label}, {group_title(row.place)} {row.measure.plain}: {row.p}"
        for row in rows
    )
    return f"Declared before the runs: {each}."


def glance_table(sections: Sequence[tuple[CellResults, pd.DataFrame]], baseline: str) -> Table | None:
    """Set the paired differences of all data cells and guidances under one another: Frechet and kernel distance.

    A kernel distance has no bias that falls with the number of images, so it stands where studies of different
    numbers meet; each measure is a family of comparisons of its own.
    """
    lines = []
    where = dict[tuple[str, str], set[str]]()
    for cell, frame in sections:
        measures = [m for name in ("frechet", "kid") if (m := cell.leading(name, "overall")) is not None]
        if frame.empty or not measures or measures[0].metric != "frechet":
            continue
        for block in main_protocols(cell):
            base = next((one for one in block if one.method == baseline), None)
            for measure, place in itertools.product(measures, PLACES):
                found = of_measure(frame, measure, block, [place])
                if found and base is not None:
                    lines.append((cell, block, place, base, measure, found))
            for one in block:
                if one.method != baseline:
                    where.setdefault(one.pair, set()).add(cell.label)
    if not any(measure.metric == "frechet" for *_, measure, _ in lines):
        return None
    common = {pair for pair, labels in where.items() if len(labels) > 1}
    compared = common or set(where)
    methods = sorted(compared, key=lambda pair: (method_rank(pair[0]), pair[1]))
    families: dict[str, list[Difference]] = {}
    for *_, measure, found in lines:
        families.setdefault(measure.metric, []).extend(found)
    shown = families["frechet"]
    differ = set[Difference]().union(*map(shown_to_differ, families.values()))
    rows: list[list[str]] = []
    tags: list[Tags] = []
    rules = []
    for cell, block, place, base, measure, found in lines:
        wide = cell.by_seed("group" if place else "overall", measure, place, sizes=not place)
        values = wide[base.key].dropna() if base.key in wide else pd.Series(dtype=float)
        key_of = {one.pair: one.key for one in block}
        at = {row.series: marked(difference_text(row), row in differ) for row in found}
        first = measure.metric == "frechet"
        if first and not place:
            rules.append(len(rows))
        own = mean_sd(values.mean(), values.std(ddof=1), measure.decimals)
        others = [at.get(key_of.get(pair, ""), MISSING) for pair in methods]
        at_place = group_title(place) + ("" if first else f", {measure.plain}")
        rows.append([cell.label, at_place, own, *others, block[0].scale_text])
        tags.append({"cell": cell.label, "guidance": block[0].scale})
    title = method_title(baseline)
    notes = [
        f"First {title}'s Frechet distance, mean ± standard deviation over training seeds; then the "
        f"others minus it on common seeds: mean [95 % t interval] k/n seeds with the mean's sign"
        f"{chances(row.n for row in shown)}; negative is better; "
        f"bold: shown to differ by Holm's procedure over all {len(shown)} of the table, at 5 %. One training "
        "seed: no interval."
        + " Kernel distances, where they were scored, in rows and a Holm procedure of their own."
        * (len(families) > 1)
        + " Methods run in one data cell alone are in that cell's tables." * (len(compared) < len(where))
    ]
    return Table(
        "at-a-glance",
        "All data cells at a glance",
        ["Data", "Where", title, *(f"{pair_title(p, compared)} - {title}" for p in methods), "Guidance ω"],
        rows,
        2,
        tuple(r for r in rules if r),
        notes,
        1,
        tags,
        [{}, {}, {}, *({"method": method} for method, _ in methods), {}],
    )


def pair_title(pair: tuple[str, str], compared: Collection[tuple[str, str]]) -> str:
    """Name a method, and its variant where several of it are compared."""
    method, variant = pair
    alone = sum(other == method for other, _ in compared) == 1
    return method_title(method) if alone else f"{method_title(method)} ({variant})"
