"""The one frame of differences, from paired scores to tables: contrasts with the baseline, all cells at a glance, ranks.

Two methods trained with the same seed share initial weights, data order and noise, so their difference is taken
seed by seed. No p-value is given below six seeds: the exact sign-flip test of n pairs cannot go below 2 / 2^n,
which first falls under .05 at n = 6; and only for the one contrast that the study file declared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ltbench.diffusion.registry import kind
from ltbench.report.cells import (
    MEASURE,
    CellResults,
    block_title,
    main_protocols,
    main_series,
    method_and_variant,
)
from ltbench.report.names import (
    MISSING,
    alike,
    group_title,
    guidance_text,
    mean_sd,
    method_rank,
    method_title,
    metric_title,
    number,
    output_of,
)
from ltbench.report.tables.grid import Entry, Table, Tags, measure_titles, series_tags
from ltbench.stats import EXACT_UP_TO, agreement_chance, holm, paired_columns, sign_flip_p

if TYPE_CHECKING:
    from ltbench.study.contrast import Contrast

MIN_SEEDS_FOR_P = 6
PLACES = ("", "tail")  # all images, and the classes that this is about


def differences(cell: CellResults, baseline: str, declared: Contrast | None = None) -> pd.DataFrame:
    """Compare every series with its baseline, overall, per group and pooled.

    Returns
    -------
    One row a (series, scope, class_or_group, measure) with ``baseline`` and ``baseline_label`` (the series
    compared with), ``n``, ``seeds``, ``mean``, ``sd``, ``low``, ``high``, ``agree``, ``p_t`` (two-sided paired
    t test, uncorrected), ``p`` (a sentence).
    """
    pairs = [(one, matching_baseline(cell, one, baseline)) for _, one in cell.series.iterrows()]
    matched = [(one, base) for one, base in pairs if base is not None]
    out = []
    for scope in ("overall", "group", "pooled"):
        for _, measure in cell.measures(scope).iterrows():
            for place in [""] if scope == "overall" else cell.groups(scope):
                wide = cell.by_seed(scope, measure, place)
                here = [(a, b) for a, b in matched if a["series"] in wide and b["series"] in wide]
                if not here:
                    continue
                first, second = (wide[[pair[i]["series"] for pair in here]].to_numpy() for i in (0, 1))
                found = paired_columns(first - second).rename(columns={"p": "p_t"})
                found["seeds"] = [
                    " ".join(str(int(s)) for s in wide.index[column])
                    for column in np.isfinite(first - second).T
                ]
                named = [
                    {
                        "cell": cell.label,
                        "series": one["series"],
                        "label": one["label"],
                        "baseline": base["series"],
                        "baseline_label": base["label"],
                        "scope": scope,
                        "class_or_group": place,
                        **{name: measure[name] for name in MEASURE},
                        "better": output_of(measure["metric"]).better,
                        "declared": _is_declared(declared, cell, one, base, baseline, measure, place),
                    }
                    for one, base in here
                ]
                found["p"] = [
                    p_statement((first - second)[:, i][np.isfinite((first - second)[:, i])], row["declared"])
                    for i, row in enumerate(named)
                ]
                out.append(pd.concat([pd.DataFrame(named), found], axis=1)[found["n"] > 0])
    return pd.concat(out, ignore_index=True) if out else pd.DataFrame()


def matching_baseline(cell: CellResults, series: pd.Series, baseline: str) -> pd.Series | None:
    """Return the baseline's series to compare a series with: the same step, the protocol most alike.

    Sampler, NFE and guidance that differ are allowed (papers tune guidance a method) and are shown by the
    label; another step never is, nor a deterministic sampler against a stochastic one, under which a scale of
    guidance means another thing.
    """
    rows = cell.series[(cell.series["method"] == baseline) & (cell.series["step"] == series["step"])]
    rows = rows[(rows["sampler"].map(kind) == kind(series["sampler"])) & (rows["series"] != series["series"])]
    if rows.empty or series["method"] == baseline:
        return None
    same = sum(alike(rows[c], series[c]).astype(int) for c in ("sampler", "guidance", "nfe", "origin"))
    result: pd.Series | None = rows.iloc[int(np.argmax(same))]
    return result


def _is_declared(
    declared: Contrast | None,
    cell: CellResults,
    series: pd.Series,
    base: pd.Series,
    baseline: str,
    measure: pd.Series,
    place: str,
) -> bool:
    return (
        declared is not None
        and declared.method == series["method"]
        and declared.baseline == baseline
        and declared.metric == measure["metric"]
        and declared.scope == (place or "overall")
        and declared.covers(cell.label, series)
        and declared.covers(cell.label, base)
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


def of_measure(frame: pd.DataFrame, measure: pd.Series, place: str | None = None) -> pd.DataFrame:
    """Keep one metric on one extractor, over all images and means over groups; at one place, where it is given."""
    if frame.empty:
        return frame
    keep = (frame["metric"] == measure["metric"]) & (frame["extractor"] == measure["extractor"])
    keep &= frame["scope"] != "pooled"
    keep &= (frame["scope"] != "overall") | (frame["n_generated"] == measure["n_generated"])
    result: pd.DataFrame = frame[keep if place is None else keep & (frame["class_or_group"] == place)]
    return result


def difference_text(row: pd.Series) -> str:
    """Print one paired difference: mean [interval] k/n."""
    decimals = output_of(row["metric"]).decimals
    text = f"{row['mean']:+.{decimals}f}"
    if row["n"] < 2:
        return text
    return (
        f"{text} [{row['low']:+.{decimals}f}, {row['high']:+.{decimals}f}] {row['agree']:.0f}/{row['n']:.0f}"
    )


def chances(rows: pd.DataFrame) -> str:
    """Say how often as many signs agree by chance, for each number of seeds that is there."""
    several = sorted({int(n) for n in rows["n"]} - {0, 1})
    told = [f"{n}/{n} in {100 * agreement_chance(n, n):.2g} %" for n in several]
    return f" (by chance {', '.join(told)} of cases)" if told else ""


def contrast_table(cell: CellResults, frame: pd.DataFrame) -> Table | None:
    """Build the table of paired differences with the baseline, a row a method and protocol; None without any.

    The headline measures only, at the main protocols; contrasts.csv has every measure, place and setting.
    """
    if frame.empty:
        return None
    places = ["", *[g for g in cell.groups() if g != "macro"]]
    measures, blocks = cell.headline(), main_protocols(cell)
    protocols = pd.concat(blocks)
    lines = []  # measure title, block, and rows of the frame by series
    for (_, measure), title in zip(measures.iterrows(), measure_titles(measures), strict=True):
        found = of_measure(frame, measure)
        found = found[found["class_or_group"].isin(places)]
        lines += [(title, block, found[found["series"].isin(block["series"])]) for block in blocks]
    shown = pd.concat([found for *_, found in lines])
    if shown.empty:
        return None
    differ = set(shown.index[holm(shown["p_t"])])
    rows: list[list[Entry]] = []
    tags: list[Tags] = []
    rules = []
    for title, block, found in lines:
        names = dict(zip(block["series"], block["label"], strict=True))
        rules.append(len(rows))
        for key, own in found.groupby("series", sort=False):
            base = names.get(own["baseline"].iloc[0], own["baseline_label"].iloc[0])
            at = {c["class_or_group"]: Entry(difference_text(c), i in differ) for i, c in own.iterrows()}
            rows.append(
                [Entry(f"{names[str(key)]} - {base}")]
                + [at.get(p, Entry(MISSING)) for p in places]
                + [
                    Entry(t)
                    for t in (title, guidance_text(block["guidance"].iloc[0]), str(int(own["n"].max())))
                ]
            )
            tags.append(series_tags(protocols[protocols["series"] == key].iloc[0]))
    notes = [
        f"Differences seed by seed: mean [95 % t interval], k of n seeds with the mean's sign{chances(shown)}. The "
        "interval is mean ± t(n-1) sd/√n, which takes the differences as normal, and holds for one difference alone; "
        f"bold: shown to differ by Holm's procedure over all {len(shown)} of the table, at 5 %. "
        f"{_declared(declared_rows(cell, frame))} Every measure, place and setting: contrasts.csv."
    ]
    columns = ["Contrast", *[group_title(p) for p in places], "Metric", "Guidance ω", "n"]
    title = f"Paired differences on common seeds, {cell.label}"
    inner = tuple(sorted({r for r in rules if 0 < r < len(rows)}))
    return Table(f"contrasts-{cell.slug}", title, columns, rows, 1, inner, notes, 3, tags)


def declared_rows(cell: CellResults, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the declared contrast's rows at the main protocols; a declaration names no sampler or guidance."""
    if frame.empty:
        return frame
    shown = pd.concat(main_protocols(cell))["series"]
    return frame[frame["declared"] & frame["series"].isin(shown)]


def _declared(rows: pd.DataFrame) -> str:
    """Say what the study file declared and its p-value, or why there is none."""
    if rows.empty:
        return "No contrast was declared in a study file ([contrast]), so there is no p-value."
    told = "; ".join(
        f"{row['label']} - {row['baseline_label']}, {group_title(row['class_or_group'])} "
        f"{metric_title(row['metric'], row['extractor'], arrow=False)}: {row['p']}"
        for _, row in rows.iterrows()
    )
    return f"Declared before the runs: {told}."


def glance_table(sections: list[tuple[CellResults, pd.DataFrame]], baseline: str) -> Table | None:
    """Set the paired Frechet differences of all data cells and guidances under one another."""
    lines, where = [], dict[tuple[str, str], set[str]]()
    for cell, frame in sections:
        measure = cell.frechet("overall")
        if measure is None or frame.empty:
            continue
        for block in main_protocols(cell):
            for place in PLACES:
                found = of_measure(frame, measure, place)
                found = found[found["series"].isin(block["series"])]
                base = block[block["method"] == baseline]["series"].head(1)
                if len(found) and len(base):
                    lines.append((cell, block, place, base.iloc[0], measure, found))
            for pair in method_and_variant(block):
                if pair[0] != baseline:
                    where.setdefault(pair, set()).add(cell.label)
    if not lines:
        return None
    several = {pair for pair, labels in where.items() if len(labels) > 1}
    compared = several or set(where)
    methods = sorted(compared, key=lambda pair: (method_rank(pair[0]), pair[1]))
    shown = pd.concat([found for *_, found in lines], keys=range(len(lines)))
    differ = {key for key, yes in zip(shown.index, holm(shown["p_t"]), strict=True) if yes}
    rows: list[list[Entry]] = []
    tags: list[Tags] = []
    rules = []
    decimals = output_of("frechet").decimals
    for number_of, (cell, block, place, base, measure, found) in enumerate(lines):
        values = cell.by_seed("group" if place else "overall", measure, place, sizes=not place).get(base)
        values = pd.Series(dtype=float) if values is None else values.dropna()
        at = dict(zip(method_and_variant(block), block["series"], strict=True))
        entries = {
            row["series"]: Entry(difference_text(row), (number_of, i) in differ)
            for i, row in found.iterrows()
        }
        if not place:
            rules.append(len(rows))
        rows.append(
            [
                Entry(cell.label),
                Entry(group_title(place)),
                Entry(mean_sd(values.mean(), values.std(ddof=1), decimals)),
            ]
            + [entries.get(at.get(m, ""), Entry(MISSING)) for m in methods]
            + [Entry(guidance_text(block["guidance"].iloc[0]))]
        )
        tags.append({"cell": cell.label, "guidance": f"{block['guidance'].iloc[0]:g}"})
    notes = [
        f"First {method_title(baseline)}'s Frechet distance, mean ± standard deviation over training seeds; then the "
        f"others minus it on common seeds: mean [95 % t interval] k/n seeds with the mean's sign{chances(shown)}; negative "
        f"is better; bold: shown to differ by Holm's procedure over all {len(shown)} of the table, at 5 %. One training "
        "seed: no interval."
        + " Methods run in one data cell alone are in that cell's tables."
        * (len(compared) < len(where))
    ]
    titled = [f"{pair_title(pair, compared)} - {method_title(baseline)}" for pair in methods]
    columns = ["Data", "Where", method_title(baseline), *titled, "Guidance ω"]
    column_tags: list[Tags] = [{}, {}, {}, *({"method": method} for method, _ in methods), {}]
    return Table(
        "at-a-glance",
        "All data cells at a glance",
        columns,
        rows,
        2,
        tuple(r for r in rules if r),
        notes,
        1,
        tags,
        column_tags,
    )


def pair_title(pair: tuple[str, str], compared: set[tuple[str, str]]) -> str:
    """Name a method, and its variant where several of it are compared."""
    method, variant = pair
    several = sum(other == method for other, _ in compared) > 1
    return f"{method_title(method)} ({variant})" if several else method_title(method)


# -- spread and ranks -----------------------------------------------------------------------------------------


def spread_table(cell: CellResults) -> Table | None:
    """Set the three sources of spread side by side, where more than the training seeds' was measured.

    Training seeds: everything that training draws. Sampling seeds: the same network sampled again. Image
    bootstrap: the same images drawn again, evaluation noise only.
    """
    rows = []
    series = pd.concat(main_protocols(cell)).drop_duplicates("series")
    wanted = set(cell.headline()["metric"])
    for scope, place in [("overall", ""), *(("group", g) for g in cell.groups() if g == "tail")]:
        measures = cell.measures(scope)
        measures = measures[measures["metric"].isin(wanted)]
        for (_, measure), title in zip(measures.iterrows(), measure_titles(measures), strict=True):
            found, low, high = (
                cell.column(scope, measure, place, role) for role in ("", "ci_low", "ci_high")
            )
            decimals = output_of(measure["metric"]).decimals
            for _, one in series.iterrows():
                key = one["series"]
                if key not in found.index or (found.loc[key, "n_sampling"] == 0 and key not in low.index):
                    continue
                row = found.loc[key]
                again = int(row["n_sampling"])
                interval = (
                    f"[{low.loc[key, 'mean']:.{decimals}f}, {high.loc[key, 'mean']:.{decimals}f}]"
                    if key in low.index
                    else MISSING
                )
                rows.append(
                    [
                        Entry(one["label"]),
                        Entry(number(row["mean"], decimals)),
                        Entry(f"{number(row['sd'], decimals + 1)} (n={int(row['n'])})"),
                        Entry(
                            f"{number(row['sd_sampling'], decimals + 1)} (n={again})" if again else MISSING
                        ),
                        Entry(interval),
                        Entry(group_title(place)),
                        Entry(title),
                        Entry(guidance_text(one["guidance"])),
                    ]
                )
    if not rows:
        return None
    columns = [
        "Method",
        "Mean",
        "SD, training seeds",
        "SD, sampling seeds",
        "Image bootstrap 95 %",
        "Where",
        "Metric",
        "Guidance ω",
    ]
    notes = [
        "Headline measures at the main protocols; every other number's spreads are in summary.csv. SD over "
        "training seeds at one sampling seed; over sampling seeds: within a training, pooled; n counts sample sets. "
        "Image bootstrap: evaluation noise of one sample set (ends averaged over training seeds); it says nothing "
        "about another training."
    ]
    return Table(f"spread-{cell.slug}", f"Sources of spread, {cell.label}", columns, rows, 1, (), notes, 3)


def rank_table(cell: CellResults) -> Table | None:
    """Rank the methods by mean a measure; None with fewer than two methods or nothing to rank by."""
    shown = main_series(cell)
    measures = cell.measures("overall")
    measures = measures[[output_of(m).better is not None for m in measures["metric"]]]
    if len(shown) < 2 or measures.empty:
        return None
    ranks = {}
    for (_, measure), title in zip(measures.iterrows(), measure_titles(measures), strict=True):
        wide = cell.by_seed("overall", measure).reindex(columns=shown["series"])
        ascending = output_of(measure["metric"]).better == "lower"
        seeds = wide.dropna().rank(axis=1, ascending=ascending)
        ranks[title] = [
            _rank_text(rank, seeds[key]) for key, rank in wide.mean().rank(ascending=ascending).items()
        ]
    rows = [
        [Entry(label), *(Entry(column[i]) for column in ranks.values())]
        for i, label in enumerate(shown["label"])
    ]
    notes = [
        f"{block_title(shown)} sampler. Rank of the mean (in brackets: lowest to highest over the seeds that all rows "
        "share). Ranks describe these runs; they test nothing."
    ]
    tags = [series_tags(one) for _, one in shown.iterrows()]
    return Table(
        f"ranks-{cell.slug}", f"Ranks, {cell.label}", ["Method", *ranks], rows, 1, (), notes, row_tags=tags
    )


def _rank_text(rank: float, seeds: pd.Series) -> str:
    if not np.isfinite(rank):
        return MISSING
    return f"{rank:g}" + (f" [{seeds.min():g}, {seeds.max():g}]" if len(seeds) > 1 else "")
