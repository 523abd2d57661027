"""How sure a mean is, and who leads: the sources of spread side by side, and ranks by every measure."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ltbench.report.cell_results import CellResults, Numbers
from ltbench.report.names import MISSING, Measure, group_title, number
from ltbench.report.protocols import block_title, main_protocols, main_series
from ltbench.report.series import by_key, joined
from ltbench.report.tables.grid import Table, series_tags
from ltbench.report.tables.notes import measure_titles


def spread_table(cell: CellResults) -> Table | None:
    """Set the three sources of spread side by side, where more than the training seeds' was measured.

    Training seeds: everything that training draws. Sampling seeds: the same network sampled again. Image
    bootstrap: the same images drawn again, evaluation noise only.
    """
    rows = []
    series = by_key(joined(main_protocols(cell))).values()
    wanted = {m.metric for m in cell.headline()}
    for scope, place in (("overall", ""), ("group", "tail")):
        measures = [
            m for m in cell.measures(scope) if m.metric in wanted and (not place or place in cell.groups())
        ]
        for measure, title in zip(measures, measure_titles(measures), strict=True):
            means, low, high = (cell.means(scope, measure, place, role) for role in ("", "ci_low", "ci_high"))
            for one in series:
                found = means.get(one.key)
                if found is None or (found.n_sampling == 0 and one.key not in low):
                    continue
                ends = (low[one.key], high[one.key]) if one.key in low else None
                how = [group_title(place), title, one.scale_text]
                rows.append([one.label, *_spreads(found, ends, measure), *how])
    if not rows:
        return None
    columns = ["Method", "Mean", "SD, training seeds", "SD, sampling seeds", "Image bootstrap 95 %"]
    notes = [
        "Headline measures at the main protocols; every other number's spreads are in summary.csv. SD over "
        "training seeds at one sampling seed; over sampling seeds: within a training, pooled; n counts sample sets. "
        "Image bootstrap: evaluation noise of one sample set (ends averaged over training seeds); it says nothing "
        "about another training."
    ]
    columns += ["Where", "Metric", "Guidance ω"]
    return Table(f"spread-{cell.slug}", f"Sources of spread, {cell.label}", columns, rows, 1, (), notes, 3)


def _spreads(found: Numbers, ends: tuple[Numbers, Numbers] | None, measure: Measure) -> list[str]:
    """Print mean, both standard deviations and the bootstrap's interval."""
    d = measure.decimals
    again = f"{number(found.sd_sampling, d + 1)} (n={found.n_sampling})" if found.n_sampling else MISSING
    interval = f"[{ends[0].mean:.{d}f}, {ends[1].mean:.{d}f}]" if ends is not None else MISSING
    return [number(found.mean, d), f"{number(found.sd, d + 1)} (n={found.n})", again, interval]


def rank_table(cell: CellResults) -> Table | None:
    """Rank the methods by mean a measure; None with fewer than two methods or nothing to rank by."""
    shown = main_series(cell)
    measures = [m for m in cell.measures("overall") if m.better is not None]
    if len(shown) < 2 or not measures:
        return None
    columns = [("Method", [one.label for one in shown])]
    for measure, title in zip(measures, measure_titles(measures), strict=True):
        wide = cell.by_seed("overall", measure).reindex(columns=[one.key for one in shown])
        ascending = measure.better == "lower"
        seeds = wide.dropna().rank(axis=1, ascending=ascending)
        ranks = wide.mean().rank(ascending=ascending)
        columns.append((title, [_rank_text(rank, seeds[key]) for key, rank in ranks.items()]))
    notes = [
        f"{block_title(shown)} sampler. Rank of the mean (in brackets: lowest to highest over the seeds that all rows "
        "share). Ranks describe these runs; they test nothing."
    ]
    tags = [series_tags(one) for one in shown]
    return Table.of_columns(f"ranks-{cell.slug}", f"Ranks, {cell.label}", columns, notes=notes, row_tags=tags)


def _rank_text(rank: float, seeds: pd.Series) -> str:
    if not np.isfinite(rank):
        return MISSING
    return f"{rank:g}" + (f" [{seeds.min():g}, {seeds.max():g}]" if len(seeds) > 1 else "")
