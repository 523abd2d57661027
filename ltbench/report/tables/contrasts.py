"""Who leads and how surely: paired differences of one cell and of all, sources of spread, ranks, best guidances."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence

import pandas as pd

from ltbench.analysis.best_guidance import best_guidances
from ltbench.analysis.cell_results import CellResults, Numbers
from ltbench.analysis.differences import PLACES, Difference, declared_rows, of_measure, shown_to_differ
from ltbench.analysis.names import (
    MISSING,
    Measure,
    group_title,
    mean_sd,
    measure_titles,
    method_rank,
    method_title,
    number,
    pair_title,
)
from ltbench.analysis.protocols import at_main_protocol, block_title, fewer_methods, main_protocols
from ltbench.analysis.series import Series, by_key, grouped, joined
from ltbench.report.tables.grid import Table, Tags, marked, score_text
from ltbench.stats import agreement_chance


def contrast_table(cell: CellResults, frame: pd.DataFrame) -> Table | None:
    """Build the table of paired differences with the baseline, a row a method and protocol; None without any.

    The headline measures only, at the main protocols; contrasts.csv has every measure, place and setting.
    """
    places = ["", *[g for g in cell.groups() if g != "macro"]]
    measures = cell.headline()
    lines = [  # a measure's title, a block, and its rows of the frame
        (title, block, of_measure(frame, measure, block, places))
        for measure, title in zip(measures, measure_titles(measures), strict=True)
        for block in main_protocols(cell)
    ]
    shown = [row for *_, found in lines for row in found]
    if not shown:
        return None
    differ = shown_to_differ(shown)
    rows: list[list[str]] = []
    series, rules = [], []
    for title, block, found in lines:
        members = by_key(block)
        rules.append(len(rows))
        for key, own in grouped(found, lambda row: row.series).items():
            base = members.get(own[0].baseline)
            named = f"{members[key].label} - {base.label if base is not None else own[0].baseline_label}"
            at = {row.place: marked(row.text, row in differ) for row in own}
            settings = [title, block[0].scale_text, str(max(int(row.n) for row in own))]
            rows.append([named, *(at.get(p, MISSING) for p in places), *settings])
            series.append(members[key])
    declared = "; ".join(
        f"{row.label} - {row.baseline_label}, {group_title(row.place)} {row.measure.plain}: {row.p}"
        for row in declared_rows(cell, frame)
    )
    none = "No contrast was declared in a study file ([contrast]), so there is no p-value."
    notes = [
        "Differences seed by seed: mean [95 % t interval], k of n seeds with the mean's sign"
        f"{_chances(shown)}. "
        "The interval is mean ± t(n-1) sd/√n, which takes the differences as normal, and holds for one difference alone; "
        f"bold: shown to differ by Holm's procedure over all {len(shown)} of the table, at 5 %. "
        f"{f'Declared before the runs: {declared}.' if declared else none} "
        "Every measure, place and setting: contrasts.csv.",
        fewer_methods(cell),
    ]
    headers = ["Contrast", *[group_title(p) for p in places], "Metric", "Guidance ω", "n"]
    title, more = "Paired differences on common seeds", {"rules": rules, "notes": notes, "settings": 3}
    return Table.of_rows(cell, "contrasts", title, headers, rows, series, **more)


def _chances(shown: Iterable[Difference]) -> str:
    """Say how often as many signs agree by chance, for each number of seeds that is there."""
    seeds = sorted({int(row.n) for row in shown} - {0, 1})
    each = [f"{n}/{n} in {100 * agreement_chance(n, n):.2g} %" for n in seeds]
    return f" (by chance {', '.join(each)} of cases)" if each else ""


def glance_table(sections: Sequence[tuple[CellResults, pd.DataFrame]], baseline: str) -> Table | None:
    """Set the paired differences of all data cells and guidances under one another: Frechet and kernel distance.

    A kernel distance has no bias that falls with the number of images, so it stands where studies of different
    numbers meet; each measure is a family of comparisons of its own.
    """
    lines = []
    cells = Counter[tuple[str, str]]()  # in how many data cells a method was run
    for cell, frame in sections:
        frechet, kernel = (cell.leading(name, "overall") for name in ("frechet", "kid"))
        if frame.empty or frechet is None:
            continue
        blocks = main_protocols(cell)
        cells.update({one.pair for one in joined(blocks) if one.method != baseline})
        for block, measure, place in itertools.product(blocks, filter(None, (frechet, kernel)), PLACES):
            base = next((one for one in block if one.method == baseline), None)
            found = of_measure(frame, measure, block, [place])
            if found and base is not None:
                lines.append((cell, block, place, base, measure, found))
    families = grouped((row for *_, found in lines for row in found), lambda row: row.measure.metric)
    if "frechet" not in families:
        return None
    compared = {pair for pair, count in cells.items() if count > 1} or set(cells)
    methods = sorted(compared, key=lambda pair: (method_rank(pair[0]), pair[1]))
    differ = set[Difference]().union(*map(shown_to_differ, families.values()))
    rows: list[list[str]] = []
    tags: list[Tags] = []
    rules = []
    for cell, block, place, base, measure, found in lines:
        first = measure.metric == "frechet"
        rules += [len(rows)] if first and not place else []
        means = cell.means("group", measure.any_size, place) if place else cell.means("overall", measure)
        at = {row.series: marked(row.text, row in differ) for row in found}
        key_of = {one.pair: one.key for one in block}
        where = group_title(place) + ("" if first else f", {measure.plain}")
        own = score_text(means.get(base.key), measure.decimals)
        others = [at.get(key_of.get(pair, ""), MISSING) for pair in methods]
        rows.append([cell.label, where, own, *others, block[0].scale_text])
        tags.append({"cell": cell.label, "guidance": block[0].scale})
    title, shown = method_title(baseline), families["frechet"]
    notes = [
        f"First {title}'s Frechet distance, mean ± standard deviation over training seeds; then the "
        f"others minus it on common seeds: mean [95 % t interval] k/n seeds with the mean's sign"
        f"{_chances(shown)}; negative is better; "
        f"bold: shown to differ by Holm's procedure over all {len(shown)} of the table, at 5 %. One training "
        "seed: no interval."
        + " Kernel distances, where they were scored, in rows and a Holm procedure of their own."
        * (len(families) > 1)
        + " Methods run in one data cell alone are in that cell's tables." * (len(compared) < len(cells))
    ]
    headers = [
        "Data",
        "Where",
        title,
        *(f"{pair_title(p, compared)} - {title}" for p in methods),
        "Guidance ω",
    ]
    columns: list[Tags] = [{}, {}, {}, *({"method": method} for method, _ in methods), {}]
    named = "at-a-glance", "All data cells at a glance"
    return Table(*named, headers, rows, 2, rules, notes, 1, tags, columns)


# -- spread, ranks, best guidance -----------------------------------------------------------------------------


def spread_table(cell: CellResults) -> Table | None:
    """Set the three sources of spread side by side, where more than the training seeds' was measured.

    Training seeds: everything that training draws. Sampling seeds: the same network sampled again. Image
    bootstrap: the same images drawn again, evaluation noise only.
    """
    rows: list[list[str]] = []
    shown: list[Series] = []
    series = by_key(joined(main_protocols(cell))).values()
    wanted = {m.metric for m in cell.headline()}
    for scope, place in (("overall", ""), ("group", "tail")):
        measures = [m for m in cell.measures(scope) if m.metric in wanted and place in ("", *cell.groups())]
        for measure, title in zip(measures, measure_titles(measures), strict=True):
            means, low, high = (cell.means(scope, measure, place, role) for role in ("", "ci_low", "ci_high"))
            for one in series:
                found = means.get(one.key)
                if found is None or (found.n_sampling == 0 and one.key not in low):
                    continue
                spreads = _spreads(found, low.get(one.key), high.get(one.key), measure)
                rows.append([one.label, *spreads, group_title(place), title, one.scale_text])
                shown.append(one)
    if not rows:
        return None
    headers = ["Method", "Mean", "SD, training seeds", "SD, sampling seeds", "Image bootstrap 95 %"]
    headers += ["Where", "Metric", "Guidance ω"]
    notes = [
        "Headline measures at the main protocols; every other number's spreads are in summary.csv. SD over "
        "training seeds at one sampling seed; over sampling seeds: within a training, pooled; n counts sample sets. "
        "Image bootstrap: evaluation noise of one sample set (ends averaged over training seeds); it says nothing "
        "about another training."
    ]
    return Table.of_rows(cell, "spread", "Sources of spread", headers, rows, shown, notes=notes, settings=3)


def _spreads(found: Numbers, low: Numbers | None, high: Numbers | None, measure: Measure) -> list[str]:
    """Print mean, both standard deviations and the bootstrap's interval."""
    d = measure.decimals
    again = f"{number(found.sd_sampling, d + 1)} (n={found.n_sampling})" if found.n_sampling else MISSING
    interval = f"[{low.mean:.{d}f}, {high.mean:.{d}f}]" if low is not None and high is not None else MISSING
    return [number(found.mean, d), f"{number(found.sd, d + 1)} (n={found.n})", again, interval]


def rank_table(cell: CellResults) -> Table | None:
    """Rank the methods of the main protocol by mean a measure; None with fewer than two, or nothing to rank by."""
    shown = at_main_protocol(cell)
    measures = [m for m in cell.measures("overall") if m.better is not None]
    if len(shown) < 2 or not measures:
        return None
    columns = [("Method", [one.label for one in shown])]
    for measure, title in zip(measures, measure_titles(measures), strict=True):
        wide = cell.by_seed("overall", measure).reindex(columns=[one.key for one in shown])
        ascending = measure.better == "lower"
        seeds = wide.dropna().rank(axis=1, ascending=ascending)
        ranks = zip(wide.mean().rank(ascending=ascending), seeds.min(), seeds.max(), strict=True)
        span = " [{:g}, {:g}]" if len(seeds) > 1 else ""
        texts = [f"{r:g}{span.format(low, high)}" if r == r else MISSING for r, low, high in ranks]
        columns.append((title, texts))
    notes = [
        f"{block_title(shown)} sampler. Rank of the mean (in brackets: lowest to highest over the seeds that all rows "
        "share). Ranks describe these runs; they test nothing.",
        fewer_methods(cell),
    ]
    return Table.of_columns(cell, "ranks", "Ranks", columns, series=shown, notes=notes)


def best_guidance_table(cell: CellResults) -> Table | None:
    """Build the table of each method at its best guidance, valued on seeds that did not choose it where possible."""
    measure = cell.frechet("overall")
    rows = best_guidances(cell)
    if measure is None or not rows:
        return None
    decimals, first = measure.decimals, main_protocols(cell)[0][0]
    valued = ("on the same scores: flatters", "on the other half of the seeds")
    columns = [
        ("Method", [one.label for one, _ in rows]),
        (measure.title, [mean_sd(best.mean, best.sd, decimals) for _, best in rows]),
        ("ω", [f"{best.chosen:g}" for _, best in rows]),
        ("Common seeds", [str(best.n) for _, best in rows]),
        ("Valued", [valued[best.held_out] for _, best in rows]),
    ]
    mean, sd, n = cell.floor("overall", measure)
    notes = [
        f"Best of the scales run under one sampler ({first.sampler}, {first.kind}), on seeds that all scales of the "
        "method have. With four seeds or more each half of them chooses a scale and the other half gives the value; "
        "with fewer the value is of the scores that chose it, and flatters. "
        f"Floor: {mean_sd(mean, sd, decimals)}{f' (n={n:,.0f})' if n == n else ''}."
    ]
    title, series = "Each method at its best guidance", [one for one, _ in rows]
    return Table.of_columns(cell, "best-guidance", title, columns, series=series, notes=notes, settings=1)
