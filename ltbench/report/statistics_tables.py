"""Tables of what the seeds can say: paired differences, sources of spread, ranks."""

import numpy as np
import pandas as pd

from ltbench.report.aggregate import Cell, main_protocols, main_series
from ltbench.report.naming import MISSING, group_title, guidance_text, metric_style, metric_title, number
from ltbench.report.statistics import by_seed
from ltbench.report.tables import Entry, Table, at_place, measure_titles, slug
from ltbench.stats import agreement_chance, holm


def contrast_table(cell: Cell, contrasts: pd.DataFrame) -> Table | None:
    """Build the table of paired differences with the baseline, a row a method and protocol; None without any.

    The headline measures only, at the main protocols; contrasts.csv has every measure, place and setting.
    """
    if contrasts.empty:
        return None
    rows: list[list[Entry]] = []
    rules = []
    measures = headline(cell)
    protocols = pd.concat(main_protocols(cell))["series"]
    shown = contrasts[
        contrasts["metric"].isin(measures["metric"])
        & contrasts["extractor"].isin(measures["extractor"])
        & contrasts["series"].isin(protocols)
        & (contrasts["class_or_group"] != "macro")
    ]
    differ = set(shown.index[holm(shown["p_t"])])
    places = ["", *[g for g in cell.groups() if g != "macro"]]
    for (_, measure), title in zip(measures.iterrows(), measure_titles(measures), strict=True):
        what = (contrasts["metric"] == measure["metric"]) & (contrasts["extractor"] == measure["extractor"])
        for block in main_protocols(cell):
            found = contrasts[what & contrasts["series"].isin(block["series"])]
            names = dict(zip(block["series"], block["label"], strict=True))
            rules.append(len(rows))
            for key, one in found.groupby("series", sort=False):
                base = names.get(one["baseline"].iloc[0], one["baseline_label"].iloc[0])
                at = {c["class_or_group"]: difference_entry(c, i in differ) for i, c in one.iterrows()}
                guidance = guidance_text(block["guidance"].iloc[0])
                texts = [title, guidance, f"{names[str(key)]} - {base}", str(int(one["n"].max()))]
                rows.append([Entry(t) for t in texts] + [at.get(p, Entry(MISSING)) for p in places])
    if not rows:
        return None
    notes = [
        f"Differences seed by seed: mean [95 % t interval], k of n seeds with the mean's sign{chances(shown)}. The "
        "interval is mean ± t(n-1) sd/√n, which takes the differences as normal, and holds for one difference; "
        f"bold: shown to differ by Holm's procedure over all {len(shown)} of the table, at 5 %. {_declared(declared_rows(cell, contrasts))} Every measure, place and setting: contrasts.csv."
    ]
    columns = ["Metric", "Guidance ω", "Contrast", "n", *[group_title(p) or "overall" for p in places]]
    title = f"Paired differences on common seeds, {cell.label}"
    rules = sorted({r for r in rules if 0 < r < len(rows)})
    return Table(f"contrasts-{slug(cell.label)}", title, columns, rows, 3, tuple(rules), notes)


def headline(cell: Cell) -> pd.DataFrame:
    """Choose the overall measures that lead: the first Frechet distance, recall and agreement there are."""
    measures = cell.measures("overall")
    kind = measures["metric"].str.extract("^(frechet|recall|agreement)", expand=False)
    return measures[kind.notna() & ~kind.duplicated()]


def difference_entry(row: pd.Series, bold: bool = False) -> Entry:
    """Print one paired difference: mean [interval] k/n; `bold`: shown to differ from 0 among all its neighbours."""
    decimals = metric_style(row["metric"]).decimals
    text = f"{row['mean']:+.{decimals}f}"
    if row["n"] < 2:
        return Entry(text)
    text += f" [{row['low']:+.{decimals}f}, {row['high']:+.{decimals}f}] {row['agree']}/{row['n']}"
    return Entry(text, bold)


def chances(rows: pd.DataFrame) -> str:
    """Say how often as many signs agree by chance, for each number of seeds that is there."""
    told = [f"{n}/{n} in {100 * agreement_chance(n, n):.2g} %" for n in sorted(set(rows["n"].astype(int))) if n > 1]
    return f" (by chance {', '.join(told)} of cases)" if told else ""


def declared_rows(cell: Cell, contrasts: pd.DataFrame) -> pd.DataFrame:
    """Return the declared contrast's rows at the main protocols; a declaration names no sampler or guidance."""
    shown = pd.concat(main_protocols(cell))["series"]
    return contrasts[contrasts["declared"] & contrasts["series"].isin(shown)]


def _declared(rows: pd.DataFrame) -> str:
    """Say what the study file declared and its p-value, or why there is none."""
    if rows.empty:
        return "No contrast was declared in a study file ([contrast]), so there is no p-value."
    told = "; ".join(
        f"{row['label']} - {row['baseline_label']}, {group_title(row['class_or_group']) or 'overall'} "
        f"{metric_title(row['metric'], row['extractor'], arrow=False)}: {row['p']}"
        for _, row in rows.iterrows()
    )
    return f"Declared before the runs: {told}."


def spread_table(cell: Cell) -> Table | None:
    """Set the three sources of spread side by side, where more than the training seeds' was measured.

    Training seeds: everything that training draws. Sampling seeds: the same network sampled again. Image
    bootstrap: the same images drawn again with replacement, evaluation noise only.
    """
    rows = []
    shown = pd.concat(main_protocols(cell))["series"]
    places = [("overall", "")] + [("group", group) for group in cell.groups() if group == "tail"]
    for scope, place in places:
        measures = cell.measures(scope)
        measures = measures[measures["metric"].isin(headline(cell)["metric"])]
        for (_, measure), title in zip(measures.iterrows(), measure_titles(measures), strict=True):
            summary = at_place(cell.summary_of(scope, measure), place).set_index("series")
            low = at_place(cell.summary_of(scope, measure, "ci_low"), place).set_index("series")["mean"]
            high = at_place(cell.summary_of(scope, measure, "ci_high"), place).set_index("series")["mean"]
            decimals = metric_style(measure["metric"]).decimals
            for _, series in cell.series.iterrows():
                key = series["series"]
                if (
                    key not in set(shown)
                    or key not in summary.index
                    or (summary.loc[key, "n_sampling"] == 0 and key not in low.index)
                ):
                    continue
                found = summary.loc[key]
                interval = (
                    f"[{low[key]:.{decimals}f}, {high[key]:.{decimals}f}]" if key in low.index else MISSING
                )
                n_sampling = int(found["n_sampling"])
                rows.append(
                    [
                        Entry(series["label"]),
                        Entry(group_title(place) or "overall"),
                        Entry(title),
                        Entry(number(found["mean"], decimals)),
                        Entry(f"{number(found['sd'], decimals + 1)} (n={int(found['n'])})"),
                        Entry(
                            f"{number(found['sd_sampling'], decimals + 1)} (n={n_sampling})"
                            if n_sampling
                            else MISSING
                        ),
                        Entry(interval),
                    ]
                )
    if not rows:
        return None
    columns = [
        "Method",
        "Where",
        "Metric",
        "Mean",
        "SD, training seeds",
        "SD, sampling seeds",
        "Image bootstrap 95 %",
    ]
    notes = [
        "Headline measures at the main protocols; every other number's spreads are in summary.csv. SD over "
        "training seeds at one sampling seed; over sampling seeds: within a training, pooled; n counts sample "
        "sets. Image bootstrap: "
        "evaluation noise of one sample set (ends averaged over training seeds); it says nothing about "
        "another training."
    ]
    return Table(
        f"spread-{slug(cell.label)}", f"Sources of spread, {cell.label}", columns, rows, 3, (), notes
    )


def rank_table(cell: Cell) -> Table | None:
    """Rank the methods by mean a measure; None with fewer than two methods or nothing to rank by."""
    shown = main_series(cell)
    measures = cell.measures("overall")
    measures = measures[[metric_style(m).better is not None for m in measures["metric"]]]
    if len(shown) < 2 or measures.empty:
        return None
    ranks = {}
    for (_, measure), title in zip(measures.iterrows(), measure_titles(measures), strict=True):
        wide = by_seed(cell.points_of("overall", measure)).reindex(columns=shown["series"])
        ascending = metric_style(measure["metric"]).better == "lower"
        seeds = wide.dropna().rank(axis=1, ascending=ascending)
        ranks[title] = [
            _rank_text(rank, seeds[key]) for key, rank in wide.mean().rank(ascending=ascending).items()
        ]
    rows = [
        [Entry(label), *(Entry(column[i]) for column in ranks.values())]
        for i, label in enumerate(shown["label"])
    ]
    notes = [
        "Rank of the mean (in brackets: lowest to highest over the seeds that all rows share). Ranks "
        "describe these runs; they test nothing."
    ]
    return Table(f"ranks-{slug(cell.label)}", f"Ranks, {cell.label}", ["Method", *ranks], rows, 1, (), notes)


def _rank_text(rank: float, seeds: pd.Series) -> str:
    if not np.isfinite(rank):
        return MISSING
    return f"{rank:g}" + (f" [{seeds.min():g}, {seeds.max():g}]" if len(seeds) > 1 else "")
