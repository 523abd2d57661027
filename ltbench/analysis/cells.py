"""From single scores to data cells with means over seeds, and from cells to the tables that a report stores.

A *series* is everything equal but the two kinds of seed; what differs in any setting is never averaged together.
Its mean and spread run over training seeds, at the one sampling seed that most of its trainings share; the spread
over sampling seeds of one training is kept apart, since it measures another thing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ltbench.analysis.cell_results import MEASURE, CellResults, Key
from ltbench.analysis.names import method_rank, split_metric
from ltbench.analysis.series import Series, labelled, stated
from ltbench.runs.run import Run
from ltbench.runs.score_rows import row_codes
from ltbench.runs.series import main_sampling_seed
from ltbench.text import distinct, slug

SERIES_COLUMNS = ["method", "variant", "step", "sampler", "nfe", "guidance", "origin", "settings"]
_LONGEST_SLUG = 40
PLACE = ["scope", "class_or_group", "n_train"]


def cells(scores: pd.DataFrame, runs: Mapping[str, Run] | None = None) -> list[CellResults]:
    """Split scores into data cells: a data set's long tails by falling ratio, the published split of each first,
    then its balanced cells, which are controls; one without a single number is left out.

    `runs` know the user's names of a prepared folder and its classes.
    """
    scores = scores[scores["cell"].isin(scores.loc[scores["value"].notna(), "cell"].unique()).to_numpy()]
    text = dict.fromkeys(("dataset", "cell", "run", "class_order"), str)
    order = scores.drop_duplicates("cell").astype(text)
    order = order.assign(
        control=order["imbalance_ratio"] == 1, moved=~order["class_order"].isin(["", "identity"])
    )
    order = order.sort_values(
        ["dataset", "control", "imbalance_ratio", "moved", "split_seed", "cell"],
        ascending=[True, True, False, True, True, True],
    )
    names = [runs[run].user_names if runs is not None and run in runs else ("", ()) for run in order["run"]]
    keys = list(order["cell"])
    labels = [_own_label(key, name) for key, (name, _) in zip(keys, names, strict=True)]
    labels = [label if labels.count(label) == 1 else key for label, key in zip(labels, keys, strict=True)]
    slugs = distinct([_slug(label) for label in labels], keys, _LONGEST_SLUG)
    rows = scores.groupby("cell", observed=True).indices
    return [
        _cell(label, key, short, scores.iloc[rows[key]], classes)
        for label, key, short, (_, classes) in zip(labels, keys, slugs, names, strict=True)
    ]


def _slug(label: str) -> str:
    """Return a short name for files: data set and ratio, then what is not the published split."""
    parts = label.split(", ")
    short = [parts[0].removesuffix("_lt"), "r" + parts[1].removeprefix("ratio ")]
    short += [part.split()[0][0] + part.split()[-1] for part in parts[2:] if not part.endswith(" px")]
    return slug("-".join(short))[:_LONGEST_SLUG].rstrip("-.")


def _own_label(key: str, name: str) -> str:
    """Return a data cell's label with the user's name of a prepared folder in place of its source and content."""
    first, *rest = key.split(", ")
    plain = name.replace(",", " ")
    return ", ".join([plain or first, *(part for part in rest if not (name and part.startswith("content ")))])


def _cell(label: str, key: str, short: str, scores: pd.DataFrame, names: tuple[str, ...]) -> CellResults:
    metric = scores["metric"].astype("category")
    split = [split_metric(str(name)) for name in metric.cat.categories]
    code = metric.cat.codes.to_numpy()
    base, role = (np.array([s[i] for s in split], object)[code] for i in (0, 1))
    points = scores.assign(metric=pd.Categorical(base), role=pd.Categorical(role))
    points = points.reset_index(drop=True)
    main = main_sampling_seed(points)
    own = points["series"].map(main).astype(float)
    points = points.assign(main=(points["sample_seed"].fillna(-1) == own).to_numpy())
    reasons = _reasons(points)
    points = points[points["value"].notna().to_numpy()].reset_index(drop=True)
    return CellResults(label, key, short, _series(points), points, summarise(points), reasons, names)


def _reasons(points: pd.DataFrame) -> dict[tuple[str, str, str], str]:
    if "reason" not in points:
        return {}
    rows = points[points["value"].isna().to_numpy() & (points["reason"].astype(str) != "").to_numpy()]
    rows = rows[(rows["role"] == "").to_numpy()].astype({"scope": str, "class_or_group": str, "metric": str})
    keys = zip(rows["scope"], rows["class_or_group"], rows["metric"], strict=True)
    return dict(zip(keys, rows["reason"].astype(str), strict=True))


def _series(points: pd.DataFrame) -> list[Series]:
    first = points.drop_duplicates("series")[["series", *SERIES_COLUMNS]].astype({"series": str})
    members: dict[str, dict[str, Any]] = {}
    for column, source in (("train_seeds", "train_seed"), ("sample_seeds", "sample_seed"), ("runs", "run")):
        pairs = points[["series", source]].drop_duplicates().dropna().astype({"series": str})
        for key, values in pairs.groupby("series")[source]:
            found = {str(v) if source == "run" else int(v) for v in values}
            members.setdefault(str(key), {})[column] = tuple(sorted(found))
    out = [
        Series(str(key), *map(_plain, stated), **members.get(str(key), {}))
        for key, *stated in first.itertuples(index=False)
    ]

    def order(one: Series) -> Key:
        method, numbers = method_rank(one.method), stated(one.nfe, one.guidance)
        return method, one.variant, stated(one.step), one.sampler, numbers, one.settings

    return labelled(sorted(out, key=order))


def _plain(value: object) -> Any:
    return float(value) if isinstance(value, float | int | np.number) else str(value)


def series_table(cell: CellResults) -> pd.DataFrame:
    """Return a cell's series as a table, a row each."""
    return pd.DataFrame([vars(one) for one in cell.series]).rename(columns={"key": "series"})


def summarise(points: pd.DataFrame) -> pd.DataFrame:
    """Average `points` (with ``main``, see `CellResults`) over training seeds.

    Returns
    -------
    One row a (series, place, measure, role): ``mean``, ``sd`` (sample standard deviation, nan for one seed)
    and ``n`` over training seeds at the main sampling seed; ``sd_sampling`` (pooled over trainings that were
    sampled more than once) and ``n_sampling`` (sample sets behind it).
    """
    keys = ["series", *PLACE, *MEASURE, "role"]
    row, main = row_codes(points, keys), points["main"].to_numpy()
    points = points.assign(row=row, seed=points["train_seed"].fillna(-1))
    mean, sd, n = _moments(row, points["value"].to_numpy(float), main)
    sets = points.groupby(["row", "seed"])["value"].agg(["var", "count"])
    again = sets[sets["count"] > 1].assign(df=lambda of: of["count"] - 1, ss=lambda of: of["var"] * of["df"])
    pooled = again.groupby("row")[["ss", "df", "count"]].sum().reindex(range(len(n)))
    out = points.drop_duplicates("row").sort_values("row", ignore_index=True)[keys]
    out = out.assign(mean=mean, sd=sd, n=n, sd_sampling=np.sqrt(pooled["ss"] / pooled["df"]))
    out["n_sampling"] = pooled["count"].fillna(0).astype(int)
    return out[n > 0].sort_values(["series", "scope"], kind="stable", ignore_index=True)


def _moments(row: np.ndarray, value: np.ndarray, main: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return mean, sample sd (nan for one) and count of each row's main values."""
    size, row, value = int(row.max(initial=-1)) + 1, row[main], value[main]
    n = np.bincount(row, minlength=size)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(row, value, size) / n
        sd = np.sqrt(np.bincount(row, (value - mean[row]) ** 2, size) / (n - 1))
    return mean, np.where(n > 1, sd, np.nan), n


def summary_frames(sections: Sequence[tuple[CellResults, pd.DataFrame]]) -> dict[str, pd.DataFrame]:
    """Return a report's numbers as tables: series and measures described once, then means and differences by key.

    Parameters
    ----------
    sections
        Each data cell with its frame of `differences`.
    """
    found = [cell for cell, _ in sections]
    cell_rows = pd.DataFrame({"cell_number": range(len(found)), "cell": [cell.label for cell in found]})
    series = pd.concat([series_table(c).assign(cell=c.label) for c in found], ignore_index=True)
    for column in ("train_seeds", "sample_seeds", "runs"):
        series[column] = [";".join(map(str, values)) for values in series[column]]
    first = ["cell", "series", "label"]
    texts = dict.fromkeys(["series", "scope", "class_or_group", *MEASURE[:6], "role"], object)
    parts = [cell.summary.astype(texts).assign(cell_number=i) for i, cell in enumerate(found)]
    summary = pd.concat(parts, ignore_index=True)
    measures = summary[MEASURE].drop_duplicates(ignore_index=True)
    measures.insert(0, "measure", [f"m{i}" for i in range(len(measures))])
    columns = ["cell_number", "series", *PLACE, "metric", "role", "measure"]
    numbers = ["mean", "sd", "n", "sd_sampling", "n_sampling"]
    return {
        "cells": cell_rows,
        "series": series[[*first, *(c for c in series if c not in first)]],
        "measures": measures,
        "summary": summary.merge(measures, on=MEASURE, how="left")[[*columns, *numbers]],
        "contrasts": pd.concat([frame for _, frame in sections], ignore_index=True),
    }
