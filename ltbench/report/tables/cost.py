"""Tables over runs rather than over scores: cost from provenance, and entanglement of the bottleneck against score."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ltbench.report.cells import CellResults, main_protocols, main_series
from ltbench.report.names import MISSING, guidance_text, integer, metric_title, number, output_of, seeds_text
from ltbench.report.tables.grid import Entry, Table, Tags, series_tags
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
    blocks = main_protocols(cell)
    rows: list[list[Entry]] = []
    tags: list[Tags] = []
    for _, one in blocks[0].iterrows():
        spent = [training_cost(runs[name].provenance, one["step"]) for name in one["runs"]]
        seconds, flops = (np.array(v) for v in zip(*spent, strict=True))
        row = [Entry(one["label"]), Entry(f"{flops[0]:.2e}" if np.isfinite(flops[0]) else MISSING)]
        row.append(Entry(_middle(seconds / _MINUTE, 1)))
        for block in blocks:
            same = block[(block["method"] == one["method"]) & (block["variant"] == one["variant"])]
            text = _middle(sampling_cost(cell.folders(same["series"].iloc[0])), 2) if len(same) else MISSING
            row.append(Entry(text))
        rows.append([*row, Entry(seeds_text(one["train_seeds"]))])
        tags.append({"method": one["method"]})
    if all(entry.text == MISSING for row in rows for entry in row[1:-1]):
        return None
    step = integer(blocks[0]["step"].max())
    columns = ["Method", f"FLOPs, {step} steps", f"Minutes, {step} steps"]
    columns += [f"s per 1,000 images, ω={guidance_text(b['guidance'].iloc[0])}" for b in blocks]
    machines = processors(runs[name].provenance for one in blocks[0]["runs"] for name in one)
    notes = [
        "Medians over runs (lowest to highest). Minutes and seconds: CPU time where a CPU did the work, else "
        "wall-clock time. FLOPs: of the networks' passes, counted, the extra passes of a method included. "
        f"Recorded on {' and '.join(machines)}{': times of one do not compare with the other' * (len(machines) > 1)}."
    ]
    return Table(f"cost-{cell.slug}", f"Cost, {cell.label}", [*columns, "Seeds"], rows, 1, (), notes, 1, tags)


def _middle(values: object, decimals: int) -> str:
    found = np.asarray(values, dtype=float)
    found = found[np.isfinite(found)]
    if not len(found):
        return MISSING
    text = number(float(np.median(found)), decimals)
    return text if len(found) == 1 else f"{text} ({found.min():.{decimals}f}-{found.max():.{decimals}f})"


# -- entanglement ---------------------------------------------------------------------------------------------


def stored_probes(series: pd.DataFrame, runs: Runs) -> pd.DataFrame:
    """Return the probes of all runs of these series, with their ``series`` and ``run``; empty without any."""
    frames = []
    for _, one in series.iterrows():
        for name in one["runs"]:
            table = runs[name].probes()
            if table is not None:
                frames.append(table.assign(series=one["series"], run=name))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def nearest_level(levels: np.ndarray) -> float:
    """Return the stored noise level nearest to `LEVEL`."""
    return float(min(levels, key=lambda t: (abs(t - LEVEL), t)))


def entanglement_table(cell: CellResults, probes: pd.DataFrame) -> Table | None:
    """Correlate entanglement with the Frechet distance over runs; None with fewer than three probed runs.

    Once over all runs, which mixes differences between methods with those between seeds, and once with each
    series' mean taken out of both.
    """
    measure, series = cell.frechet("group"), main_series(cell)
    if measure is None or probes.empty:
        return None
    last = probes["series"].map(series.set_index("series")["step"])
    probes = probes[(probes["step"] == last) & (probes["protocol"] == "noised")]
    if probes.empty:
        return None
    level = nearest_level(probes["t"].unique())
    at = probes[probes["t"] == level].pivot_table(index="run", columns="metric", values="value")
    columns, joined = ["Entanglement of the bottleneck"], []
    for block in main_protocols(cell):
        for place in ("macro", "tail"):
            points = cell.points_of("group", measure, place, sizes=False)
            points = points[points["main"].to_numpy() & points["series"].isin(block["series"]).to_numpy()]
            points = points.astype({"run": str, "series": str}).set_index("run")
            found = points[["value", "series", "train_seed"]].join(at, how="inner")
            if len(found) >= 3:
                columns += [
                    f"{place}, ω={guidance_text(block['guidance'].iloc[0])}, n={len(found)}",
                    "within methods",
                ]
                joined.append(found)
    if not joined:
        return None
    names = [m for m in PROBE_TITLES if m in at] + sorted(set(map(str, at)) - set(PROBE_TITLES))
    rows = [
        [Entry(PROBE_TITLES.get(name, output_of(name).title))]
        + [Entry(_correlation(found, name, within)) for found in joined for within in (False, True)]
        for name in names
    ]
    title = metric_title("frechet", measure["extractor"], arrow=False)
    notes = [
        f"Spearman's rank correlation over trainings (n) of an entanglement figure (noised to t = {level:g}, null "
        f"label, held-out real images) with {title}, macro mean and tail. Within methods: each series' mean taken out "
        "of both, so that it says whether the less entangled training of a method is the better one. Trainings of one "
        "seed share weights, order and noise, so the seed is what is drawn: p permutes whole seeds, printed where "
        f"they are enough for p below .05; no interval. One of {len(rows) * len(columns[1:])} correlations here, none "
        "corrected; and one over a few methods says nothing about cause."
    ]
    name = f"entanglement-{cell.slug}"
    return Table(name, f"Entanglement against score, {cell.label}", columns, rows, 1, (), notes)


def _correlation(joined: pd.DataFrame, name: str, within: bool) -> str:
    """Print Spearman's correlation over runs, with its p over whole seeds where they can say anything."""
    x, y = (joined.pivot_table(index="train_seed", columns="series", values=v) for v in (name, "value"))
    found = seed_correlation(x, y, within)
    if not np.isfinite(found.rho):
        return MISSING
    return f"{found.rho:+.2f}" + (f" (p = {found.p:.2g})" if found.smallest_p < 0.05 else "")


__all__ = [
    "PROBE_TITLES",
    "Runs",
    "cost_table",
    "entanglement_table",
    "nearest_level",
    "series_tags",
    "stored_probes",
]
