"""What the intervals support, in sentences, and the one table that carries it over all data cells."""

from collections import Counter

import numpy as np
import pandas as pd

from ltbench.diffusion.registry import kind
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
from ltbench.report.statistics_tables import chances, declared_rows, difference_entry
from ltbench.report.tables import Entry, Table, at_place, seeds_text
from ltbench.stats import best_setting, holm

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
        rows = rows[rows["class_or_group"].isin(_PLACES)] if len(rows) else rows
        if len(rows):
            rows = rows.assign(differs=holm(rows["p_t"]))
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
    return f"{told} ({sampler_kind(block)} sampler), training seeds {_seeds(block)}"


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
        elif not row["differs"]:
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
    wide = by_seed(cell.points_of("overall", measure))
    decimals = metric_style("frechet").decimals
    series = pd.concat(blocks)
    series = series[series["series"].isin(wide.columns)].drop_duplicates("series")
    pairs = set(_method_and_variant(series))
    told, flatters = [], False
    for (method, variant), rows in series.groupby(["method", "variant"], sort=False):
        best = best_setting(wide[rows["series"]].rename(columns=dict(zip(rows["series"], rows["guidance"], strict=True))), "lower")
        if best is None or len(rows) < 2:
            continue
        flatters |= not best.held_out
        value = mean_sd(best.mean, best.sd, decimals)
        told.append((best.mean, f"{_column((str(method), str(variant)), pairs)} {value} (n={best.n}) at {best.chosen:g}"))
    if not told:
        return []
    floor = cell.points_of("overall", measure, "floor")["value"].mean()
    beside = f"; floor {number(floor, decimals)}" if np.isfinite(floor) else ""
    how = (
        "chosen on the scores that it is reported by, so flattering to all"
        if flatters
        else "each half of the seeds chooses, the other half gives the value"
    )
    return [
        f"{cell.label}, each method at its best guidance of those run on seeds that all have, {sampler_kind(series)} sampler "
        f"({', '.join(text for _, text in sorted(told))}{beside}): {how}."
    ]


def sampler_kind(series: pd.DataFrame) -> str:
    """Name the kind of sampler that a scale of guidance is for: it means another thing under the other kind."""
    return " or ".join(sorted({kind(sampler) for sampler in series["sampler"]}))


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
    shown = pd.concat(
        [
            contrasts[
                contrasts["series"].isin(block["series"])
                & (contrasts["metric"] == "frechet")
                & (contrasts["extractor"] == measure["extractor"])
                & (contrasts["class_or_group"] == place)
            ]
            for _, block, place, contrasts, measure in lines
        ]
        or [pd.DataFrame(columns=["p_t", "n"])],
        ignore_index=True,
    )
    shown = shown.assign(differs=holm(shown["p_t"].to_numpy(float)))
    keys = ["cell", "series", "class_or_group"]
    differ = set(shown.loc[shown["differs"], keys].itertuples(index=False, name=None)) if len(shown) else set()
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
                    difference_entry(here.loc[at[m]], (cell.label, at[m], place) in differ)
                    if at.get(m) in here.index
                    else Entry(MISSING)
                    for m in methods
                ],
            ]
        )
    if not rows:
        return None
    notes = [
        f"First {method_title(baseline)}'s Frechet distance, mean ± standard deviation over training seeds; then the "
        f"others minus it on common seeds: mean [95 % t interval] k/n seeds with the mean's sign{chances(shown)}; negative "
        f"is better; bold: shown to differ by Holm's procedure over all {len(shown)} of the table, at 5 %. One training "
        "seed: no interval."
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
