"""Tables over runs rather than over scores: entanglement against score, and cost."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ltbench.report.aggregate import Cell, main_protocols, main_series
from ltbench.report.load import Run
from ltbench.report.naming import (
    MISSING,
    integer,
    metric_title,
    number,
)
from ltbench.report.tables import Entry, Table, at_place, seeds_text, slug
from ltbench.stats import seed_correlation
from ltbench.runs.provenance import processors, sampling_cost, training_cost

PROBE_TITLES = {
    "knn_accuracy": "k-NN class accuracy",
    "linear_probe": "linear probe accuracy",
    "silhouette": "silhouette",
    "scatter_ratio": "between / within scatter",
    "head_tail_confusion": "tail images voted head",
}
LEVEL = 100  # noise level of single-level statements, where it is stored
_MINUTE = 60.0


def nearest_level(levels: np.ndarray) -> float:
    """Return the stored noise level nearest to `LEVEL`."""
    return float(min(levels, key=lambda t: (abs(t - LEVEL), t)))


def entanglement_table(cell: Cell, runs: dict[str, Run]) -> Table | None:
    """Correlate entanglement with the Frechet distance over runs; None with fewer than three probed runs.

    Once over all runs, which mixes differences between methods with those between seeds, and once with each
    method's mean taken out of both.
    """
    measures = cell.measures("group")
    measures = measures[measures["metric"] == "frechet"].head(1)
    series = main_series(cell)
    probes = stored_probes(series, runs)
    if measures.empty or probes.empty:
        return None
    last = probes["series"].map(series.set_index("series")["step"])
    probes = probes[(probes["step"] == last) & (probes["protocol"] == "noised")]
    if probes.empty:
        return None
    level = nearest_level(probes["t"].unique())
    at = probes[probes["t"] == level].pivot_table(index="run", columns="metric", values="value")
    columns, cells = ["Entanglement of the bottleneck"], []
    for block in main_protocols(cell):
        for place in ("macro", "tail"):
            points = at_place(cell.points_of("group", measures.iloc[0], sizes=False), place)
            points = points[points["main"] & points["series"].isin(block["series"])]
            joined = points.set_index("run")[["value", "series", "train_seed"]].join(at, how="inner")
            if len(joined) >= 3:
                columns += [f"{place}, ω={block['guidance'].iloc[0]:g}, n={len(joined)}", "within methods"]
                cells.append(joined)
    if not cells:
        return None
    names = [m for m in PROBE_TITLES if m in at] + sorted(set(map(str, at)) - set(PROBE_TITLES))
    rows = []
    for name in names:
        row = [Entry(PROBE_TITLES.get(name, name))]
        for joined in cells:
            row += [Entry(_correlation(joined, name, within)) for within in (False, True)]
        rows.append(row)
    title = metric_title("frechet", measures.iloc[0]["extractor"], arrow=False)
    notes = [
        f"Spearman's rank correlation over trainings (n) of an entanglement figure (noised to t = {level:g}, null "
        f"label, held-out real images) with {title}, macro mean and tail. Within methods: each series' mean taken out "
        "of both, so that it says whether the less entangled training of a method is the better one. Trainings of one "
        "seed share weights, order and noise, so the seed is what is drawn: p permutes whole seeds, printed where "
        f"they are enough for p below .05; no interval. One of {len(rows) * len(columns[1:])} correlations here, none "
        "corrected; and one over a few methods says nothing about cause."
    ]
    name = f"entanglement-{slug(cell.label)}"
    return Table(name, f"Entanglement against score, {cell.label}", columns, rows, 1, (), notes)


def stored_probes(series: pd.DataFrame, runs: dict[str, Run]) -> pd.DataFrame:
    """Return the probes of all runs of these series, with their ``series`` and ``run``; empty without any."""
    frames = []
    for _, one in series.iterrows():
        for name in one["runs"]:
            table = runs[name].probes()
            if table is not None:
                frames.append(table.assign(series=one["series"], run=name))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _correlation(joined: pd.DataFrame, name: str, within: bool) -> str:
    """Print Spearman's correlation over runs, with its p over whole seeds where they can say anything."""
    x, y = (joined.pivot_table(index="train_seed", columns="series", values=v) for v in (name, "value"))
    found = seed_correlation(x, y, within)
    if not np.isfinite(found.rho):
        return MISSING
    return f"{found.rho:+.2f}" + (f" (p = {found.p:.2g})" if found.smallest_p < 0.05 else "")


def cost_table(cell: Cell, runs: dict[str, Run]) -> Table | None:
    """Build the table of what training and sampling took; None where it is not recorded."""
    blocks = main_protocols(cell)
    rows = []
    for _, one in blocks[0].iterrows():
        spent = [training_cost(runs[name].provenance, one["step"]) for name in one["runs"]]
        seconds, flops = (np.array(v) for v in zip(*spent, strict=True))
        row = [
            Entry(one["label"]),
            Entry(seeds_text(one["train_seeds"])),
            Entry(f"{flops[0]:.2e}" if np.isfinite(flops[0]) else MISSING),
            Entry(_middle(seconds / _MINUTE, 1)),
        ]
        for block in blocks:
            twin = block[(block["method"] == one["method"]) & (block["variant"] == one["variant"])]
            row.append(
                Entry(_middle(sampling_cost(cell.folders(twin["series"].iloc[0])), 2) if len(twin) else MISSING)
            )
        rows.append(row)
    if all(entry.text == MISSING for row in rows for entry in row[2:]):
        return None
    step = integer(blocks[0]["step"].max())
    columns = ["Method", "Seeds", f"FLOPs, {step} steps", f"Minutes, {step} steps"]
    columns += [f"s per 1,000 images, ω={b['guidance'].iloc[0]:g}" for b in blocks]
    machines = processors(runs[name].provenance for one in blocks[0]["runs"] for name in one)
    notes = [
        "Medians over runs (lowest to highest). Minutes and seconds: CPU time where a CPU did the work, else "
        "wall-clock time. FLOPs: of the networks' passes, counted, the extra passes of a method included. "
        f"Recorded on {' and '.join(machines)}{': times of one do not compare with the other' * (len(machines) > 1)}."
    ]
    return Table(f"cost-{slug(cell.label)}", f"Cost, {cell.label}", columns, rows, 2, (), notes)


def _middle(values: object, decimals: int) -> str:
    found = np.asarray(values, dtype=float)
    found = found[np.isfinite(found)]
    if not len(found):
        return MISSING
    text = number(float(np.median(found)), decimals)
    return text if len(found) == 1 else f"{text} ({found.min():.{decimals}f}-{found.max():.{decimals}f})"
