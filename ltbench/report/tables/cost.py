"""Tables over runs rather than over scores: cost from provenance, and entanglement of the bottleneck against score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ltbench.analysis.cell_results import CellResults
from ltbench.analysis.names import MISSING, integer, number, output_of, seeds_text
from ltbench.analysis.protocols import main_protocols, main_series
from ltbench.analysis.records import Runs, final_probes, probes_beside_scores, training_costs
from ltbench.report.tables.grid import Table
from ltbench.runs.provenance import processors, sampling_cost
from ltbench.stats import seed_correlation

PROBE_TITLES = {
    "knn_accuracy": "k-NN class accuracy",
    "linear_probe": "linear probe accuracy",
    "silhouette": "silhouette",
    "scatter_ratio": "between / within scatter",
    "head_tail_confusion": "tail images voted head",
}
_MINUTE = 60.0


def cost_table(cell: CellResults, runs: Runs) -> Table | None:
    """Build the table of what training and sampling took; None where it is not recorded."""
    shown = main_series(cell)
    steps = [integer(one.step) for one in shown]
    to = f", {steps[0]} steps" if len(set(steps)) == 1 else ""
    costs = [training_costs(one, runs) for one in shown]
    flops = [f"{each[0]:.2e}" if np.isfinite(each[0]) else MISSING for _, each in costs]
    minutes = [_middle(seconds / _MINUTE, 1) for seconds, _ in costs]
    columns = [(f"FLOPs{to}", flops), (f"Minutes{to}", minutes)]
    for block in main_protocols(cell):
        folders = {one.pair: cell.folders(one.key) for one in reversed(block)}
        times = [_middle(sampling_cost(folders.get(one.pair, [])), 2) for one in shown]
        columns.append((f"s per 1,000 images, ω={block[0].scale_text}", times))
    if all(text == MISSING for _, texts in columns for text in texts):
        return None
    made = [] if to else [("Steps", steps)]
    made.append(("Seeds", [seeds_text(one.train_seeds) for one in shown]))
    columns = [("Method", [one.label for one in shown]), *columns, *made]
    machines = processors(runs[name].provenance for one in shown for name in one.runs)
    notes = [
        "Medians over runs (lowest to highest). Minutes and seconds: CPU time where a CPU did the work, else "
        "wall-clock time. FLOPs: of the networks' passes, counted, the extra passes of a method included. "
        f"Recorded on {' and '.join(machines)}{': times of one do not compare with the other' * (len(machines) > 1)}."
    ]
    tags = [{"method": one.method} for one in shown]  # a row is of every guidance
    return Table.of_columns(cell, "cost", "Cost", columns, notes=notes, settings=len(made), row_tags=tags)


def _middle(values: Sequence[float] | np.ndarray, decimals: int) -> str:
    known = pd.Series(values, dtype=float).dropna()
    text = number(known.median(), decimals)
    return text if len(known) < 2 else f"{text} ({known.min():.{decimals}f}-{known.max():.{decimals}f})"


# -- entanglement ---------------------------------------------------------------------------------------------


def entanglement_table(cell: CellResults, probes: pd.DataFrame) -> Table | None:
    """Correlate entanglement with the Frechet distance over runs; None with fewer than three probed runs.

    Once over all runs, which mixes differences between methods with those between seeds, and once with each
    series' mean taken out of both.
    """
    measure, probes = cell.frechet("group"), final_probes(cell, probes)
    found = probes_beside_scores(cell, probes)
    if measure is None or not found:
        return None
    columns = ["Entanglement of the bottleneck"]
    for scale, place, n, _ in found:
        columns += [f"{place}, ω={scale}, n={n}", "within methods"]
    tables: list[Any] = [table for *_, table in found]
    at = set(tables[0].columns.get_level_values(0)) - {"value"}
    names = [m for m in PROBE_TITLES if m in at] + sorted(at - set(PROBE_TITLES))
    rows = [
        [PROBE_TITLES.get(name, output_of(name).title)]
        + [
            correlation_text(table[name], table["value"], within)
            for table in tables
            for within in (False, True)
        ]
        for name in names
    ]
    level = probes["t"].iloc[0]
    notes = [
        f"Spearman's rank correlation over trainings (n) of an entanglement figure (noised to t = {level:g}, null "
        f"label, held-out real images) with {measure.plain}, macro mean and tail. Within methods: each series' mean "
        "taken out of both, so that it says whether the less entangled training of a method is the better one. Trainings "
        "of one seed share weights, order and noise, so the seed is what is drawn: p permutes whole seeds, printed where "
        f"they are enough for p below .05; no interval. One of {len(rows) * len(columns[1:])} correlations here, none "
        "corrected; and one over a few methods says nothing about cause."
    ]
    return Table.of_rows(cell, "entanglement", "Entanglement against score", columns, rows, notes=notes)


def correlation_text(x: pd.DataFrame, y: pd.DataFrame, within: bool) -> str:
    """Print Spearman's correlation over runs, with its p over whole seeds where they can say anything."""
    found = seed_correlation(x, y, within)
    if not np.isfinite(found.rho):
        return MISSING
    return f"{found.rho:+.2f}" + (f" (p = {found.p:.2g})" if found.smallest_p < 0.05 else "")
