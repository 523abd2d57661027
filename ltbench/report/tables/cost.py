"""Tables over runs rather than over scores: cost from provenance, and entanglement of the bottleneck against score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ltbench.analysis.cell_results import CellResults
from ltbench.analysis.names import MISSING, integer, number, output_of, seeds_text
from ltbench.analysis.protocols import main_protocols, main_series
from ltbench.analysis.series import Series
from ltbench.report.tables.grid import Table
from ltbench.runs.provenance import processors, sampling_cost, training_cost
from ltbench.runs.run import Run
from ltbench.stats import seed_correlation

PROBE_TITLES = {
    "knn_accuracy": "k-NN class accuracy",
    "linear_probe": "linear probe accuracy",
    "silhouette": "silhouette",
    "scatter_ratio": "between / within scatter",
    "head_tail_confusion": "tail images voted head",
}
LEVEL = 100  # noise level of single-level statements, where it is stored
_MINUTE = 60.0

Runs = Mapping[str, Run]


def cost_table(cell: CellResults, runs: Runs) -> Table | None:
    """Build the table of what training and sampling took; None where it is not recorded."""
    blocks, shown = main_protocols(cell), main_series(cell)
    steps = [integer(one.step) for one in shown]
    to = f", {steps[0]} steps" if len(set(steps)) == 1 else ""
    costs = [training_costs(one, runs) for one in shown]
    columns = [
        (
            f"FLOPs{to}",
            [f"{flops[0]:.2e}" if np.isfinite(flops[0]) else MISSING for _, flops in costs],
        ),
        (f"Minutes{to}", [_middle(seconds / _MINUTE, 1) for seconds, _ in costs]),
    ]
    for block in blocks:
        folders = {one.pair: cell.folders(one.key) for one in reversed(block)}
        times = [_middle(sampling_cost(folders.get(one.pair, [])), 2) for one in shown]
        columns.append((f"s per 1,000 images, ω={block[0].scale_text}", times))
    if all(text == MISSING for _, texts in columns for text in texts):
        return None
    labels = ("Method", [one.label for one in shown])
    made = [] if to else [("Steps", steps)]
    made.append(("Seeds", [seeds_text(one.train_seeds) for one in shown]))
    machines = processors(runs[name].provenance for one in shown for name in one.runs)
    notes = [
        "Medians over runs (lowest to highest). Minutes and seconds: CPU time where a CPU did the work, else "
        "wall-clock time. FLOPs: of the networks' passes, counted, the extra passes of a method included. "
        f"Recorded on {' and '.join(machines)}{': times of one do not compare with the other' * (len(machines) > 1)}."
    ]
    name, title, tags = f"cost-{cell.slug}", f"Cost, {cell.label}", [{"method": one.method} for one in shown]
    columns = [labels, *columns, *made]
    return Table.of_columns(name, title, columns, notes=notes, settings=len(made), row_tags=tags)


def training_costs(one: Series, runs: Runs) -> np.ndarray:
    """Return seconds and FLOPs of a series' trainings up to its step, (2, n); nan where they are not on record."""
    return np.array([training_cost(runs[name].provenance, one.step) for name in one.runs]).reshape(-1, 2).T


def training_flops(one: Series, runs: Runs) -> float:
    """Return the FLOPs of one training up to the series' step, which are alike in all; nan where none is on record."""
    return next((float(flops) for flops in training_costs(one, runs)[1] if np.isfinite(flops)), np.nan)


def median(values: Sequence[float] | np.ndarray) -> float:
    """Return the median of what is on record, nan where nothing is."""
    return float(pd.Series(values, dtype=float).median())


def _middle(values: Sequence[float] | np.ndarray, decimals: int) -> str:
    known = pd.Series(values, dtype=float).dropna()
    text = number(known.median(), decimals)
    return text if len(known) < 2 else f"{text} ({known.min():.{decimals}f}-{known.max():.{decimals}f})"


# -- entanglement ---------------------------------------------------------------------------------------------


def stored_probes(series: Sequence[Series], runs: Runs) -> pd.DataFrame:
    """Return the probes of all runs of these series, with their ``series`` and ``run``; empty without any."""
    kept = [(one.key, name, runs[name].probes()) for one in series for name in one.runs]
    frames = [table.assign(series=key, run=name) for key, name, table in kept if table is not None]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def nearest_level(levels: np.ndarray) -> float:
    """Return the stored noise level nearest to `LEVEL`."""
    return float(min(levels, key=lambda t: (abs(t - LEVEL), t)))


def entanglement_table(cell: CellResults, probes: pd.DataFrame) -> Table | None:
    """Correlate entanglement with the Frechet distance over runs; None with fewer than three probed runs.

    Once over all runs, which mixes differences between methods with those between seeds, and once with each
    series' mean taken out of both.
    """
    measure = cell.frechet("group")
    if measure is None or probes.empty:
        return None
    last = probes["series"].map({one.key: one.step for one in main_series(cell)})
    probes = probes[(probes["step"] == last) & (probes["protocol"] == "noised")]
    if probes.empty:
        return None
    level = nearest_level(probes["t"].unique())
    at = probes[probes["t"] == level].pivot_table(index="run", columns="metric", values="value")
    columns, joined = ["Entanglement of the bottleneck"], []
    for block in main_protocols(cell):
        for place in ("macro", "tail"):
            points = cell.points_of("group", measure.any_size, place)
            keep = points["main"].to_numpy() & points["series"].isin([one.key for one in block]).to_numpy()
            points = points[keep].astype({"run": str, "series": str}).set_index("run")
            found = points[["value", "series", "train_seed"]].join(at, how="inner")
            if len(found) >= 3:
                scale = block[0].scale_text
                columns += [f"{place}, ω={scale}, n={len(found)}", "within methods"]
                joined.append(found)
    if not joined:
        return None
    names = [m for m in PROBE_TITLES if m in at] + sorted(set(map(str, at)) - set(PROBE_TITLES))
    by_seed: dict[str, Any] = {"index": "train_seed", "columns": "series", "dropna": False}
    values: list[Any] = [found.pivot_table(values=["value", *names], **by_seed) for found in joined]
    rows = [
        [PROBE_TITLES.get(name, output_of(name).title)]
        + [
            correlation_text(found[name], found["value"], within)
            for found in values
            for within in (False, True)
        ]
        for name in names
    ]
    notes = [
        f"Spearman's rank correlation over trainings (n) of an entanglement figure (noised to t = {level:g}, null "
        f"label, held-out real images) with {measure.plain}, macro mean and tail. Within methods: each series' mean "
        "taken out of both, so that it says whether the less entangled training of a method is the better one. Trainings "
        "of one seed share weights, order and noise, so the seed is what is drawn: p permutes whole seeds, printed where "
        f"they are enough for p below .05; no interval. One of {len(rows) * len(columns[1:])} correlations here, none "
        "corrected; and one over a few methods says nothing about cause."
    ]
    name = f"entanglement-{cell.slug}"
    return Table(name, f"Entanglement against score, {cell.label}", columns, rows, 1, (), notes)


def correlation_text(x: pd.DataFrame, y: pd.DataFrame, within: bool) -> str:
    """Print Spearman's correlation over runs, with its p over whole seeds where they can say anything."""
    found = seed_correlation(x, y, within)
    if not np.isfinite(found.rho):
        return MISSING
    return f"{found.rho:+.2f}" + (f" (p = {found.p:.2g})" if found.smallest_p < 0.05 else "")
