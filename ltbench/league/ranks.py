"""The league table: from many bundles' scores to one row a (data cell, protocol, measure, place, method), ranked.

A protocol is everything but the method: training recipe, network, sampler, guidance, number of images, reference,
extractor and the measure's definition. Ranks are taken within one data cell, protocol, measure and place, never
across. A rank has an interval: methods that paired tests over training seeds cannot tell apart share one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ltbench.metrics.registry import REGISTRY
from ltbench.runs.series import is_hyperparameter, main_sampling_seed
from ltbench.stats import holm, paired_columns, t_half_width

Place = tuple[str, ...]
"""What a number is: bundle, sample key, metric, extractor, scope, class or group."""

_PLACE = ["bundle", "sample_key", "metric", "extractor", "scope", "class_or_group"]

PLACES = {
    ("overall", ""): "overall",
    ("group", "macro"): "mean of classes",
    ("group", "tail"): "tail (mean of classes)",
    ("pooled", "tail"): "tail (pooled)",
}
STATUSES = ("contradicted", "self-reported", "re-scored", "reproduced")
"""What a number is worth, worst first: a row of several seeds is worth what its worst number is."""

_PROTOCOL = ["cell", "protocol", "metric", "place"]


def measures() -> dict[str, Any]:
    """Return the ranked measures by name: those whose metric states a direction and is no companion of another."""
    outputs = {output.name: output for metric in REGISTRY.values() for output in metric.outputs}
    return {
        name: output for name, output in outputs.items() if output.better is not None and not output.auxiliary
    }


def league(scores: pd.DataFrame, status: Mapping[Place, str] | None = None) -> pd.DataFrame:
    """Return the league table of `scores` (as `ltbench.load_scores`), one or several bundles' joined.

    Parameters
    ----------
    scores
        With the further columns ``bundle`` where rows may come from several.
    status
        A number's place -> one of `STATUSES`; what it lacks is self-reported.

    Returns
    -------
    DataFrame
        Columns: bundle, cell, protocol (8 hex digits), settings, metric, title, better, place, method, variant, label,
        n, seeds, mean, low, high (95 % t interval over training seeds, each at the series' main sampling seed),
        n_generated, floor, floor_n (its own number of images), rank, rank_low, rank_high, of (none of a mean that is
        not finite), status, runs.
    """
    known = measures()
    scores = scores if "bundle" in scores else scores.assign(bundle="")
    table = scores[scores["metric"].isin(known)].copy()
    table["place"] = [
        PLACES.get((s, c), "")
        for s, c in zip(table["scope"].astype(str), table["class_or_group"].astype(str), strict=True)
    ]
    table = table[(table["place"] != "") & table["value"].notna() & _is_main(scores).loc[table.index]]
    if table.empty:
        return pd.DataFrame()
    table["protocol"], table["shown"] = _protocols(table)
    floors = _floors(scores)
    rows = []
    for _, part in table.groupby(["bundle", *_PROTOCOL, "series"], observed=True, sort=False):
        rows.append(_row(part, known[str(part["metric"].iloc[0])], floors, status or {}))
    out = pd.DataFrame(rows)
    ranks = [_ranked(_labelled(part)) for _, part in out.groupby(_PROTOCOL, sort=False)]
    out = pd.concat(ranks).drop(columns=["by_seed", "hyperparameters"])
    return out.sort_values([*_PROTOCOL, "rank", "label"], kind="stable", ignore_index=True)


def _is_main(scores: pd.DataFrame) -> pd.Series:
    """Tell which rows are at their series' main sampling seed, in a report's sense: one bundle's series are its own."""
    main = pd.Series(False, scores.index)
    for _, rows in scores.groupby("bundle", observed=True):
        own = rows["series"].astype(str).map(main_sampling_seed(rows)).astype(float)
        main[rows.index] = rows["sample_seed"].fillna(-1) == own
    return main


def _protocols(table: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Return each row's protocol: eight digits and its settings as JSON."""
    columns = ["settings", "step", "sampler", "nfe", "guidance", "definition", "extractor", "extractor_hash"]
    columns += ["reference", "n_reference", "n_generated", "origin", "labels"]
    digits: dict[tuple[Any, ...], tuple[str, str]] = {}
    out = []
    for row in zip(
        *(table[c].astype(str) if c in table else [""] * len(table) for c in columns), strict=True
    ):
        if row not in digits:
            recipe = {k: v for k, v in json.loads(row[0]).items() if not is_hyperparameter(k)}
            shown = recipe | {
                name: value
                for name, value in zip(columns[1:], row[1:], strict=True)
                if value not in ("", "nan")
            }
            text = json.dumps(shown, sort_keys=True)
            digits[row] = (hashlib.sha256(text.encode()).hexdigest()[:8], text)
        out.append(digits[row])
    return [d for d, _ in out], [t for _, t in out]


def _floors(scores: pd.DataFrame) -> dict[Place, tuple[float, float]]:
    """Return each place's floor and its number of images."""
    rows = scores[scores["metric"].astype(str).str.endswith(".floor") & scores["value"].notna()]
    rows = rows.assign(metric=rows["metric"].astype(str).str.removesuffix(".floor"))
    return dict(zip(_places(rows), zip(rows["value"], rows["n_generated"], strict=True), strict=True))


def _places(rows: pd.DataFrame) -> list[Place]:
    """Return the place of each row's number."""
    return list(zip(*(rows[c].astype(str) for c in _PLACE), strict=True))


def _row(
    part: pd.DataFrame,
    output: Any,
    floors: Mapping[Place, tuple[float, float]],
    status: Mapping[Place, str],
) -> dict[str, Any]:
    first, places = part.iloc[0], _places(part)
    # A row that states no training seed is a measurement, and nothing to pair.
    means = part.groupby(part["train_seed"].astype(float).fillna(-1))["value"].mean()
    by_seed = means[means.index >= 0]
    n, mean = len(means), float(means.mean())
    half = t_half_width(float(means.std(ddof=1)), n) if n > 1 and np.isfinite(mean) else np.nan
    held = [floors[p] for p in places if p in floors]
    floor, floor_n = np.mean(held, axis=0).tolist() if held else (np.nan, np.nan)
    worth = min((status.get(p, "self-reported") for p in places), key=STATUSES.index)
    variant = str(first["variant"]) if str(first["variant"]) not in ("", "nan") else ""
    return {
        "bundle": str(first["bundle"]),
        "cell": str(first["cell"]),
        "protocol": first["protocol"],
        "settings": first["shown"],
        "metric": str(first["metric"]),
        "title": output.title or str(first["metric"]),
        "extractor": str(first["extractor"]),
        "better": output.better,
        "decimals": output.decimals,
        "place": first["place"],
        "method": str(first["method"]),
        "variant": variant,
        "label": f"{first['method']} ({variant})" if variant else str(first["method"]),
        "n": n,
        "seeds": ", ".join(f"{seed:g}" for seed in by_seed.index),
        "mean": mean,
        "low": mean - half,
        "high": mean + half,
        "n_generated": float(first["n_generated"]),
        "floor": floor,
        "floor_n": floor_n,
        "status": worth,
        "runs": sorted(set(part["run"].astype(str))),
        "by_seed": by_seed,
        "hyperparameters": {k: v for k, v in json.loads(first["settings"]).items() if is_hyperparameter(k)},
    }


def _labelled(rows: pd.DataFrame) -> pd.DataFrame:
    """Tell the rows of one bundle and label apart by the method's own settings that differ."""
    labels = rows["label"].copy()
    for _, part in rows.groupby(["bundle", "label"], sort=False):
        stated = [{k: json.dumps(v) for k, v in held.items()} for held in part["hyperparameters"]]
        differ = [k for k in sorted(set().union(*stated)) if len({held.get(k) for held in stated}) > 1]
        for i, held in zip(part.index, stated, strict=True):
            labels[i] = ", ".join([labels[i], *(f"{k}={held[k]}" for k in differ if k in held)])
    return rows.assign(label=labels)


def _ranked(rows: pd.DataFrame) -> pd.DataFrame:
    """Add rank and its interval: 1 + those shown to be better, up to all less those shown to be worse (Holm).

    A mean that is not finite has no rank.
    """
    every, rows = rows, rows[np.isfinite(rows["mean"].astype(float))]
    sign = 1.0 if every["better"].iloc[0] == "lower" else -1.0
    means = sign * rows["mean"].to_numpy(float)
    count = len(rows)
    wide = pd.concat(list(rows["by_seed"]), axis=1).to_numpy(float) if count else np.empty((0, 0))
    first, second = np.triu_indices(count, 1)
    tests = paired_columns(wide[:, first] - wide[:, second])
    shown = holm(tests["p"])
    ahead = np.where(sign * tests["mean"] < 0, first, second)[shown]
    better = np.bincount((first + second)[shown] - ahead, minlength=count)
    worse = np.bincount(ahead, minlength=count)
    rank = 1 + (means[:, None] > means[None, :]).sum(axis=1)
    ranks = {"rank": rank, "rank_low": 1 + better, "rank_high": count - worse}
    added = pd.DataFrame(ranks, rows.index).reindex(every.index).astype("Int64")
    return every.join(added).assign(of=count)


def status_of(
    rows: pd.DataFrame, sample_keys: Mapping[tuple[str, str], str], bundle: str = ""
) -> dict[Place, str]:
    """Return the statuses of a bundle's verification as `league` takes them.

    Parameters
    ----------
    rows
        `ltbench.interop.verify.Verification.rows`.
    sample_keys
        (run, sample folder) -> the sample set's full key.
    bundle
        Its name.
    """
    keys = [sample_keys.get(pair, "") for pair in zip(rows["run"], rows["samples"], strict=True)]
    out: dict[Place, str] = {}
    for place, status in zip(
        _places(rows.assign(bundle=bundle, sample_key=keys)), rows["status"], strict=True
    ):
        out[place] = min(out.get(place, status), status, key=STATUSES.index)
    return out
