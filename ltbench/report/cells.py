"""From single scores to means over seeds: a data cell's series, points and summary, and its blocks of one protocol.

A *series* is everything equal but the two kinds of seed; what differs in any setting is never averaged together.
Its mean and spread run over training seeds, at the one sampling seed that most of its trainings share; the spread
over sampling seeds of one training is kept apart, since it measures another thing.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ltbench.report.names import (
    GROUP_ORDER,
    SHOT_GROUPS,
    Measure,
    class_title,
    method_rank,
    metric_rank,
    output_of,
    split_metric,
)
from ltbench.report.series import (
    Block,
    Series,
    by_key,
    grouped,
    labelled,
    main_protocol,
    one_a_method,
    protocol_of,
)
from ltbench.runs.run import Run
from ltbench.runs.samples import class_names_of
from ltbench.runs.scores import row_codes
from ltbench.text import slug

SERIES_COLUMNS = ["method", "variant", "step", "sampler", "nfe", "guidance", "origin", "settings"]
MEASURE = list(Measure._fields)
PLACE = ["scope", "class_or_group", "n_train"]
_NAMES = MEASURE[:6]
_LOOKUP = ["scope", "role", "class_or_group", *_NAMES]
MOST_METHODS = 14  # side by side: a method is left out only beyond
_MOST_GUIDANCES = 3  # in tables and figures of methods side by side

Key = tuple[Any, ...]


class Numbers(NamedTuple):
    """A series' mean, standard deviation (nan for one seed) and count over training seeds, and over sampling seeds."""

    mean: float
    sd: float
    n: int
    sd_sampling: float
    n_sampling: int


@dataclass(frozen=True, eq=False)  # compared by identity, so that what is made of it can be kept
class CellResults:
    """One data cell's results.

    Attributes
    ----------
    label : the data cell in words, a prepared folder by the name that the user gave it.
    key : the data cell in words, as every scores' reader calls it.
    series : in print order, each labelled by what tells it from the others.
    points : one row a number: series, train_seed, sample_seed, main, place, measure, ``role``, value, run, folder.
    summary : one row a series, place, measure and role: mean, sd, n, sd_sampling, n_sampling.
    reasons : (scope, class or group, metric) -> why there is no number.
    names : the user's names of the classes, in label order, where the data set has none itself.
    """

    label: str
    key: str
    series: list[Series]
    points: pd.DataFrame
    summary: pd.DataFrame
    reasons: dict[tuple[str, str, str], str]
    names: tuple[str, ...] = ()

    # -- what it is --

    @functools.cached_property
    def dataset(self) -> str:
        """The data set's name in a spec."""
        return str(self.points["dataset"].iloc[0])

    @property
    def data_name(self) -> str:
        """The data set's name in print."""
        return self.label.split(", ")[0]

    @functools.cached_property
    def slug(self) -> str:
        """A short name for files: data set and ratio, then what is not the published split."""
        parts = self.label.split(", ")
        short = [parts[0].removesuffix("_lt"), "r" + parts[1].removeprefix("ratio ")]
        short += [part.split()[0][0] + part.split()[-1] for part in parts[2:] if not part.endswith(" px")]
        return slug("-".join(short))[:40].rstrip("-.")

    @property
    def imbalance_ratio(self) -> float:
        """Tail count / head count."""
        return float(self.points["imbalance_ratio"].iloc[0])

    @functools.cached_property
    def published(self) -> bool:
        """Whether it is the published split: class order and split seed as they come."""
        first = self.points.iloc[0]
        split = first["split_seed"]
        return str(first["class_order"]) in ("identity", "") and (split == 0 or split != split)

    @functools.cached_property
    def _classes(self) -> pd.DataFrame:
        rows = self.points.loc[(self.points["scope"] == "class").to_numpy(), ["class_or_group", "n_train"]]
        rows = rows.assign(class_or_group=rows["class_or_group"].astype(str))
        rows = rows.groupby("class_or_group")["n_train"].max().reset_index()
        label = pd.to_numeric(rows["class_or_group"], errors="coerce")
        return rows.assign(label=label).sort_values(
            ["n_train", "label", "class_or_group"], ascending=[False, True, True], ignore_index=True
        )[["class_or_group", "n_train"]]

    def classes(self) -> pd.DataFrame:
        """Return ``class_or_group`` and ``n_train``, head to tail (ties in label order)."""
        return self._classes.copy()

    @functools.cached_property
    def _class_names(self) -> dict[str, str]:
        """The classes' names by label: the data set's, else the user's, as the training or a scored sample set kept them."""
        labels = list(self._classes["class_or_group"])
        known = {label: class_title(self.dataset, label) for label in labels}
        if any(name != label for label, name in known.items()):
            return known
        stored = self.names or class_names_of(Path(str(self.points["folder"].iloc[0])))
        return {k: stored[int(k)] if k.isdecimal() and int(k) < len(stored) else k for k in labels}

    def class_name(self, label: str) -> str:
        """Return a class's name in print."""
        return self._class_names.get(label, label)

    @functools.cached_property
    def is_balanced(self) -> bool:
        """Whether all classes have as many training images: none is a head or a tail then."""
        counts = self._classes["n_train"]
        return len(counts) > 0 and bool((counts == counts.iloc[0]).all())

    @functools.lru_cache(maxsize=8)  # noqa: B019 - a report's cells live as long as the process
    def groups(self, scope: str = "group") -> list[str]:
        """Return the shot groups and averages that are there, head first, averages last.

        In a balanced cell thirds of the classes are no shot groups, so that only the averages are left.
        """
        rows = self.summary["class_or_group"][(self.summary["scope"] == scope).to_numpy()]
        present = set(map(str, rows.unique()))
        present -= set(SHOT_GROUPS) if self.is_balanced else set()
        return [g for g in GROUP_ORDER if g in present] + sorted(present - set(GROUP_ORDER))

    def folders(self, series: str) -> list[Path]:
        """Return the sample sets' folders of a series."""
        rows = self.points["folder"][(self.points["series"] == series).to_numpy()]
        return [Path(folder) for folder in sorted(map(str, rows.unique()))]

    def main_folder(self, series: str) -> Path | None:
        """Return the folder that stands for a series: its first training seed at the main sampling seed."""
        rows = self.points[(self.points["series"] == series).to_numpy() & self.points["main"].to_numpy()]
        return Path(str(rows.sort_values("train_seed")["folder"].iloc[0])) if len(rows) else None

    # -- what was measured --

    @functools.cached_property
    def _measures(self) -> dict[str, list[Measure]]:
        """The measures by scope, in order of print; see `measures`."""
        rows = self.summary[(self.summary["role"] == "").to_numpy()]
        auxiliary = {m for m in map(str, rows["metric"].unique()) if output_of(m).auxiliary}
        rows = rows[~rows["metric"].isin(auxiliary).to_numpy()]
        every = rows.groupby(["scope", *MEASURE], dropna=False, observed=True)["n"].sum().reset_index()
        every = every.astype(dict.fromkeys(["scope", *_NAMES], object))
        every = every.assign(rank=every["metric"].map(metric_rank), scores=-every["n"])
        every = every.sort_values(["rank", "scores", *MEASURE[1:]], ignore_index=True)
        out: dict[str, list[Measure]] = {}
        for scope, *measure in every[["scope", *MEASURE]].itertuples(index=False):
            out.setdefault(scope, []).append(Measure(*measure))
        return out

    def measures(self, scope: str) -> list[Measure]:
        """Return the distinct measures of plain scores at a scope, in the papers' order, no auxiliary ones.

        Of several that differ in extractor or sample sizes alone, the one that most scores have leads: a side
        question asked with fewer images must not take the place of the study's own.
        """
        return self._measures.get(scope, [])

    def leading(self, metric: str, scope: str) -> Measure | None:
        """Return the leading measure of one metric at a scope; None where it was not scored."""
        return next((m for m in self.measures(scope) if m.metric == metric), None)

    def frechet(self, scope: str) -> Measure | None:
        """Return the leading measure of Frechet distances at a scope; None where none was scored."""
        return self.leading("frechet", scope)

    def headline(self) -> list[Measure]:
        """Return the overall measures that lead: the first Frechet distance, recall and agreement there are."""
        kinds = ("frechet", "recall", "agreement")
        first: dict[str, Measure] = {}
        for measure in self.measures("overall"):
            if named := next((kind for kind in kinds if measure.metric.startswith(kind)), None):
                first.setdefault(named, measure)
        return list(first.values())

    @functools.cached_property
    def _measured(self) -> dict[str, int]:
        overall = self.summary[(self.summary["scope"] == "overall").to_numpy()]
        counts = overall.groupby(overall["series"].astype(str))["metric"].nunique()
        return {str(key): int(count) for key, count in counts.items()}

    def measured(self, series: str) -> int:
        """Return how many metrics a series was scored by, overall."""
        return self._measured.get(series, 0)

    # -- numbers --

    @functools.cached_property
    def _point_rows(self) -> dict[Key, np.ndarray]:
        return _rows_by(self.points, _LOOKUP)

    @functools.cached_property
    def _summary_rows(self) -> dict[Key, np.ndarray]:
        return _rows_by(self.summary, _LOOKUP)

    @functools.cached_property
    def _kept(self) -> dict[Key, Any]:
        """What `means` and `by_seed` have made: tables and figures ask for the same again and again."""
        return {}

    @functools.cached_property
    def _arrays(self) -> dict[str, np.ndarray]:
        """The points' columns that numbers are made of, as arrays."""
        names = self.points["series"].astype("category")
        columns = ("train_seed", "value", "n_reference", "n_generated")
        found = {c: self.points[c].to_numpy(float) for c in columns}
        return found | {
            "main": self.points["main"].to_numpy(bool),
            "series": names.cat.codes.to_numpy(),
            "names": names.cat.categories.to_numpy(str),
        }

    @functools.cached_property
    def _summary_arrays(self) -> dict[str, np.ndarray]:
        """The summary's columns, as arrays."""
        sizes = {c: self.summary[c].to_numpy(float) for c in ("n_reference", "n_generated")}
        numbers = {c: self.summary[c].to_numpy() for c in Numbers._fields}
        return sizes | numbers | {"series": self.summary["series"].astype(str).to_numpy(object)}

    def _rows(self, scope: str, measure: Measure, place: str, role: str, sizes: bool) -> np.ndarray:
        """Return the numbers of the points of one measure and place."""
        rows = self._point_rows.get((scope, role, place, *measure[:6]), _NONE)
        result: np.ndarray = rows[_has_sizes(self._arrays, rows, measure, role, sizes)]
        return result

    def points_of(
        self, scope: str, measure: Measure, place: str = "", role: str = "", sizes: bool = True
    ) -> pd.DataFrame:
        """Return the rows of `points` of one measure at one class or group, or of all images.

        `sizes`: only those with the measure's sample sizes. A floor has sizes of its own; a group's are its
        classes', so that a measure taken from another scope is asked for without.
        """
        return self.points.iloc[self._rows(scope, measure, place, role, sizes)]

    def means(
        self, scope: str, measure: Measure, place: str = "", role: str = "", sizes: bool = True
    ) -> dict[str, Numbers]:
        """Return mean, sd, n (and the sampling spread) of one measure and place by series."""
        key = ("means", scope, place, role, sizes, measure)
        if key not in self._kept:
            every = self._summary_arrays
            rows = self._summary_rows.get((scope, role, place, *measure[:6]), _NONE)
            rows = rows[_has_sizes(every, rows, measure, role, sizes)][::-1]  # the first of a series stays
            columns = (every[name][rows].tolist() for name in ("series", *Numbers._fields))
            self._kept[key] = {one: Numbers(*found) for one, *found in zip(*columns, strict=True)}
        result: dict[str, Numbers] = self._kept[key]
        return result

    def by_seed(
        self, scope: str, measure: Measure, place: str = "", role: str = "", sizes: bool = True
    ) -> pd.DataFrame:
        """Return train_seed x series of one measure and place, at each series' main sampling seed."""
        key = ("seeds", scope, place, role, sizes, measure)
        if key not in self._kept:
            every = self._arrays
            rows = self._rows(scope, measure, place, role, sizes)
            rows = rows[every["main"][rows] & np.isfinite(every["train_seed"][rows])]
            seeds, row = np.unique(every["train_seed"][rows], return_inverse=True)
            codes, column = np.unique(every["series"][rows], return_inverse=True)
            total, count = np.zeros((2, len(seeds), len(codes)))
            np.add.at(total, (row, column), every["value"][rows])
            np.add.at(count, (row, column), 1)
            with np.errstate(invalid="ignore"):
                self._kept[key] = pd.DataFrame(
                    total / count, index=seeds, columns=list(every["names"][codes])
                )
        result: pd.DataFrame = self._kept[key]
        return result

    def floor(self, scope: str, measure: Measure, place: str = "") -> tuple[float, float, float]:
        """Return the floor's mean, its standard deviation over draws, and its own number of images; nan where none."""
        rows = self._rows(scope, measure, place, "floor", False)
        if not len(rows):
            return np.nan, np.nan, np.nan
        spread = self._arrays["value"][self._rows(scope, measure, place, "floor_sd", False)]
        mean, n = self._arrays["value"][rows].mean(), self._arrays["n_generated"][rows].max()
        return float(mean), float(spread.mean()) if len(spread) else np.nan, float(n)

    def reason(self, scope: str, place: str, metric: str) -> str:
        """Say why a number is not there, where that is on record."""
        return self.reasons.get((scope, place, metric), "")


_NONE = np.array([], int)


def _has_sizes(
    columns: Mapping[str, np.ndarray], rows: np.ndarray, measure: Measure, role: str, sizes: bool
) -> np.ndarray:
    """Tell which rows have the measure's sample sizes; a floor has its own, and a score at its size the floor's."""
    keep = np.ones(len(rows), bool)
    if not sizes or role.startswith("floor"):
        return keep
    for name in ("n_reference", "n_generated") if role != "at_floor_n" else ("n_reference",):
        found, wanted = columns[name][rows], float(getattr(measure, name))
        keep &= np.isnan(found) if wanted != wanted else found == wanted
    return keep


def _rows_by(frame: pd.DataFrame, columns: Sequence[str]) -> dict[Key, np.ndarray]:
    """Return the row numbers of each combination of some text columns."""
    codes = row_codes(frame, columns)
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    first = frame.iloc[order[starts]]
    keys = zip(*(first[c].astype(object) for c in columns), strict=True)
    return dict(zip(keys, np.split(order, starts[1:]), strict=True))


# -- from scores ----------------------------------------------------------------------------------------------


def cells(scores: pd.DataFrame, runs: Mapping[str, Run] | None = None) -> list[CellResults]:
    """Split scores into data cells: a data set's long tails by falling ratio, the published split of each first,
    then its balanced cells, which are controls; one without a single number is left out.

    `runs` know the user's names of a prepared folder and its classes.
    """
    scores = scores[scores["cell"].isin(scores.loc[scores["value"].notna(), "cell"].unique()).to_numpy()]
    order = scores.groupby("cell", observed=True).agg(
        dataset=("dataset", "first"),
        ratio=("imbalance_ratio", "first"),
        order=("class_order", "first"),
        split=("split_seed", "first"),
        run=("run", "first"),
    )
    order = order.reset_index().astype({"dataset": str, "cell": str, "run": str})
    order = order.assign(
        control=order["ratio"] == 1, moved=[name not in ("", "identity") for name in order["order"]]
    )
    order = order.sort_values(
        ["dataset", "control", "ratio", "moved", "split", "cell"],
        ascending=[True, True, False, True, True, True],
    )
    names = [runs[run].user_names if runs is not None and run in runs else ("", ()) for run in order["run"]]
    keys = list(order["cell"])
    labels = [_own_label(key, name) for key, (name, _) in zip(keys, names, strict=True)]
    labels = [label if labels.count(label) == 1 else key for label, key in zip(labels, keys, strict=True)]
    rows = scores.groupby("cell", observed=True).indices
    return [
        _cell(label, key, scores.iloc[rows[key]], classes)
        for label, key, (_, classes) in zip(labels, keys, names, strict=True)
    ]


def _own_label(key: str, name: str) -> str:
    """Return a data cell's label with the user's name of a prepared folder in place of its source and content."""
    first, *rest = key.split(", ")
    plain = name.replace(",", " ")
    return ", ".join([plain or first, *(part for part in rest if not (name and part.startswith("content ")))])


def _cell(label: str, key: str, scores: pd.DataFrame, names: tuple[str, ...]) -> CellResults:
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
    return CellResults(label, key, _series(points), points, summarise(points), reasons, names)


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
        numbers = [(v != v, v) for v in (one.step, one.nfe, one.guidance)]
        return method_rank(one.method), one.variant, numbers[0], one.sampler, *numbers[1:], one.settings

    return labelled(sorted(out, key=order))


def _plain(value: object) -> Any:
    return float(value) if isinstance(value, float | int | np.number) else str(value)


def series_table(cell: CellResults) -> pd.DataFrame:
    """Return a cell's series as a table, a row each."""
    return pd.DataFrame([vars(one) for one in cell.series]).rename(columns={"key": "series"})


def main_sampling_seed(points: pd.DataFrame) -> dict[str, float]:
    """Return for each series the sampling seed that most of its trainings share, the smallest on a tie."""
    pairs = points[["series", "train_seed", "sample_seed"]].drop_duplicates()
    pairs = pairs.assign(series=pairs["series"].astype(str)).fillna(-1)
    counts = pairs.groupby(["series", "sample_seed"]).size().reset_index(name="n")
    counts = counts.sort_values(["series", "n", "sample_seed"], ascending=[True, False, True])
    first = counts.drop_duplicates("series")
    return dict(zip(first["series"], first["sample_seed"], strict=True))


def summarise(points: pd.DataFrame) -> pd.DataFrame:
    """Average `points` (with ``main``, see `CellResults`) over training seeds.

    Returns
    -------
    One row a (series, place, measure, role): ``mean``, ``sd`` (sample standard deviation, nan for one seed)
    and ``n`` over training seeds at the main sampling seed; ``sd_sampling`` (pooled over trainings that were
    sampled more than once) and ``n_sampling`` (sample sets behind it).
    """
    keys = ["series", *PLACE, *MEASURE, "role"]
    group = row_codes(points, keys)
    main, value = points["main"].to_numpy(), points["value"].to_numpy(float)
    size = int(group.max()) + 1 if len(group) else 0
    mean, sd, n = _moments(group[main], value[main], size)
    first = np.zeros(size, int)
    first[group[::-1]] = np.arange(len(group))[::-1]
    seed = points["train_seed"].fillna(-1).to_numpy()
    within = np.unique(np.stack([group, seed]), axis=1, return_inverse=True)
    trained = within[0][0].astype(int)
    _, sd_within, n_within = _moments(within[1].ravel(), value, len(trained))
    again = n_within > 1
    df = np.bincount(trained[again], n_within[again] - 1, size)
    ss = np.bincount(trained[again], sd_within[again] ** 2 * (n_within[again] - 1), size)
    with np.errstate(invalid="ignore", divide="ignore"):
        sd_sampling = np.sqrt(ss / df)
    out = points.iloc[first][keys].reset_index(drop=True)
    out = out.assign(mean=mean, sd=sd, n=n, sd_sampling=sd_sampling)
    out["n_sampling"] = np.bincount(trained[again], n_within[again], size).astype(int)
    return out[n > 0].sort_values(["series", "scope"], kind="stable", ignore_index=True)


def _moments(group: np.ndarray, value: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean, sample sd and count of each group, (size,)."""
    n = np.bincount(group, minlength=size)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(group, value, size) / n
        squares = np.bincount(group, (value - mean[group]) ** 2, size)
        sd = np.sqrt(squares / (n - 1))
    return mean, np.where(n > 1, sd, np.nan), n


# -- what may stand side by side ------------------------------------------------------------------------------


@functools.lru_cache(maxsize=256)
def main_series(cell: CellResults, limit: int = MOST_METHODS) -> list[Series]:
    """Choose the series a figure of methods side by side shows: one a method and variant, at the main protocol.

    A method that lacks that protocol is shown at its longest training instead; its label then says what differs. Of
    several hyper-parameters the fewest set are shown, the others in the curves.
    """
    main = main_protocol(cell.series)
    at_main = {one.method for one in cell.series if protocol_of(one) == main}
    longest = {
        one.method: one for one in sorted(cell.series, key=lambda one: (one.step != one.step, one.step))
    }
    chosen = [
        one
        for one in cell.series
        if protocol_of(one) == main or (one.method not in at_main and one is longest[one.method])
    ]
    return one_a_method(chosen, limit)


@functools.lru_cache(maxsize=256)
def main_protocols(cell: CellResults, limit: int = MOST_METHODS, every: bool = False) -> list[list[Series]]:
    """Return `main_series`, then the same at other guidances that at least two methods share, rising.

    A ranking of methods can turn round with guidance, so no statement is made at one guidance alone; the sampler
    is the same in all, since a scale means another thing under another kind of sampler. Of many guidances (a
    curve) at most three are shown, unless `every` one is asked for: those scored by as many measures as the main
    one, with the most trainings, nearest to 1. Other rules of guidance follow in the same way.
    """
    first, main = main_series(cell, limit), main_protocol(cell.series)
    others = [one for one in cell.series if (at := protocol_of(one)) != main and at[0] == main[0]]
    enough = min(2, len({one.method for one in first}))
    blocks = sorted(
        (
            rows
            for rows in grouped(others, protocol_of).values()
            if len({one.method for one in rows}) >= enough
        ),
        key=lambda rows: (rows[0].rule, rows[0].guidance != rows[0].guidance, rows[0].guidance),
    )
    if not every:
        measured = [max((cell.measured(one.key) for one in rows), default=0) for rows in (first, *blocks)]
        order = sorted(
            range(len(blocks)),
            key=lambda i: (
                -measured[i + 1],
                -sum(len(one.train_seeds) for one in blocks[i]),
                abs(blocks[i][0].guidance - 1),
            ),
        )
        full = [i for i in order if measured[i + 1] >= measured[0]] or order[:1]
        blocks = [blocks[i] for i in sorted(full[: _MOST_GUIDANCES - 1])]
    return [first, *(one_a_method(rows, limit) for rows in blocks)]


def shown_blocks(cell: CellResults, series: Sequence[Series]) -> list[list[Series]]:
    """Split series into those that share training length, sampler, evaluations and guidance, in print order."""

    def key(one: Series) -> Key:
        return tuple(map(str, (one.step, one.sampler, one.passes, one.guidance, one.origin, one.rule)))

    main = by_key(main_protocols(cell)[0])
    blocks = grouped(series, key).values()

    def order(block: Block) -> Key:
        one = block[0]
        numbers = [(v != v, v) for v in (one.step, one.passes, one.guidance)]
        return not any(one.key in main for one in block), numbers[0], one.sampler, *numbers[1:]

    return sorted(blocks, key=order)


def long_tails(found: Iterable[CellResults]) -> list[CellResults]:
    """Return the cells that lead a report: the published split of each long tail, or all where there is none."""
    found = list(found)
    return [c for c in found if c.published and c.imbalance_ratio != 1] or found
