"""What the intervals support, in sentences, and the one table that carries it over all data cells."""

from collections import Counter

import numpy as np
import pandas as pd

from ltbench.report.aggregate import Cell, main_protocols
from ltbench.report.naming import (
    MISSING,
    group_title,
    guidance_text,
    mean_sd,
    method_rank,
    method_title,
    metric_style,
    metric_title,
    number,
)
from ltbench.report.statistics import by_seed
from ltbench.report.statistics_tables import declared_rows, difference_entry
from ltbench.report.tables import Entry, Table, at_place, seeds_text

_PLACES = ("", "tail")


def cell_findings(cell: Cell, contrasts: pd.DataFrame, baseline: str) -> list[str]:
    """Say for each main protocol which methods differ from the baseline, overall and in the tail, and by how much."""
    measure = cell.frechet("overall")
    if measure is None:
        return [f"{cell.label}: no Frechet distance was scored; see the tables."]
    out = []
    for block in main_protocols(cell):
        rows = contrasts
        if len(rows):
            rows = rows[rows["series"].isin(block["series"])]
            rows = rows[(rows["metric"] == "frechet") & (rows["extractor"] == measure["extractor"])]
        head = f"{cell.label}, {_protocol(block)}"
        if rows.empty:
            alone = ", ".join(method_title(m) for m in block["method"].unique())
            out.append(f"{head}: {alone}; nothing to compare with {method_title(baseline)} seed by seed.")
            continue
        names = dict(zip(block["series"], block["label"], strict=True))
        parts = [_place(rows[rows["class_or_group"] == place], names, place) for place in _PLACES]
        title = metric_title("frechet", measure["extractor"], arrow=False)
        base = names.get(rows["baseline"].iloc[0], rows["baseline_label"].iloc[0])
        out.append(f"{head}: {title} against {base}. {' '.join(part for part in parts if part)}")
    out += _best_guidance(cell, measure)
    return out


def declared_findings(sections: list[tuple[Cell, pd.DataFrame]]) -> list[str]:
    """Say what the contrast that the study file declared came to, at the main protocols of every data cell."""
    found = [declared_rows(cell, contrasts) for cell, contrasts in sections if len(contrasts)]
    rows = [row for frame in found for _, row in frame.iterrows()]
    if not rows:
        return []
    first = rows[0]
    where = group_title(first["class_or_group"]) or "overall"
    told = "; ".join(
        f"{row['cell']}, {row['label']} - {row['baseline_label']} {difference_entry(row).text} ({row['p']})"
        for row in rows
    )
    title = metric_title(first["metric"], first["extractor"], arrow=False)
    return [f"Declared before the runs, {title} {where}: {told}."]


def _protocol(block: pd.DataFrame) -> str:
    guidance = block["guidance"].dropna().unique()
    told = f"guidance {guidance[0]:g}" if len(guidance) == 1 else "guidance as in the labels"
    return f"{told}, training seeds {_seeds(block)}"


def _seeds(block: pd.DataFrame) -> str:
    """Name the seeds that most methods have, and whose are others."""
    usual = Counter(block["train_seeds"]).most_common(1)[0][0]
    others = block[block["train_seeds"] != usual]
    told = [
        f"{label} {seeds_text(s)}" for label, s in zip(others["label"], others["train_seeds"], strict=True)
    ]
    return ", ".join([seeds_text(usual), *told])


def _place(rows: pd.DataFrame, names: dict[str, str], place: str) -> str:
    """Sort one place's contrasts by what their interval says."""
    if rows.empty:
        return ""
    said: dict[str, list[str]] = {}
    for _, row in rows.iterrows():
        if row["n"] < 2:
            verdict = "one seed, no interval"
        elif row["low"] <= 0 <= row["high"]:
            verdict = "no difference shown"
        else:
            verdict = "lower" if row["mean"] < 0 else "higher"
        said.setdefault(verdict, []).append(f"{names[row['series']]} {difference_entry(row).text}")
    order = ("lower", "higher", "no difference shown", "one seed, no interval")
    told = "; ".join(f"{verdict}: {', '.join(said[verdict])}" for verdict in order if verdict in said)
    return f"{(group_title(place) or 'overall').capitalize()}: {told}."


def _best_guidance(cell: Cell, measure: pd.Series) -> list[str]:
    """Say each method's best guidance of those tried, since a ranking at one guidance may not hold at another."""
    blocks = main_protocols(cell, every=True)
    if len(blocks) < 2:
        return []
    found = cell.summary_of("overall", measure).set_index("series")
    decimals = metric_style("frechet").decimals
    series = pd.concat(blocks)
    series = series[series["series"].isin(found.index)]
    series = series.assign(value=found["mean"].reindex(series["series"]).array)
    best = series.loc[series.groupby(["method", "variant"])["value"].idxmin()].sort_values("value")
    pairs = set(_method_and_variant(best))
    told = ", ".join(
        f"{_column((s['method'], s['variant']), pairs)} "
        f"{mean_sd(s['value'], found.loc[s['series'], 'sd'], decimals)} at {s['guidance']:g}"
        for _, s in best.iterrows()
    )
    floor = cell.points_of("overall", measure, "floor")["value"].mean()
    beside = f"; floor {number(floor, decimals)}" if np.isfinite(floor) else ""
    return [
        f"{cell.label}, each method at its best guidance of those run ({told}{beside}): chosen on the scores "
        "that it is reported by, so flattering to all."
    ]


def glance_table(sections: list[tuple[Cell, pd.DataFrame]], baseline: str) -> Table | None:
    """Set the paired Frechet differences of all data cells and guidances under one another."""
    rows: list[list[Entry]] = []
    rules = []
    where: dict[tuple[str, str], set[str]] = {}  # (method, variant) -> data cells
    lines = []
    for cell, contrasts in sections:
        measure = cell.frechet("overall")
        if measure is None or contrasts.empty:
            continue
        for block in main_protocols(cell):
            for place in _PLACES:
                lines.append((cell, block, place, contrasts, measure))
            for pair in _method_and_variant(block):
                if pair[0] != baseline:
                    where.setdefault(pair, set()).add(cell.label)
    several = {pair for pair, labels in where.items() if len(labels) > 1}
    compared = several or set(where)
    methods = sorted(compared, key=lambda pair: (method_rank(pair[0]), pair[1]))
    for cell, block, place, contrasts, measure in lines:
        scope = "group" if place else "overall"
        base = block[block["method"] == baseline]["series"].head(1)
        here = contrasts[
            contrasts["series"].isin(block["series"])
            & (contrasts["metric"] == "frechet")
            & (contrasts["extractor"] == measure["extractor"])
            & (contrasts["class_or_group"] == place)
        ].set_index("series")
        if here.empty or base.empty:
            continue
        wide = by_seed(at_place(cell.points_of(scope, measure, sizes=not place), place))
        values = wide[base.iloc[0]] if base.iloc[0] in wide else pd.Series(dtype=float)
        decimals = metric_style("frechet").decimals
        at = dict(zip(_method_and_variant(block), block["series"], strict=True))
        if not place:
            rules.append(len(rows))
        rows.append(
            [
                Entry(cell.label),
                Entry(guidance_text(block["guidance"].iloc[0])),
                Entry(group_title(place) or "overall"),
                Entry(mean_sd(values.mean(), values.std(ddof=1), decimals)),
                *[
                    difference_entry(here.loc[at[m]]) if at.get(m) in here.index else Entry(MISSING)
                    for m in methods
                ],
            ]
        )
    if not rows:
        return None
    notes = [
        f"First {method_title(baseline)}'s Frechet distance, mean ± standard deviation over training seeds; then the "
        "others minus it on common seeds: mean [95 % t interval] k/n seeds with the mean's sign; negative is "
        "better; bold: the interval leaves out 0. One training seed: no interval."
        + " Methods run in one data cell alone are in that cell's tables."
        * (len(compared) < len(where))
    ]
    columns = [
        "Data",
        "Guidance ω",
        "Where",
        method_title(baseline),
        *[f"{_column(pair, compared)} - {method_title(baseline)}" for pair in methods],
    ]
    return Table(
        "at-a-glance", "All data cells at a glance", columns, rows, 3, tuple(r for r in rules if r), notes
    )


def _method_and_variant(block: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(block["method"].map(str), block["variant"].map(str), strict=True))


def _column(pair: tuple[str, str], compared: set[tuple[str, str]]) -> str:
    """Name a method, and its variant where several of it are compared in any data cell."""
    method, variant = pair
    several = sum(other == method for other, _ in compared) > 1
    return f"{method_title(method)} ({variant})" if several else method_title(method)
