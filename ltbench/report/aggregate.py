"""From single scores to means over seeds; what differs in any setting is never averaged together.

A *series* is everything equal but the two kinds of seed. Its mean and spread run over training seeds, at
the one sampling seed that most of its trainings share; the spread over sampling seeds of one training is
kept apart, since it measures another thing.
"""

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd

from ltbench.report.naming import (
    AUXILIARY,
    GROUP_ORDER,
    SHOT_GROUPS,
    describe_series,
    forward_passes,
    is_hyperparameter,
    method_rank,
    metric_rank,
    split_metric,
)

SERIES_COLUMNS = ["method", "variant", "step", "sampler", "nfe", "guidance", "origin", "settings"]
_WHAT = ["metric", "definition", "extractor", "extractor_hash", "reference", "reference_hash"]
MEASURE = [*_WHAT, "n_reference", "n_generated"]
_Rows = dict[tuple[str, ...], np.ndarray]
_KIND = ["scope", "role", *_WHAT]
PLACE = ["scope", "class_or_group", "n_train"]


@dataclass(frozen=True, eq=False)  # compared by identity, so that what is made of it can be kept
class Cell:
    """One data cell's results.

    Attributes
    ----------
    label : the data cell in words.
    series : one row a series, in print order: `SERIES_COLUMNS`, ``series`` (key), ``label``, ``differs``,
        ``train_seeds``, ``sample_seeds``, ``runs``.
    points : one row a number: series, train_seed, sample_seed, place, measure, ``role``, value, run.
    summary : one row a series, place, measure and role: mean, sd, n, sd_sampling, n_sampling, runs.
    """

    label: str
    series: pd.DataFrame
    points: pd.DataFrame
    summary: pd.DataFrame

    @property
    def dataset(self) -> str:
        """The data set's name."""
        return self.label.split(",")[0]

    @property
    def imbalance_ratio(self) -> float:
        """Tail count / head count."""
        return float(self.points["imbalance_ratio"].iloc[0])

    def folders(self, series: str) -> list[Path]:
        """Return the sample sets' folders of a series."""
        return [Path(folder) for folder in self.points.loc[self.points["series"] == series, "folder"].unique()]

    def classes(self) -> pd.DataFrame:
        """Return ``class_or_group`` and ``n_train``, head to tail (ties in label order)."""
        rows = self.points.loc[self.points["scope"] == "class", ["class_or_group", "n_train"]]
        rows = rows.groupby("class_or_group")["n_train"].max().reset_index()
        label = pd.to_numeric(rows["class_or_group"], errors="coerce")
        return rows.assign(label=label).sort_values(
            ["n_train", "label", "class_or_group"], ascending=[False, True, True], ignore_index=True
        )[["class_or_group", "n_train"]]

    @functools.cached_property
    def is_balanced(self) -> bool:
        """Whether all classes have as many training images: none is a head or a tail then."""
        return len(counts := self.classes()["n_train"]) > 0 and bool((counts == counts.iloc[0]).all())

    def groups(self) -> list[str]:
        """Return the shot groups and averages that are there, head first, averages last.

        In a balanced cell thirds of the classes are no shot groups, so that only the averages are left.
        """
        present = set(self.points.loc[self.points["scope"] == "group", "class_or_group"])
        present -= set(SHOT_GROUPS) if self.is_balanced else set()
        return [g for g in GROUP_ORDER if g in present] + sorted(present - set(GROUP_ORDER))

    def measures(self, scope: str) -> pd.DataFrame:
        """Return the distinct measures of plain scores at a scope, in the papers' order, no auxiliary ones.

        Of several that differ in extractor or sample sizes alone, the one that most scores have leads: a side
        question asked with fewer images must not take the place of the study's own.
        """
        rows = self.summary[(self.summary["scope"] == scope) & (self.summary["role"] == "")]
        rows = rows[~rows["metric"].isin(AUXILIARY)]
        found = rows.groupby(MEASURE, dropna=False)["n"].sum().reset_index()
        found = found.assign(rank=found["metric"].map(metric_rank), scores=-found["n"])
        return found.sort_values(["rank", "scores", *MEASURE[1:]], ignore_index=True)[MEASURE]

    def frechet(self, scope: str) -> pd.Series | None:
        """Return the leading measure of Frechet distances at a scope; None where none was scored."""
        measures = self.measures(scope)
        measures = measures[measures["metric"] == "frechet"]
        return None if measures.empty else measures.iloc[0]

    def measured(self, scope: str, blocks: Sequence[pd.DataFrame]) -> pd.DataFrame:
        """Return those `measures` that any series of `blocks` was scored by; another's sample size may differ."""
        shown = set(pd.concat(blocks)["series"])
        measures = self.measures(scope)
        kept = [bool(shown & set(self.summary_of(scope, m)["series"])) for _, m in measures.iterrows()]
        return measures[kept]

    def points_of(self, scope: str, measure: pd.Series, role: str = "", sizes: bool = True) -> pd.DataFrame:
        """Return the rows of `points` of one measure at one scope.

        `sizes`: only those with the measure's sample sizes (a group's differ from its classes'); a floor, which
        has sizes of its own, where it stands beside a score that has them.
        """
        return self._sized(self.points, self._point_rows, scope, measure, role, sizes)

    def summary_of(self, scope: str, measure: pd.Series, role: str = "", sizes: bool = True) -> pd.DataFrame:
        """Return the rows of `summary` of one measure at one scope; see `points_of`."""
        return self._sized(self.summary, self._summary_rows, scope, measure, role, sizes)

    def _sized(
        self, frame: pd.DataFrame, rows: _Rows, scope: str, measure: pd.Series, role: str, sizes: bool
    ) -> pd.DataFrame:
        found = _of(frame, rows, scope, measure, role, sizes)
        if sizes and role.startswith("floor"):
            beside = _of(frame, rows, scope, measure, "", sizes)["series"]
            found = found[found["series"].isin(beside)] if len(beside) else found
        return found

    @functools.cached_property
    def _point_rows(self) -> _Rows:
        return cast(_Rows, self.points.groupby(_KIND, dropna=False).indices)

    @functools.cached_property
    def _summary_rows(self) -> _Rows:
        return cast(_Rows, self.summary.groupby(_KIND, dropna=False).indices)


def _of(
    frame: pd.DataFrame,
    rows: _Rows,
    scope: str,
    measure: pd.Series,
    role: str,
    sizes: bool,
) -> pd.DataFrame:
    key = (scope, role, *(measure[c] for c in _KIND[2:]))
    found = frame.iloc[rows.get(key, np.array([], int))]
    if sizes and not role.startswith("floor"):
        for column in ("n_reference", "n_generated"):
            found = found[_same(found[column], measure[column])]
    return found


def cells(scores: pd.DataFrame) -> list[Cell]:
    """Split scores into data cells: a data set's long tails by falling ratio, the published split of each first,
    then its balanced cells, which are controls."""
    order = scores.groupby("cell").agg(
        dataset=("dataset", "first"),
        ratio=("imbalance_ratio", "first"),
        order=("class_order", "first"),
        split=("split_seed", "first"),
    )
    order = order.reset_index().assign(
        control=[ratio == 1 for ratio in order["ratio"]],
        moved=[name not in ("", "identity") for name in order["order"]],
    )
    order = order.sort_values(
        ["dataset", "control", "ratio", "moved", "split", "cell"],
        ascending=[True, True, False, True, True, True],
    )
    return [_cell(label, scores[scores["cell"] == label]) for label in order["cell"]]


def _cell(label: str, scores: pd.DataFrame) -> Cell:
    split = scores["metric"].map(split_metric)
    points = scores.assign(metric=split.str[0], role=split.str[1])
    main = main_sampling_seed(points)
    points = points.assign(main=points["sample_seed"].fillna(-1) == points["series"].map(main))
    series = points.groupby("series", as_index=False)[SERIES_COLUMNS].first()
    for column, source, name in (
        ("train_seeds", "train_seed", "int"),
        ("sample_seeds", "sample_seed", "int"),
        ("runs", "run", "str"),
    ):
        found = points.groupby("series")[source].unique()
        series[column] = [
            tuple(sorted(int(v) if name == "int" else v for v in found[key] if v == v))
            for key in series["series"]
        ]
    series["rank"] = series["method"].map(method_rank)
    series = series.sort_values(
        ["rank", "variant", "step", "sampler", "nfe", "guidance", "settings"], ignore_index=True
    ).drop(columns="rank")
    return Cell(label, describe_series(series), points, summarise(points))


def main_sampling_seed(points: pd.DataFrame) -> dict[str, float]:
    """Return for each series the sampling seed that most of its trainings share, the smallest on a tie."""
    pairs = points[["series", "train_seed", "sample_seed"]].fillna(-1).drop_duplicates()
    counts = pairs.groupby(["series", "sample_seed"]).size().reset_index(name="n")
    counts = counts.sort_values(["series", "n", "sample_seed"], ascending=[True, False, True])
    first = counts.drop_duplicates("series")
    return dict(zip(first["series"], first["sample_seed"], strict=True))


def summarise(points: pd.DataFrame) -> pd.DataFrame:
    """Average `points` (with ``main``, see `Cell`) over training seeds.

    Returns
    -------
    One row a (series, place, measure, role): ``mean``, ``sd`` (sample standard deviation, nan for one seed)
    and ``n`` over training seeds at the main sampling seed; ``sd_sampling`` (pooled over trainings that were
    sampled more than once) and ``n_sampling`` (images sets behind it); ``runs`` (names, `;` between).
    """
    keys = ["series", *PLACE, *MEASURE, "role"]
    finite = points[points["value"].notna()]
    over_train = finite[finite["main"]].groupby(keys, dropna=False)
    summary = over_train["value"].agg(mean="mean", sd="std", n="count")
    summary["runs"] = over_train["run"].agg(lambda names: ";".join(sorted(set(names))))
    within = finite.groupby([*keys, "train_seed"], dropna=False)["value"].agg(["var", "count"]).reset_index()
    within = within[within["count"] > 1]
    within = within.assign(ss=within["var"] * (within["count"] - 1), df=within["count"] - 1)
    pooled = within.groupby(keys, dropna=False)[["ss", "df", "count"]].sum()
    summary["sd_sampling"] = ((pooled["ss"] / pooled["df"]) ** 0.5).reindex(summary.index)
    summary["n_sampling"] = pooled["count"].reindex(summary.index).fillna(0).astype(int)
    return summary.reset_index()


@functools.lru_cache(maxsize=256)
def main_series(cell: Cell, limit: int = 8) -> pd.DataFrame:
    """Choose the series a figure of methods side by side shows: one a method and variant, at one protocol.

    The protocol (step, sampler, NFE, guidance, model and training) is the one that most methods share, then
    the one with the most trainings, the longest training, the least guidance, the most network evaluations.
    A method that lacks it is shown at its longest training instead; its label then says what differs. Of
    several hyper-parameters the fewest set are shown, the others in the curves.
    """
    series = _with_protocol(cell)
    at_best = _at(series, _main_protocol(series))
    chosen = at_best.copy()
    for _, rows in series[~series["method"].isin(series.loc[at_best, "method"])].groupby("method"):
        chosen[rows.sort_values("step").index[-1]] = True
    return _one_a_method(series[chosen], limit)


@functools.lru_cache(maxsize=256)
def main_protocols(cell: Cell, limit: int = 8, every: bool = False) -> list[pd.DataFrame]:
    """Return `main_series`, then the same at other guidances that at least two methods share, rising.

    A ranking of methods can turn round with guidance, so no statement is made at one guidance alone. Of many
    guidances (a curve) at most three are shown, unless `every` one is asked for: those scored by as many
    measures as the main one, with the most trainings, nearest to 1.
    """
    first, series = main_series(cell, limit), _with_protocol(cell)
    main = _main_protocol(series)
    fixed = [c for c in _PROTOCOL if c != "guidance"]
    alike = series[_at(series, main, fixed) & ~_same(series["guidance"], main["guidance"])]
    enough = min(2, first["method"].nunique())
    blocks = [rows for _, rows in alike.groupby("guidance") if rows["method"].nunique() >= enough]
    if not every:
        scored = cell.summary[cell.summary["scope"] == "overall"].groupby("series")["metric"].nunique()
        measures = [scored.reindex(rows["series"]).max() for rows in (first, *blocks)]
        order = sorted(
            range(len(blocks)),
            key=lambda i: (
                -measures[i + 1],
                -blocks[i]["train_seeds"].map(len).sum(),
                abs(blocks[i]["guidance"].iloc[0] - 1),
            ),
        )
        full = [i for i in order if measures[i + 1] >= measures[0]] or order[:1]
        blocks = [blocks[i] for i in sorted(full[: _MOST_GUIDANCES - 1])]
    return [first, *(_one_a_method(rows, limit) for rows in blocks)]


_MOST_GUIDANCES = 3  # in tables and figures of methods side by side
# What must be alike for methods to stand side by side; `passes` is NFE without guidance's second pass.
_PROTOCOL = ["step", "sampler", "passes", "guidance", "common"]


def _with_protocol(cell: Cell) -> pd.DataFrame:
    settings = cell.series["settings"].map(json.loads)
    return cell.series.assign(
        passes=forward_passes(cell.series),
        common=settings.map(lambda s: json.dumps({k: v for k, v in s.items() if not is_hyperparameter(k)})),
        own=settings.map(lambda s: sum(is_hyperparameter(k) for k in s)),
    )


def _main_protocol(series: pd.DataFrame) -> pd.Series:
    grouped = series.assign(trainings=series["train_seeds"].map(len)).groupby(_PROTOCOL, dropna=False)
    shared = grouped.agg(methods=("method", "nunique"), trainings=("trainings", "sum")).reset_index()
    order = ["methods", "trainings", "step", "guidance", "passes"]
    return shared.sort_values(order, ascending=[False, False, False, True, False]).iloc[0]


def _at(series: pd.DataFrame, protocol: pd.Series, columns: Sequence[str] = _PROTOCOL) -> pd.Series:
    found = pd.Series(True, index=series.index)
    for column in columns:
        found &= _same(series[column], protocol[column])
    return found


def _one_a_method(series: pd.DataFrame, limit: int) -> pd.DataFrame:
    found = series.sort_values("own", kind="stable")
    named = found[~found["variant"].str.contains("custom")]
    others = found[~found["method"].isin(named["method"])].drop_duplicates("method")
    found = pd.concat([named.drop_duplicates(["method", "variant"]), others]).sort_index().head(limit)
    return describe_series(found.drop(columns=["label", "differs", "common", "own", "passes"]))


def _same(column: pd.Series, value: object) -> pd.Series:
    """Equal, where nan equals nan."""
    return column.isna() if value != value else column == value
