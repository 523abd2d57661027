"""One data cell's results: what it is, what was measured, and the numbers of a measure at a place, by series or seed."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ltbench.analysis.names import (
    ANY,
    GROUP_ORDER,
    OWN,
    SHOT_GROUPS,
    Measure,
    class_title,
    integer,
    metric_rank,
    output_of,
    range_text,
)
from ltbench.analysis.series import Series
from ltbench.runs.samples import class_names_of

MEASURE = list(Measure._fields)
_NAMES = MEASURE[:6]
_NONE = np.array([], int)

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
    slug : a short name for files, no other cell's of the report.
    series : in print order, each labelled by what tells it from the others.
    points : one row a number: series, train_seed, sample_seed, main, place, measure, ``role``, value, run, folder.
    summary : one row a series, place, measure and role: mean, sd, n, sd_sampling, n_sampling.
    reasons : (scope, class or group, metric) -> why there is no number.
    names : the user's names of the classes, in label order, where the data set has none itself.
    """

    label: str
    key: str
    slug: str
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

    def grouped_labels(self) -> list[tuple[str, str, str]]:
        """Return (group, grouping, its classes) of the pooled groups, where the scores state it."""
        if "labels" not in self.points:
            return []
        rows = self.points[(self.points["scope"] == "pooled").to_numpy()]
        rows = rows[["class_or_group", "grouping", "labels"]].astype(str).drop_duplicates()
        return [row for row in rows.itertuples(index=False, name=None) if row[2]]

    def folders(self, series: str) -> list[Path]:
        """Return the sample sets' folders of a series."""
        rows = self.points["folder"][(self.points["series"] == series).to_numpy()]
        return [Path(folder) for folder in sorted(map(str, rows.unique()))]

    def main_folders(self, series: str) -> list[Path]:
        """Return the folders of a series at the main sampling seed, one a training, by training seed."""
        rows = self.points[(self.points["series"] == series).to_numpy() & self.points["main"].to_numpy()]
        return [Path(str(folder)) for folder in rows.sort_values("train_seed")["folder"].unique()]

    def main_folder(self, series: str) -> Path | None:
        """Return the folder that stands for a series: its first training seed at the main sampling seed."""
        return next(iter(self.main_folders(series)), None)

    # -- what was measured --

    @functools.cached_property
    def _measures(self) -> dict[str, list[Measure]]:
        """The measures by scope, in order of print; see `measures`."""
        rows = _with_own_sizes(self.summary[(self.summary["role"] == "").to_numpy()])
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
        question asked with fewer images must not take the place of the study's own. Sizes that differ between the
        classes of one series do not tell measures apart.
        """
        return self._measures.get(scope, [])

    def images(self, measure: Measure, size: str) -> str:
        """Print a measure's sample size (``n_generated`` or ``n_reference``): of classes that differ, their range."""
        if getattr(measure, size) != OWN:
            return integer(getattr(measure, size))
        labels = self._classes["class_or_group"]
        return range_text(n for label in labels for n in self.points_of("class", measure, label)[size])

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
    def measured(self) -> Mapping[str, int]:
        """By how many metrics each series was scored, overall."""
        overall = self.summary[(self.summary["scope"] == "overall").to_numpy()]
        counts = overall.groupby(overall["series"].astype(str))["metric"].nunique()
        return {one.key: int(counts.get(one.key, 0)) for one in self.series}

    # -- numbers --

    @functools.cached_property
    def _points(self) -> _Lookup:
        return _Lookup(self.points, ("train_seed", "value", "main"))

    @functools.cached_property
    def _summary(self) -> _Lookup:
        return _Lookup(self.summary, Numbers._fields)

    @functools.cached_property
    def _kept(self) -> dict[Key, Any]:
        """What `means`, `by_seed` and `generated` have made: tables and figures ask for the same again and again."""
        return {}

    def points_of(self, scope: str, measure: Measure, place: str = "", role: str = "") -> pd.DataFrame:
        """Return the rows of `points` of one measure at one class or group, or of all images."""
        return self.points.iloc[self._points.rows(scope, measure, place, role)]

    def means(self, scope: str, measure: Measure, place: str = "", role: str = "") -> dict[str, Numbers]:
        """Return mean, sd, n (and the sampling spread) of one measure and place by series."""
        key = ("means", scope, place, role, measure)
        if key not in self._kept:
            rows = self._summary.rows(scope, measure, place, role)[::-1]  # the first of a series stays
            columns = (self._summary.columns[name][rows].tolist() for name in Numbers._fields)
            numbers = map(Numbers._make, zip(*columns, strict=True))
            series = self._summary.names[self._summary.codes[rows]].tolist()
            kept = self._kept[key] = dict(zip(series, numbers, strict=True))
            if len(kept) < len(rows):  # seeds of one series whose classes have other sizes: a row a size
                wide = self.by_seed(scope, measure, place, role)
                for one in {one for one in series if series.count(one) > 1} & set(wide):
                    values = wide[one].dropna()
                    kept[one] = Numbers(values.mean(), values.std(), len(values), np.nan, 0)
        result: dict[str, Numbers] = self._kept[key]
        return result

    def by_seed(self, scope: str, measure: Measure, place: str = "", role: str = "") -> pd.DataFrame:
        """Return train_seed x series of one measure and place, at each series' main sampling seed."""
        key = ("seeds", scope, place, role, measure)
        if key not in self._kept:
            rows = self._points.rows(scope, measure, place, role)
            seed, main, value = (self._points.columns[name] for name in ("train_seed", "main", "value"))
            rows = rows[(main[rows] == 1) & np.isfinite(seed[rows])]
            seeds, row = np.unique(seed[rows], return_inverse=True)
            codes, column = np.unique(self._points.codes[rows], return_inverse=True)
            total, count = np.zeros((2, len(seeds), len(codes)))
            np.add.at(total, (row, column), value[rows])
            np.add.at(count, (row, column), 1)
            with np.errstate(invalid="ignore"):
                self._kept[key] = pd.DataFrame(
                    total / count, index=seeds, columns=list(self._points.names[codes])
                )
        result: pd.DataFrame = self._kept[key]
        return result

    def seed_values(
        self, measure: Measure, series: str, scope: str = "overall", place: str = ""
    ) -> np.ndarray:
        """Return a series' values of one measure and place, a training seed each; (0,) where it was not measured."""
        wide = self.by_seed(scope, measure, place)
        if series in wide:
            return wide[series].dropna().to_numpy(float)
        found = self.means(scope, measure, place).get(series)  # of images from elsewhere, which state no seed
        return np.array([] if found is None else [found.mean])

    def generated(self, scope: str, measure: Measure, place: str = "", role: str = "") -> dict[str, float]:
        """Return how many generated images are behind each series' numbers of a measure and place; nan: not one size."""
        key = ("generated", scope, place, role, measure)
        if key not in self._kept:
            rows = self._points.rows(scope, measure, place, role)
            sizes = pd.Series(self._points.columns["n_generated"][rows]).groupby(self._points.codes[rows])
            one = sizes.min().where(sizes.min() == sizes.max())
            names = self._points.names[one.index.to_numpy(int)]
            self._kept[key] = dict(zip(names, one.tolist(), strict=True))
        result: dict[str, float] = self._kept[key]
        return result

    def floor(
        self, scope: str, measure: Measure, place: str = "", series: str = ""
    ) -> tuple[float, float, float]:
        """Return the floor's mean, its standard deviation over draws, and its own number of images; nan where none.

        It is that of the sample sets with this measure, or of one series; where those have several sizes, at the one
        that most have.
        """
        of, value, n = self._points, self._points.columns["value"], self._points.columns["n_generated"]
        scored = of.codes[of.rows(scope, measure, place, "")]
        scored = scored[of.names[scored] == series] if series else scored
        rows, spread = (of.rows(scope, measure, place, role) for role in ("floor", "floor_sd"))
        rows, spread = (r[np.isin(of.codes[r], scored)] if len(scored) else r for r in (rows, spread))
        if not len(rows):
            return np.nan, np.nan, np.nan
        sizes, counts = np.unique(n[rows], return_counts=True)
        if len(sizes) > 1:
            size = sizes[counts == counts.max()][-1]
            rows, spread = (r[n[r] == size] for r in (rows, spread))
        sd = float(value[spread].mean()) if len(spread) else np.nan
        return float(value[rows].mean()), sd, float(n[rows].max())


def _with_own_sizes(frame: pd.DataFrame) -> pd.DataFrame:
    """Return rows with `OWN` for a sample size in which the classes of a series differ.

    Floors, and scores at their sizes, keep theirs.
    """
    beside = frame["role"].isin(["floor", "floor_sd", "at_floor_n"])
    rows = frame[((frame["scope"] == "class") & ~beside).to_numpy()]
    alike = rows.groupby(["series", *_NAMES], observed=True, sort=False, dropna=False)
    sizes = {}
    for name in ("n_reference", "n_generated"):
        sizes[name] = frame[name].astype(float)
        sizes[name][rows.index[alike[name].transform("nunique").to_numpy() > 1]] = OWN
    return frame.assign(**sizes)


class _Lookup:
    """The rows of a frame by scope, role, place and names of a measure, with some of its columns as arrays.

    A report asks thousands of times, each too seldom for a query of a whole frame.
    """

    def __init__(self, frame: pd.DataFrame, columns: Sequence[str]) -> None:
        frame = _with_own_sizes(frame)
        series = frame["series"].astype("category")
        self.codes, self.names = series.cat.codes.to_numpy(), series.cat.categories.to_numpy(str)
        self.columns = {c: frame[c].to_numpy() for c in (*columns, "n_reference", "n_generated")}
        by = ["scope", "role", "class_or_group", *_NAMES]
        self._rows: dict[Any, Any] = frame.groupby(by, observed=True, sort=False, dropna=False).indices

    def rows(self, scope: str, measure: Measure, place: str, role: str) -> np.ndarray:
        """Return the rows of a measure at a place; a floor has sizes of its own, a score at the floor's size its number."""
        rows: np.ndarray = self._rows.get((scope, role, place, *measure[:6]), _NONE)
        if role.startswith("floor"):
            return rows
        for name in ("n_reference", "n_generated") if role != "at_floor_n" else ("n_reference",):
            wanted = float(getattr(measure, name))
            if wanted != ANY and not (wanted == OWN and role == "at_floor_n"):
                values = self.columns[name][rows]
                rows = rows[np.isnan(values) if wanted != wanted else values == wanted]
        return rows
