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
from ltbench.stats import EXACT_UP_TO, paired, sign_flip_p

MIN_SEEDS_FOR_P = 6
_FILES = "content "  # part of a label: the hash of files, which a study file does not state


class Contrast(BaseModel):
    """The one comparison a study declares beforehand, in its ``[contrast]``; only it may carry a p-value.

    Read from a study file it is declared for that study's runs alone: other data cells, samplers and guidances
    in the same folder were not thought of beforehand.

    Attributes
    ----------
    method, baseline : names of methods; compositions in any order.
    metric : a name in ``scores.csv``.
    scope : ``overall``, or a group of classes: head, middle, tail, macro, worst.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str
    baseline: str = "ddpm"
    metric: str = "frechet"
    scope: Literal["overall", "head", "middle", "tail", "macro", "worst"] = "overall"

    _protocols: frozenset[tuple[object, ...]] | None = PrivateAttr(None)  # of the study's runs; None: all

    @field_validator("method", "baseline")
    @classmethod
    def _canonical(cls, name: str) -> str:
        return "+".join(sorted(part.strip().lower() for part in name.split("+")))

    @classmethod
    def from_study(cls, path: Path) -> "Contrast | None":
        """Read the ``[contrast]`` of a study file; None where it declares none."""
        try:
            study = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise UsageError(f"cannot read the study file {path} ({error.strerror})") from error
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"{path} is not a TOML file: {error}") from error
        declared = study.get("contrast")
        if declared is None:
            return None
        try:
            contrast = cls.model_validate(declared)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            raise UsageError(f"{path}: [contrast] {key}: {first['msg']}") from error
        # imports the methods, which a report without a study needs not
        from ltbench.study.file import load_study

        contrast._protocols = frozenset(
            (
                label_without(cell_label(run.data), _FILES),
                run.train.steps,
                run.sample.label,
                run.sample.nfe,
                run.sample.guidance,
            )
            for run in load_study(path).runs
        )
        return contrast

    def covers(self, cell: Cell, series: pd.Series) -> bool:
        """Tell whether a series of a data cell is among the runs that this was declared for."""
        protocol = (
            label_without(cell.label, _FILES),
            *(series[name] for name in ("step", "sampler", "nfe", "guidance")),
        )
        return self._protocols is None or protocol in self._protocols


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
                        and declared.covers(cell, series)
                        and declared.covers(cell, base)
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
