"""What the runs of a series recorded beside its scores: cost, probes of the bottleneck, confusion, training logs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from ltbench.analysis.cell_results import CellResults
from ltbench.analysis.protocols import main_protocols, main_series
from ltbench.analysis.series import Series
from ltbench.runs.provenance import training_cost
from ltbench.runs.run import Run
from ltbench.runs.samples import load_confusion

_LOGGED = 200  # points of a training curve
LEVEL = 100  # noise level of single-level statements, where it is stored

Runs = Mapping[str, Run]


def training_costs(one: Series, runs: Runs) -> np.ndarray:
    """Return seconds and FLOPs of a series' trainings up to its step, (2, n); nan where they are not on record."""
    return np.array([training_cost(runs[name].provenance, one.step) for name in one.runs]).reshape(-1, 2).T


def training_flops(one: Series, runs: Runs) -> float:
    """Return the FLOPs of one training up to the series' step, which are alike in all; nan where none is on record."""
    return next((float(flops) for flops in training_costs(one, runs)[1] if np.isfinite(flops)), np.nan)


def known_median(values: Sequence[float] | np.ndarray) -> float:
    """Return the median of what is on record, nan where nothing is."""
    return float(pd.Series(values, dtype=float).median())


def stored_probes(series: Sequence[Series], runs: Runs) -> pd.DataFrame:
    """Return the probes of all runs of these series, with their ``series`` and ``run``; empty without any."""
    kept = [(one.key, name, runs[name].probes()) for one in series for name in one.runs]
    frames = [table.assign(series=key, run=name) for key, name, table in kept if table is not None]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def nearest_level(levels: np.ndarray) -> float:
    """Return the stored noise level nearest to `LEVEL`."""
    return float(min(levels, key=lambda t: (abs(t - LEVEL), t)))


def noised_probes(probes: pd.DataFrame) -> pd.DataFrame:
    """Return the probes of noised images, which were given the null label; may be empty."""
    return probes if probes.empty else probes[probes["protocol"] == "noised"]


def final_probes(cell: CellResults, probes: pd.DataFrame) -> pd.DataFrame:
    """Return the probes of the main series after training, noised, at the level nearest to `LEVEL`; may be empty."""
    probes = noised_probes(probes)
    if probes.empty:
        return probes
    probes = probes[probes["step"] == probes["series"].map({one.key: one.step for one in main_series(cell)})]
    return probes if probes.empty else probes[probes["t"] == nearest_level(probes["t"].unique())]


def probes_beside_scores(cell: CellResults, probes: pd.DataFrame) -> list[tuple[str, str, int, pd.DataFrame]]:
    """Return entanglement beside the Frechet distance, for each main protocol's macro mean and tail.

    Parameters
    ----------
    cell
        Has the scores.
    probes
        As `final_probes` returns them.

    Returns
    -------
    (guidance, place, runs, table), the table training seed x (``value`` and each probe's metric, series), where three
    runs or more have both.
    """
    measure, out = cell.frechet("group"), []
    if measure is None or probes.empty:
        return []
    at = probes.pivot_table(index="run", columns="metric", values="value")
    values = ["value", *map(str, at)]
    for block, place in itertools.product(main_protocols(cell), ("macro", "tail")):
        points = cell.points_of("group", measure.any_size, place)
        keep = points["main"].to_numpy() & points["series"].isin([one.key for one in block]).to_numpy()
        points = points[keep].astype({"run": str, "series": str}).set_index("run")
        found = points[["value", "series", "train_seed"]].join(at, how="inner")
        if len(found) >= 3:
            table = found.pivot_table(values=values, index="train_seed", columns="series", dropna=False)
            out.append((block[0].scale_text, place, len(found), table))
    return out


def mean_confusion(cell: CellResults, series: str, classes: list[str]) -> np.ndarray | None:
    """Return a series' share of each class's images that the classifier gives each class, mean over training seeds.

    Returns
    -------
    (asked for, seen), both in the order of `classes`; None where no confusion is stored.
    """
    tables = [t for folder in cell.main_folders(series) if (t := load_confusion(folder)) is not None]
    if not tables:
        return None
    counts = np.array([t.reindex(index=classes, columns=classes).to_numpy() for t in tables])
    asked = np.array([t.sum(axis=1).reindex(classes).to_numpy() for t in tables])
    result: np.ndarray = (counts / asked[:, :, None]).mean(axis=0)
    return result


def training_logs(one: Series, runs: Runs) -> list[pd.DataFrame]:
    """Return the numbers that each of a series' trainings logged, a column a term."""
    logs = (runs[name].train_log() for name in one.runs)
    return [log.select_dtypes("number") for log in logs if log is not None]


def smoothed(logs: Sequence[pd.DataFrame], term: str) -> Iterator[tuple[float, np.ndarray]]:
    """Yield step and value (1,) of a logged term, smoothed over 2 % of the steps, the mean over trainings, at most
    some hundred points."""
    terms = [log.set_index("step")[term].dropna() for log in logs if term in log]
    smooth = [f.rolling(max(1, len(f) // 50), min_periods=1).mean() for f in terms if len(f)]
    if smooth:
        mean = pd.concat(smooth, axis=1).mean(axis=1)
        thinned = mean.iloc[:: max(1, len(mean) // _LOGGED)]
        yield from zip(thinned.index.astype(float), thinned.to_numpy(float)[:, None], strict=True)
