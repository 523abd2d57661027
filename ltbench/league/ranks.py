"""The league table: from many bundles' scores to one row a (data cell, protocol, measure, place, method), ranked.

A protocol is everything but the method: training recipe, network, sampler, guidance, number of images, reference,
extractor and the measure's definition. Ranks are taken within one data cell, protocol, measure and place, never
across. A rank has an interval: methods that paired tests over training seeds cannot tell apart share one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from ltbench.metrics.registry import REGISTRY
from ltbench.stats import holm, paired, t_half_width

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


def league(
    scores: pd.DataFrame, status: Mapping[tuple[str, str, str, str], str] | None = None
) -> pd.DataFrame:
    """Return the league table of `scores` (as `ltbench.load_scores`), one or several bundles' joined.

    Parameters
    ----------
    scores
        With the further columns ``bundle`` where rows may come from several.
    status
        (sample_key, metric, scope, class_or_group) -> one of `STATUSES`; what it lacks is self-reported.

    Returns
    -------
    DataFrame
        Columns: bundle, cell, protocol (8 hex digits), settings, metric, title, better, place, method, variant, label,
        n, seeds, mean, low, high (95 % t interval over training seeds), floor, rank, rank_low, rank_high, of,
        status, runs.
    """
    known = measures()
    table = scores[scores["metric"].isin(known)].copy()
    table["place"] = [
        PLACES.get((s, c), "")
        for s, c in zip(table["scope"].astype(str), table["class_or_group"].astype(str), strict=True)
    ]
    table = table[(table["place"] != "") & table["value"].notna()]
    if table.empty:
        return pd.DataFrame()
    table["protocol"], table["shown"] = _protocols(table)
    floors = _floors(scores)
    rows = []
    keys = ["bundle", *_PROTOCOL, "series"] if "bundle" in table else [*_PROTOCOL, "series"]
    for _, part in table.groupby(keys, observed=True, sort=False):
        rows.append(_row(part, known[str(part["metric"].iloc[0])], floors, status or {}))
    out = pd.DataFrame(rows)
    ranks = [_ranked(part) for _, part in out.groupby(_PROTOCOL, sort=False)]
    out = pd.concat(ranks).drop(columns="by_seed")
    return out.sort_values([*_PROTOCOL, "rank", "label"], kind="stable", ignore_index=True)


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
            recipe = {k: v for k, v in json.loads(row[0]).items() if not k.startswith("method.")}
            shown = recipe | {
                name: value
                for name, value in zip(columns[1:], row[1:], strict=True)
                if value not in ("", "nan")
            }
            text = json.dumps(shown, sort_keys=True)
            digits[row] = (hashlib.sha256(text.encode()).hexdigest()[:8], text)
        out.append(digits[row])
    return [d for d, _ in out], [t for _, t in out]


def _floors(scores: pd.DataFrame) -> dict[tuple[str, str, str, str], float]:
    """Return floors by (sample key, metric, scope, place)."""
    rows = scores[scores["metric"].astype(str).str.endswith(".floor")]
    names = [str(m).removesuffix(".floor") for m in rows["metric"]]
    places = zip(rows["sample_key"], names, rows["scope"], rows["class_or_group"], strict=True)
    return {tuple(map(str, place)): v for place, v in zip(places, rows["value"], strict=True)}  # type: ignore[misc]


def _row(
    part: pd.DataFrame, output: Any, floors: Mapping[tuple[str, str, str, str], float],
    status: Mapping[tuple[str, str, str, str], str],
) -> dict[str, Any]:  # fmt: skip
    first = part.iloc[0]
    by_seed = part.groupby("train_seed")["value"].mean()
    n, mean = len(by_seed), float(by_seed.mean())
    half = t_half_width(float(by_seed.std(ddof=1)), n) if n > 1 else np.nan
    places = list(
        zip(*(part[c].astype(str) for c in ("sample_key", "metric", "scope", "class_or_group")), strict=True)
    )
    held = [floors[p] for p in places if p in floors]
    worth = min((status.get(p, "self-reported") for p in places), key=STATUSES.index)
    variant = str(first["variant"]) if str(first["variant"]) not in ("", "nan") else ""
    return {
        "bundle": str(first.get("bundle", "")),
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
        "floor": float(np.mean(held)) if held else np.nan,
        "status": worth,
        "runs": sorted(set(part["run"].astype(str))),
        "by_seed": by_seed,
    }


def _ranked(rows: pd.DataFrame) -> pd.DataFrame:
    """Add rank and its interval: 1 + those shown to be better, up to all less those shown to be worse (Holm)."""
    sign = 1.0 if rows["better"].iloc[0] == "lower" else -1.0
    means = sign * rows["mean"].to_numpy(float)
    count = len(rows)
    series = list(rows["by_seed"])
    pairs = [(i, j) for i in range(count) for j in range(i + 1, count)]
    tests = [paired(series[i], series[j]) for i, j in pairs]
    shown = holm([test.p if test is not None else np.nan for test in tests])
    better, worse = np.zeros(count, int), np.zeros(count, int)
    for (i, j), test, differs in zip(pairs, tests, shown, strict=True):
        if differs and test is not None:
            ahead, behind = (i, j) if sign * test.mean < 0 else (j, i)
            worse[ahead] += 1
            better[behind] += 1
    rank = 1 + (means[:, None] > means[None, :]).sum(axis=1)
    return rows.assign(rank=rank, rank_low=1 + better, rank_high=count - worse, of=count)


def status_of(
    rows: pd.DataFrame, sample_keys: Mapping[tuple[str, str], str]
) -> dict[tuple[str, str, str, str], str]:
    """Return the statuses of a verification's rows as `league` takes them.

    Parameters
    ----------
    rows
        `ltbench.interop.verify.Verification.rows`.
    sample_keys
        (run, sample folder) -> the sample set's full key.
    """
    places: Iterable[tuple[Any, ...]] = zip(
        rows["run"], rows["samples"], rows["metric"], rows["scope"], rows["class_or_group"], strict=True
    )
    found: dict[tuple[str, str, str, str], str] = {}
    for (run, samples, metric, scope, place), status in zip(places, rows["status"], strict=True):
        key = (sample_keys.get((run, samples), ""), str(metric), str(scope), str(place))
        found[key] = min(found.get(key, status), status, key=STATUSES.index)
    return found
