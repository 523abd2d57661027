"""What three to five seeds can say: paired differences, their t intervals, agreement of signs.

Two methods trained with the same seed share initial weights, data order and noise, so their difference is
taken seed by seed. No p-value is given below six seeds: the exact sign-flip test of n pairs cannot go below
2 / 2^n, which first falls under .05 at n = 6; and only for one contrast that the study file declared.
"""

import tomllib
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError, field_validator
from scipy import stats

from ltbench.diffusion.registry import kind
from ltbench.errors import UsageError
from ltbench.report.aggregate import MEASURE, Cell
from ltbench.report.load import cell_label, label_without
from ltbench.report.naming import metric_style
from ltbench.study.contrast import Contrast
from ltbench.stats import EXACT_UP_TO, paired, sign_flip_p

MIN_SEEDS_FOR_P = 6


def by_seed(rows: pd.DataFrame) -> pd.DataFrame:
    """Spread points of one measure and place to train_seed x series, at each series' main sampling seed."""
    rows = rows[rows["main"] & rows["value"].notna() & rows["train_seed"].notna()]
    return rows.pivot_table(index="train_seed", columns="series", values="value", aggfunc="mean")


def p_statement(differences: np.ndarray, declared: bool) -> str:
    """Say the p-value, or why there is none."""
    n = len(differences)
    if n < MIN_SEEDS_FOR_P:
        return f"n too small: smallest attainable p = {2.0 / 2**n:.3g}" if n else "no common seed"
    if not declared:
        return "not declared beforehand"
    if n > EXACT_UP_TO:
        return f"t test: p = {stats.ttest_1samp(differences, 0.0).pvalue:.2g}"
    return f"sign-flip test: p = {sign_flip_p(differences):.2g}"


def matching_baseline(cell: Cell, series: pd.Series, baseline: str) -> pd.Series | None:
    """Return the baseline's series to compare a series with: the same step, the protocol most alike.

    Sampler, NFE and guidance that differ are allowed (papers tune guidance a method) and are shown by the
    label; another step never is, nor a deterministic sampler against a stochastic one, under which a scale of
    guidance means another thing.
    """
    rows = cell.series[(cell.series["method"] == baseline) & (cell.series["step"] == series["step"])]
    rows = rows[rows["sampler"].map(kind) == kind(series["sampler"])]
    rows = rows[rows["series"] != series["series"]]
    if rows.empty or series["method"] == baseline:
        return None
    alike = pd.DataFrame({c: rows[c] == series[c] for c in ("sampler", "guidance", "nfe", "origin")})
    return rows.loc[alike.sum(axis=1).idxmax()]


def contrasts(cell: Cell, baseline: str, declared: Contrast | None = None) -> pd.DataFrame:
    """Compare every series with its baseline, overall and per group.

    Returns
    -------
    One row a (series, scope, class_or_group, measure) with ``baseline`` and ``baseline_label`` (the series
    compared with), ``n``, ``seeds``, ``mean``, ``sd``, ``low``, ``high``, ``agree``, ``p_t`` (two-sided,
    uncorrected), ``p`` (a sentence).
    """
    out = []
    pairs = [(series, matching_baseline(cell, series, baseline)) for _, series in cell.series.iterrows()]
    for scope in ("overall", "group"):
        for _, measure in cell.measures(scope).iterrows():
            rows = cell.points_of(scope, measure)
            for place in [""] if scope == "overall" else cell.groups():
                wide = by_seed(rows if scope == "overall" else rows[rows["class_or_group"] == place])
                for series, base in pairs:
                    if base is None or series["series"] not in wide or base["series"] not in wide:
                        continue
                    pair = paired(wide[series["series"]], wide[base["series"]])
                    if pair is None:
                        continue
                    differences = (wide[series["series"]] - wide[base["series"]]).dropna().to_numpy()
                    is_declared = (
                        declared is not None
                        and _declares(declared, series, baseline, measure, place)
                        and declared.covers(cell.label, series)
                        and declared.covers(cell.label, base)
                    )
                    out.append(
                        {
                            "cell": cell.label,
                            "series": series["series"],
                            "label": series["label"],
                            "baseline": base["series"],
                            "baseline_label": base["label"],
                            "scope": scope,
                            "class_or_group": place,
                            **{name: measure[name] for name in MEASURE},
                            "better": metric_style(measure["metric"]).better,
                            "n": pair.n,
                            "seeds": " ".join(map(str, pair.seeds)),
                            "mean": pair.mean,
                            "sd": pair.sd,
                            "low": pair.low,
                            "high": pair.high,
                            "agree": pair.agree,
                            "p_t": pair.p,
                            "declared": is_declared,
                            "p": p_statement(differences, is_declared),
                        }
                    )
    return pd.DataFrame(out)


def _declares(contrast: Contrast, series: pd.Series, baseline: str, measure: pd.Series, place: str) -> bool:
    return (
        contrast.method == series["method"]
        and contrast.baseline == baseline
        and contrast.metric == measure["metric"]
        and contrast.scope == (place or "overall")
    )
