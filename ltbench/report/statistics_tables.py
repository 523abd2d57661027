"""Tables of what the seeds can say: paired differences, sources of spread, ranks."""

import numpy as np
import pandas as pd

from ltbench.report.aggregate import Cell, main_series
from ltbench.report.naming import MISSING, group_title, metric_style, metric_title, number
from ltbench.report.statistics import by_seed
from ltbench.report.tables import Entry, Table, at_place, measure_titles, slug


def contrast_table(cell: Cell, contrasts: pd.DataFrame, metric: str | None = None) -> Table | None:
    """Build the table of paired differences with the baseline at the main protocol; None where there is none."""
    if contrasts.empty:
        return None
    rows = contrasts[contrasts["series"].isin(main_series(cell)["series"]) | contrasts["declared"]]
    rows = rows if metric is None else rows[rows["metric"] == metric]
    if rows.empty:
        return None
    with_p = metric is None or bool(
        rows["declared"].any()
    )  # the terminal has no room for "n too small" a row
    entries = []
    for _, c in rows.iterrows():
        decimals = metric_style(c["metric"]).decimals
        interval = f"[{c['low']:+.{decimals}f}, {c['high']:+.{decimals}f}]" if c["n"] > 1 else MISSING
        texts = [
            f"{c['label']} - {c['baseline_label']}",
            group_title(c["class_or_group"]) if c["scope"] == "group" else "overall",
            metric_title(c["metric"], c["extractor"]),
            f"{c['mean']:+.{decimals}f}",
            interval,
            f"{c['agree']} of {c['n']}",
            *([c["p"]] if with_p else []),
        ]
        entries.append([Entry(text) for text in texts])
    notes = [
        "Differences seed by seed; interval: mean ± t(n-1) sd/√n, which takes the differences as normal. A "
        "p-value needs 6 or more common seeds and a contrast declared in the study file "
        "([contrast]); the rows are not corrected for one another. Other protocols: contrasts.csv."
    ]
    columns = [
        "Contrast",
        "Where",
        "Metric",
        "Mean",
        "95 % t interval",
        "Seeds agree",
        *(["p"] if with_p else []),
    ]
    title = f"Paired differences on common seeds, {cell.label}"
    return Table(f"contrasts-{slug(cell.label)}", title, columns, entries, 3, (), notes)


def spread_table(cell: Cell) -> Table | None:
    """Set the three sources of spread side by side, where more than the training seeds' was measured.

    Training seeds: everything that training draws. Sampling seeds: the same network sampled again. Image
    bootstrap: the same images drawn again with replacement, evaluation noise only.
    """
    rows = []
    places = [("overall", "")] + [("group", group) for group in cell.groups()]
    for scope, place in places:
        measures = cell.measures(scope)
        for (_, measure), title in zip(measures.iterrows(), measure_titles(measures), strict=True):
            summary = at_place(cell.summary_of(scope, measure), place).set_index("series")
            low = at_place(cell.summary_of(scope, measure, "ci_low"), place).set_index("series")["mean"]
            high = at_place(cell.summary_of(scope, measure, "ci_high"), place).set_index("series")["mean"]
            decimals = metric_style(measure["metric"]).decimals
            for _, series in cell.series.iterrows():
                key = series["series"]
                if key not in summary.index or (summary.loc[key, "n_sampling"] == 0 and key not in low.index):
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
        "SD over sampling seeds: within a training, pooled; n counts sample sets. Image bootstrap: "
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
