"""What metrics, methods, groups and settings are called in print, from names in ``scores.csv`` to words."""

from __future__ import annotations

import functools
import importlib
import json
import math
import pkgutil
from typing import Any

import numpy as np
import pandas as pd

from ltbench.data.registry import SOURCES
from ltbench.metrics.base import Output
from ltbench.metrics.registry import find_output

MISSING = "—"
SHOT_GROUPS = ("head", "middle", "tail")
GROUP_ORDER = (*SHOT_GROUPS, "macro", "worst")
_GROUP_TITLES = {"": "overall", "macro": "macro mean", "worst": "worst class"}
# Suffixes of rows that belong to another row: floors, the score at the floor's n, bootstrap intervals.
SUFFIXES = ("floor", "floor_sd", "at_floor_n", "ci_low", "ci_high")
_ARROWS = {"lower": " ↓", "higher": " ↑", None: ""}
_ROOMS = ("ltbench.baselines", "ltbench.methods")  # baselines lead
RULE_PREFIXES = ("sample.rule", "sample.guidance")  # settings of a rule of guidance, beside its scale


# -- metrics ------------------------------------------------------------------------------------------------


def split_metric(name: str) -> tuple[str, str]:
    """Split ``frechet.floor`` into metric and role; the role of a plain score is ``""``."""
    base, dot, role = name.rpartition(".")
    return (base, role) if dot and role in SUFFIXES else (name, "")


@functools.cache
def output_of(metric: str) -> Output:
    """Return how a metric's number is shown; one that no metric here returns has no better direction."""
    return find_output(metric) or Output(metric, None)


def metric_title(metric: str, extractor: str, arrow: bool = True) -> str:
    """Name a metric for print: "FID" is Inception's Frechet distance alone, any other is "FD (extractor)"."""
    output = output_of(metric)
    title = output.title
    if output.inception_title is not None:
        special = {
            "inception": output.inception_title,
            "inception_clean": f"{output.inception_title} (clean)",
        }
        title = special.get(extractor, f"{title} ({extractor})" if extractor else title)
    return title + (arrow_of(metric) if arrow else "")


def arrow_of(metric: str) -> str:
    """Return the sign of a metric's better direction, with a space before it."""
    return _ARROWS[output_of(metric).better]


def metric_rank(metric: str) -> tuple[int, str]:
    """Sort key of a metric: the order in which papers print them, unknown ones last."""
    return output_of(metric).rank, metric


# -- methods, classes, groups -------------------------------------------------------------------------------


def method_title(method: str) -> str:
    """Print our short names as acronyms (CORAL+T2H), our longer ones as words, others as their authors wrote them."""
    ours = _in_tree_methods()
    return "+".join(
        (part.upper() if len(part) <= 5 else part.replace("_", " ")) if part in ours else part
        for part in method.split("+")
    )


@functools.cache
def _in_tree_methods() -> frozenset[str]:
    """Return the names of the files in methods/ and baselines/, which are the methods' names."""
    packages = map(importlib.import_module, _ROOMS)
    return frozenset(module.name for package in packages for module in pkgutil.iter_modules(package.__path__))


def known_methods_in_tree() -> list[str]:
    """Return the names of the tree's methods, baselines first."""
    return sorted(_in_tree_methods(), key=method_rank)


def method_rank(method: str) -> tuple[bool, int, bool, str]:
    """Sort key: plain denoising, then single methods (baselines, methods under study, others), then compositions."""
    parts = method.split("+")
    room = [_room(part) for part in parts]
    return method != "ddpm", len(parts), max(room) > 0, method


@functools.cache
def _room(method: str) -> int:
    places = map(importlib.import_module, _ROOMS)
    names = [{module.name for module in pkgutil.iter_modules(place.__path__)} for place in places]
    return next((i for i, found in enumerate(names) if method in found), len(_ROOMS))


@functools.cache
def class_title(dataset: str, label: str) -> str:
    """Name a class as its data set does; an unknown data set's classes keep their number."""
    names = SOURCES[dataset].class_names if dataset in SOURCES else ()
    return names[int(label)] if label.isdecimal() and int(label) < len(names) else label


def group_title(group: str) -> str:
    """Name a group of classes or an average over classes; the empty name is all images together."""
    return _GROUP_TITLES.get(group, group)


# -- numbers ------------------------------------------------------------------------------------------------


def number(value: float, decimals: int) -> str:
    """Print a number, or a dash where there is none."""
    return MISSING if value is None or not math.isfinite(value) else f"{value:.{decimals}f}"


def guidance_text(value: float) -> str:
    """Print a guidance scale without trailing zeros, or a dash where there is none."""
    return number(value, 2).rstrip("0").rstrip(".")


def mean_sd(mean: float, sd: float, decimals: int) -> str:
    """Print ``mean ± sd``, without the spread where one seed shows none."""
    text = number(mean, decimals)
    return text if text == MISSING or not math.isfinite(sd) else f"{text} ± {sd:.{decimals}f}"


def integer(value: float) -> str:
    """Print a count, or a dash."""
    return MISSING if not math.isfinite(value) else f"{int(value):,}"


def seeds_text(seeds: tuple[int, ...]) -> str:
    """Print training seeds: how many and which (``0-2 (n=3)``)."""
    if not seeds:
        return MISSING
    dense = seeds == tuple(range(seeds[0], seeds[-1] + 1)) and len(seeds) > 2
    return (f"{seeds[0]}-{seeds[-1]}" if dense else ",".join(map(str, seeds))) + f" (n={len(seeds)})"


# -- series: one setting over its seeds -----------------------------------------------------------------------


def is_hyperparameter(key: str) -> bool:
    """Tell a method's own setting (``coral.w``) from those of model, training and sampling."""
    return key.split(".")[0] not in ("model", "train", "sample")


def forward_passes(series: pd.DataFrame) -> pd.Series:
    """Return network evaluations an image without those of guidance, which needs a second one each."""
    guided = series["guidance"].fillna(0) != 0
    return series["nfe"].where(~guided, series["nfe"] / 2)


def describe_series(series: pd.DataFrame) -> pd.DataFrame:
    """Name each series of one cell by what tells it from the others.

    Parameters
    ----------
    series
        One row a series with ``method, variant, step, sampler, nfe, guidance, origin, settings``.

    Returns
    -------
    The same rows with ``differs`` (settings that are not alike in the cell, in words) and ``label`` (method
    and everything needed to tell it from its neighbours of the same method).
    """
    flat = [json.loads(text) for text in series["settings"]]
    keys = sorted({key for settings in flat for key in settings})
    varying = [k for k in keys if len({json.dumps(s.get(k)) for s in flat if s}) > 1 or is_hyperparameter(k)]
    out = series.copy()
    out["differs"] = [
        ", ".join(
            f"{k}={_plain(s[k])}" for k in varying if s.get(k) is not None and not k.endswith(".variant")
        )
        for s in flat
    ]
    labels: dict[Any, str] = {}
    for method, rows in out.groupby("method", sort=False):
        parts = [[method_title(str(method))] for _ in range(len(rows))]
        settings = _telling_apart(rows)
        for column, template in (
            ("variant", "{}"),
            ("settings", "{}"),
            ("sampler", "{}"),
            ("nfe", "{:g} NFE"),
            ("guidance", "ω={:g}"),
            ("step", "step {:,.0f}"),
            ("origin", "{}"),
        ):
            values = settings if column == "settings" else list(rows[column])
            told = (
                forward_passes(rows) if column == "nfe" else values
            )  # guidance doubles it: says nothing new
            if len(set(map(str, told))) > 1:
                for part, v in zip(parts, values, strict=True):
                    part.append(template.format(v) if v == v and v != "" else "")
        for index, (first, *more) in zip(rows.index, parts, strict=True):
            rest = ", ".join(p for p in more if p)
            labels[index] = f"{first} ({rest})" if rest else first
    out["label"] = pd.Series(labels, dtype=object)
    return out


def _telling_apart(rows: pd.DataFrame) -> list[str]:
    """Return for each row of one method the settings that its variant does not tell already."""
    flat = [json.loads(text) for text in rows["settings"]]
    by_variant: dict[str, list[dict[str, Any]]] = {}
    for variant, settings in zip(rows["variant"], flat, strict=True):
        by_variant.setdefault(str(variant), []).append(settings)
    apart = {
        key
        for alike in by_variant.values()
        for key in set().union(*alike)
        if len({json.dumps(settings.get(key)) for settings in alike}) > 1
    }
    return [", ".join(f"{k}={_plain(s[k])}" for k in sorted(apart) if s.get(k) is not None) for s in flat]


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def alike(column: pd.Series, value: object) -> np.ndarray:
    """Tell which entries equal a value, where nan equals nan."""
    return (column.isna() if value != value else column == value).to_numpy()
