"""What metrics, methods and settings are called in tables and figures, and which way is better."""

import functools
import importlib
import json
import pkgutil
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

MISSING = "—"


@dataclass(frozen=True)
class MetricStyle:
    """How a metric is printed: its name, which way is better (None: neither) and decimals."""

    title: str
    better: Literal["lower", "higher"] | None
    decimals: int

    @property
    def arrow(self) -> str:
        """The usual sign beside a metric's name."""
        return {"lower": " ↓", "higher": " ↑", None: ""}[self.better]


_METRICS = {
    "frechet": MetricStyle("FD", "lower", 2),
    "inception_score": MetricStyle("IS", "higher", 2),
    "f8": MetricStyle("F8", "higher", 3),
    "recall": MetricStyle("Recall", "higher", 3),
    "f1_8": MetricStyle("F1/8", "higher", 3),
    "precision": MetricStyle("Precision", "higher", 3),
    "recall_coral": MetricStyle("Recall (CORAL's)", "higher", 3),
    "precision_coral": MetricStyle("Precision (CORAL's)", "higher", 3),
    "recall_cbdm": MetricStyle("Recall (CBDM's)", "higher", 3),
    "precision_cbdm": MetricStyle("Precision (CBDM's)", "higher", 3),
    "agreement": MetricStyle("Agreement", "higher", 3),
    "kid": MetricStyle("KD", "lower", 4),
    "kid_subsets_mean": MetricStyle("KD, subsets", "lower", 4),
    "density": MetricStyle("Density", "higher", 3),
    "coverage": MetricStyle("Coverage", "higher", 3),
    "vendi": MetricStyle("Vendi", "higher", 2),
    "memorisation_rate": MetricStyle("Memorised", "lower", 3),
    "cas": MetricStyle("CAS", "higher", 3),
    "cas_class": MetricStyle("CAS", "higher", 3),
}
# Names that only Inception's features may carry; on others they name the extractor.
_INCEPTION_NAMES = {
    "frechet": "FID",
    "kid": "KID",
    "kid_subsets_mean": "KID, subsets",
    "inception_score": "IS",
}
# What a score is read against, where that is not a floor: shown beside it instead of in a table of its own.
COMPANIONS = {
    "memorisation_rate": ("memorisation_expected", "Expected"),
    "coverage": ("coverage_ceiling", "Ceiling"),
}
AUXILIARY = {
    "memorisation_expected",
    "memorisation_p_value",
    "coverage_ceiling",
    "kid_subsets_std",
    "inception_score_std",
}
METRIC_ORDER = tuple(_METRICS)
METHOD_ORDER = ("ddpm", "cbdm", "t2h", "coral")
SHOT_GROUPS = ("head", "middle", "tail")
GROUP_ORDER = (*SHOT_GROUPS, "macro", "worst")
_GROUP_TITLES = {"macro": "macro mean", "worst": "worst class"}
# Suffixes of rows that belong to another row: floors, the score at the floor's n, bootstrap intervals.
SUFFIXES = ("floor", "floor_sd", "at_floor_n", "ci_low", "ci_high")


def split_metric(name: str) -> tuple[str, str]:
    """Split ``frechet.floor`` into metric and role; the role of a plain score is ``""``."""
    base, dot, role = name.rpartition(".")
    return (base, role) if dot and role in SUFFIXES else (name, "")


@functools.cache
def metric_style(metric: str) -> MetricStyle:
    """Return how a metric is printed; one not named here asks the metrics' registry which way is better."""
    if metric in _METRICS:
        return _METRICS[metric]
    from ltbench.metrics.registry import REGISTRY  # imports torch: only for metrics of other packages

    outputs = {output.name: output for registered in REGISTRY.values() for output in registered.outputs}
    better = outputs[metric].better if metric in outputs else None
    return MetricStyle(metric.replace("_", " ").capitalize(), better, 3)


def metric_title(metric: str, extractor: str, arrow: bool = True) -> str:
    """Name a metric for print: "FID" is Inception's Frechet distance alone, any other is "FD (extractor)"."""
    style = metric_style(metric)
    title = style.title
    if metric in _INCEPTION_NAMES:
        named = {
            "inception": _INCEPTION_NAMES[metric],
            "inception_clean": f"{_INCEPTION_NAMES[metric]} (clean)",
        }
        title = named.get(extractor, f"{title} ({extractor})")
    return title + (style.arrow if arrow else "")


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
    packages = map(importlib.import_module, ("ltbench.baselines", "ltbench.methods"))
    return frozenset(module.name for package in packages for module in pkgutil.iter_modules(package.__path__))


@functools.cache
def class_title(dataset: str, label: str) -> str:
    """Name a class as its data set does; an unknown data set's classes keep their number."""
    from ltbench.data import SOURCES

    names = SOURCES[dataset].class_names if dataset in SOURCES else ()
    return names[int(label)] if label.isdecimal() and int(label) < len(names) else label


def group_title(group: str) -> str:
    """Name a shot group or an average over classes."""
    return _GROUP_TITLES.get(group, group)


def guidance_text(value: float) -> str:
    """Print a guidance scale without trailing zeros, or a dash where there is none."""
    return number(value, 2).rstrip("0").rstrip(".")


def number(value: float, decimals: int) -> str:
    """Print a number, or a dash where there is none."""
    return MISSING if value is None or not np.isfinite(value) else f"{value:.{decimals}f}"


def mean_sd(mean: float, sd: float, decimals: int) -> str:
    """Print ``mean ± sd``, without the spread where one seed shows none."""
    text = number(mean, decimals)
    return text if text == MISSING or not np.isfinite(sd) else f"{text} ± {sd:.{decimals}f}"


def integer(value: float) -> str:
    """Print a count, or a dash."""
    return MISSING if not np.isfinite(value) else f"{int(value):,}"


def method_rank(method: str) -> tuple[int, int, str]:
    """Sort key: the comparison's four first, then other single methods, then compositions."""
    known = METHOD_ORDER.index(method) if method in METHOD_ORDER else len(METHOD_ORDER)
    return method.count("+"), known, method


def metric_rank(metric: str) -> tuple[int, str]:
    """Sort key of a metric: the order in which papers print them, unknown ones last."""
    return (METRIC_ORDER.index(metric) if metric in METRIC_ORDER else len(METRIC_ORDER)), metric


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
    varying = [k for k in keys if is_hyperparameter(k) or _values(k, flat) > 1]
    out = series.copy()
    out["differs"] = [
        ", ".join(
            f"{k}={_plain(s[k])}" for k in varying if s.get(k) is not None and not k.endswith(".variant")
        )
        for s in flat
    ]
    labels: dict[Any, str] = {}
    for method, rows in out.groupby("method", sort=False):
        parts = pd.DataFrame({"method": method_title(str(method))}, index=rows.index)
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
                parts[column] = [template.format(v) if v == v and v != "" else "" for v in values]
        for index, first, *more in parts.itertuples():
            rest = ", ".join(p for p in more if p)
            labels[index] = f"{first} ({rest})" if rest else first
    out["label"] = pd.Series(labels)
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
        if _values(key, alike) > 1
    }
    return [", ".join(f"{k}={_plain(s[k])}" for k in sorted(apart) if s.get(k) is not None) for s in flat]


def _values(key: str, settings: list[dict[str, Any]]) -> int:
    """Count a setting's values; a sampler that does not read a setting of sampling has no value of it."""
    having = [s for s in settings if s and (key in s or not key.startswith("sample."))]
    return len({json.dumps(s.get(key)) for s in having})


def is_hyperparameter(key: str) -> bool:
    """Tell a method's own setting (``coral.w``) from those of model, training and sampling."""
    return key.split(".")[0] not in ("model", "train", "sample")


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
