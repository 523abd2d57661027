"""From single scores to means over seeds: a data cell's series, points and summary, and what may stand side by side.

A *series* is everything equal but the two kinds of seed; what differs in any setting is never averaged together.
Its mean and spread run over training seeds, at the one sampling seed that most of its trainings share; the spread
over sampling seeds of one training is kept apart, since it measures another thing.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ltbench.diffusion.registry import kind
from ltbench.report.names import (
    GROUP_ORDER,
    MISSING,
    RULE_PREFIXES,
    SHOT_GROUPS,
    alike,
    class_title,
    describe_series,
    forward_passes,
    is_hyperparameter,
    method_rank,
    metric_rank,
    output_of,
    split_metric,
)
from ltbench.runs.samples import class_names_of
from ltbench.runs.scores import row_codes
from ltbench.text import slug

SERIES_COLUMNS = ["method", "variant", "step", "sampler", "nfe", "guidance", "origin", "settings"]
MEASURE = str.split(
    "metric definition extractor extractor_hash reference reference_hash n_reference n_generated"
)
PLACE = ["scope", "class_or_group", "n_train"]
_NAMES = MEASURE[:6]
_LOOKUP = ["scope", "role", "class_or_group", *_NAMES]
_MOST_GUIDANCES = 3  # in tables and figures of methods side by side
# What must be alike for methods to stand side by side; `passes` is NFE without guidance's second pass.
_PROTOCOL = ["step", "sampler", "passes", "guidance", "rule", "common"]

Key = tuple[object, ...]


@dataclass(frozen=True, eq=False)  # compared by identity, so that what is made of it can be kept
class CellResults:
    """One data cell's results.

    Attributes
    ----------
    label : the data cell in words.
    series : one row a series, in print order: `SERIES_COLUMNS`, ``series`` (key), ``label``, ``differs``,
        ``train_seeds``, ``sample_seeds``, ``runs``.
    points : one row a number: series, train_seed, sample_seed, main, place, measure, ``role``, value, run, folder.
    summary : one row a series, place, measure and role: mean, sd, n, sd_sampling, n_sampling.
    reasons : (scope, class or group, metric) -> why there is no number.
    """

    label: str
    series: pd.DataFrame
    points: pd.DataFrame
    summary: pd.DataFrame
    reasons: dict[tuple[str, str, str], str]

    # -- what it is --

    @property
    def dataset(self) -> str:
        """The data set's name."""
        return self.label.split(",")[0]

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
        """The user's names of the classes, where the data set's registry has none: from the scored sample sets."""
        labels = list(self._classes["class_or_group"])
        names = {label: class_title(self.dataset, label) for label in labels}
        if any(name != label for label, name in names.items()) or not len(self.points):
            return names
        stored = class_names_of(Path(str(self.points["folder"].iloc[0])))
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
    def _measures(self) -> dict[str, pd.DataFrame]:
        """The measures by scope, in order of print; see `measures`."""
        rows = self.summary[(self.summary["role"] == "").to_numpy()]
        auxiliary = {m for m in map(str, rows["metric"].unique()) if output_of(m).auxiliary}
        rows = rows[~rows["metric"].isin(auxiliary).to_numpy()]
        every = rows.groupby(["scope", *MEASURE], dropna=False, observed=True)["n"].sum().reset_index()
        text = ["scope", *_NAMES]
        every = every.astype(dict.fromkeys(text, object))
        every = every.assign(rank=every["metric"].map(metric_rank), scores=-every["n"])
        every = every.sort_values(["rank", "scores", *MEASURE[1:]], ignore_index=True)
        return {str(s): part[MEASURE].reset_index(drop=True) for s, part in every.groupby("scope")}

    def measures(self, scope: str) -> pd.DataFrame:
        """Return the distinct measures of plain scores at a scope, in the papers' order, no auxiliary ones.

        Of several that differ in extractor or sample sizes alone, the one that most scores have leads: a side
        question asked with fewer images must not take the place of the study's own.
        """
        return self._measures.get(scope, pd.DataFrame(columns=MEASURE))

    def leading(self, metric: str, scope: str) -> pd.Series | None:
        """Return the leading measure of one metric at a scope; None where it was not scored."""
        measures = self.measures(scope)
        measures = measures[measures["metric"] == metric]
        return None if measures.empty else measures.iloc[0]

    def frechet(self, scope: str) -> pd.Series | None:
        """Return the leading measure of Frechet distances at a scope; None where none was scored."""
        return self.leading("frechet", scope)

    def headline(self) -> pd.DataFrame:
        """Return the overall measures that lead: the first Frechet distance, recall and agreement there are."""
        measures = self.measures("overall")
        found = measures["metric"].astype(str).str.extract("^(frechet|recall|agreement)", expand=False)
        return measures[found.notna() & ~found.duplicated()]

    # -- numbers --

    @functools.cached_property
    def _point_rows(self) -> dict[Key, np.ndarray]:
        return _rows_by(self.points, _LOOKUP)

    @functools.cached_property
    def _summary_rows(self) -> dict[Key, np.ndarray]:
        return _rows_by(self.summary, _LOOKUP)

    @functools.cached_property
    def _kept(self) -> dict[Key, pd.DataFrame]:
        """What `column` and `by_seed` have made: tables and figures ask for the same again and again."""
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
    def _means(self) -> pd.DataFrame:
        columns = ["n_reference", "n_generated", "mean", "sd", "n", "sd_sampling", "n_sampling"]
        return self.summary[columns].set_index(self.summary["series"].astype(str))

    def _rows(self, scope: str, measure: pd.Series, place: str, role: str, sizes: bool) -> np.ndarray:
        """Return the numbers of the points of one measure and place."""
        rows = self._point_rows.get((scope, role, place, *(measure[c] for c in _NAMES)), np.array([], int))
        result: np.ndarray = rows[_has_sizes(self._arrays, rows, measure, role, sizes)]
        return result

    def points_of(
        self, scope: str, measure: pd.Series, place: str = "", role: str = "", sizes: bool = True
    ) -> pd.DataFrame:
        """Return the rows of `points` of one measure at one class or group, or of all images.

        `sizes`: only those with the measure's sample sizes. A floor has sizes of its own; a group's are its
        classes', so that a measure taken from another scope is asked for without.
        """
        return self.points.iloc[self._rows(scope, measure, place, role, sizes)]

    def column(
        self, scope: str, measure: pd.Series, place: str = "", role: str = "", sizes: bool = True
    ) -> pd.DataFrame:
        """Return mean, sd, n (and the sampling spread) of one measure and place, indexed by series."""
        key = ("column", scope, place, role, sizes, *(measure[c] for c in MEASURE))
        if key not in self._kept:
            rows = self._summary_rows.get(
                (scope, role, place, *(measure[c] for c in _NAMES)), np.array([], int)
            )
            found = self._means.iloc[rows]
            sized = {c: found[c].to_numpy(float) for c in ("n_reference", "n_generated")}
            found = found[_has_sizes(sized, np.arange(len(found)), measure, role, sizes)]
            self._kept[key] = found[~found.index.duplicated()]
        return self._kept[key]

    def by_seed(
        self, scope: str, measure: pd.Series, place: str = "", role: str = "", sizes: bool = True
    ) -> pd.DataFrame:
        """Return train_seed x series of one measure and place, at each series' main sampling seed."""
        key = ("seeds", scope, place, role, sizes, *(measure[c] for c in MEASURE))
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
        return self._kept[key]

    def floor(self, scope: str, measure: pd.Series, place: str = "") -> tuple[float, float, float]:
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


def _has_sizes(
    columns: Mapping[str, np.ndarray], rows: np.ndarray, measure: pd.Series, role: str, sizes: bool
) -> np.ndarray:
    """Tell which rows have the measure's sample sizes; a floor has its own, and a score at its size the floor's."""
    keep = np.ones(len(rows), bool)
    if not sizes or role.startswith("floor"):
        return keep
    for name in ("n_reference", "n_generated") if role != "at_floor_n" else ("n_reference",):
        found, wanted = columns[name][rows], float(measure[name])
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


def cells(scores: pd.DataFrame) -> list[CellResults]:
    """Split scores into data cells: a data set's long tails by falling ratio, the published split of each first,
    then its balanced cells, which are controls."""
    order = scores.groupby("cell", observed=True).agg(
        dataset=("dataset", "first"),
        ratio=("imbalance_ratio", "first"),
        order=("class_order", "first"),
        split=("split_seed", "first"),
    )
    order = order.reset_index().assign(
        control=[ratio == 1 for ratio in order["ratio"]],
        moved=[name not in ("", "identity") for name in order["order"]],
    )
    order = order.astype({"dataset": str, "cell": str}).sort_values(
        ["dataset", "control", "ratio", "moved", "split", "cell"],
        ascending=[True, True, False, True, True, True],
    )
    rows = scores.groupby("cell", observed=True).indices
    return [_cell(label, scores.iloc[rows[label]]) for label in order["cell"]]


def _cell(label: str, scores: pd.DataFrame) -> CellResults:
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
    series = _series(points)
    return CellResults(label, series, points, summarise(points), reasons)


def _reasons(points: pd.DataFrame) -> dict[tuple[str, str, str], str]:
    if "reason" not in points:
        return {}
    rows = points[points["value"].isna().to_numpy() & (points["reason"].astype(str) != "").to_numpy()]
    rows = rows[(rows["role"] == "").to_numpy()].astype({"scope": str, "class_or_group": str, "metric": str})
    keys = zip(rows["scope"], rows["class_or_group"], rows["metric"], strict=True)
    return dict(zip(keys, rows["reason"].astype(str), strict=True))


def _series(points: pd.DataFrame) -> pd.DataFrame:
    first = points.drop_duplicates("series")[["series", *SERIES_COLUMNS]]
    series = first.astype(
        dict.fromkeys(("series", "method", "variant", "sampler", "origin", "settings"), object)
    )
    for column, source in (("train_seeds", "train_seed"), ("sample_seeds", "sample_seed"), ("runs", "run")):
        pairs = points[["series", source]].drop_duplicates().dropna().astype({"series": object})
        values: dict[str, set[int | str]] = {}
        for key, value in zip(pairs["series"], pairs[source], strict=True):
            values.setdefault(str(key), set()).add(str(value) if source == "run" else int(value))
        series[column] = [tuple(sorted(values.get(key, ()))) for key in series["series"]]
    series["rank"] = series["method"].map(method_rank)
    series = series.sort_values(
        ["rank", "variant", "step", "sampler", "nfe", "guidance", "settings"], ignore_index=True
    ).drop(columns="rank")
    return describe_series(series)


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
def main_series(cell: CellResults, limit: int = 8) -> pd.DataFrame:
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
def main_protocols(cell: CellResults, limit: int = 8, every: bool = False) -> list[pd.DataFrame]:
    """Return `main_series`, then the same at other guidances that at least two methods share, rising.

    A ranking of methods can turn round with guidance, so no statement is made at one guidance alone; the sampler
    is the same in all, since a scale means another thing under another kind of sampler. Of many guidances (a
    curve) at most three are shown, unless `every` one is asked for: those scored by as many measures as the main
    one, with the most trainings, nearest to 1. Other rules of guidance follow in the same way.
    """
    first, series = main_series(cell, limit), _with_protocol(cell)
    main = _main_protocol(series)
    fixed = [c for c in _PROTOCOL if c not in ("guidance", "rule")]
    same = _at(series, main, ["guidance", "rule"])
    alike_but = series[_at(series, main, fixed) & ~same]
    enough = min(2, first["method"].nunique())
    blocks = [
        r for _, r in alike_but.groupby(["rule", "guidance"], dropna=False) if r["method"].nunique() >= enough
    ]
    if not every:
        overall = cell.summary[(cell.summary["scope"] == "overall").to_numpy()]
        scored = overall.groupby(overall["series"].astype(str))["metric"].nunique()
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


def shown_blocks(cell: CellResults, series: pd.DataFrame) -> list[pd.DataFrame]:
    """Split series into those that share training length, sampler, evaluations and guidance, in print order."""
    protocol = pd.DataFrame(
        {"step": series["step"], "sampler": series["sampler"], "passes": forward_passes(series)}
    ).assign(guidance=series["guidance"], origin=series["origin"], rule=series["settings"].map(rule_of))
    keys = pd.Series(
        ["|".join(map(str, row)) for row in protocol.itertuples(index=False)], index=series.index
    )
    main = set(main_protocols(cell)[0]["series"])
    order = {key: not set(rows["series"]) & main for key, rows in series.groupby(keys)}
    size = protocol.assign(key=keys, other=keys.map(order)).drop_duplicates("key")
    size = size.sort_values(["other", "step", "sampler", "passes", "guidance"], kind="stable")
    return [series[keys == key] for key in size["key"]]


def block_title(block: pd.DataFrame) -> str:
    """Name a block by its guidance, its rule, and the kind of sampler that its scale is for."""
    scales = block["guidance"].dropna().unique()
    scale = (
        f"ω = {scales[0]:g}"
        if len(scales) == 1
        else "guidance as labelled"
        if len(scales)
        else "no guidance stated"
    )
    kinds = " or ".join(sorted({kind(s) for s in block["sampler"]} - {"unknown"})) or "sampler not known"
    rule = rule_of(block["settings"].iloc[0])
    return f"{scale}{f', {rule}' if rule else ''}, {kinds}"


@functools.cache
def rule_of(settings: str) -> str:
    """Return a series' rule of guidance in words; blank where none but the plain scale is stated."""
    stated = {k: v for k, v in json.loads(settings).items() if k.startswith(RULE_PREFIXES)}
    return ", ".join(
        f"{k.removeprefix('sample.')}={v}" for k, v in sorted(stated.items()) if v not in (None, {}, [])
    )


def _with_protocol(cell: CellResults) -> pd.DataFrame:
    settings = cell.series["settings"].map(json.loads)
    fixed = settings.map(
        lambda s: json.dumps(
            {k: v for k, v in s.items() if not is_hyperparameter(k) and not k.startswith(RULE_PREFIXES)}
        )
    )
    return cell.series.assign(
        passes=forward_passes(cell.series),
        common=fixed,
        rule=cell.series["settings"].map(rule_of),
        own=settings.map(lambda s: sum(is_hyperparameter(k) for k in s)),
    )


def _main_protocol(series: pd.DataFrame) -> pd.Series:
    grouped = series.assign(trainings=series["train_seeds"].map(len)).groupby(_PROTOCOL, dropna=False)
    shared = grouped.agg(methods=("method", "nunique"), trainings=("trainings", "sum")).reset_index()
    order = ["methods", "trainings", "step", "guidance", "passes"]
    return shared.sort_values(order, ascending=[False, False, False, True, False]).iloc[0]


def _at(series: pd.DataFrame, protocol: pd.Series, columns: Sequence[str] = _PROTOCOL) -> pd.Series:
    found = np.ones(len(series), bool)
    for column in columns:
        found &= alike(series[column], protocol[column])
    return pd.Series(found, index=series.index)


def _one_a_method(series: pd.DataFrame, limit: int) -> pd.DataFrame:
    found = series.sort_values("own", kind="stable")
    named = found[~found["variant"].str.contains("custom")]
    others = found[~found["method"].isin(named["method"])].drop_duplicates("method")
    found = pd.concat([named.drop_duplicates(["method", "variant"]), others]).sort_index().head(limit)
    return describe_series(found.drop(columns=["label", "differs", "common", "own", "passes", "rule"]))


def long_tails(found: Iterable[CellResults]) -> list[CellResults]:
    """Return the cells that lead a report: the published split of each long tail, or all where there is none."""
    found = list(found)
    return [c for c in found if c.published and c.imbalance_ratio != 1] or found


def method_and_variant(block: pd.DataFrame) -> list[tuple[str, str]]:
    """Return (method, variant) of each series."""
    return list(zip(block["method"].map(str), block["variant"].map(str), strict=True))


__all__ = [
    "MEASURE",
    "MISSING",
    "PLACE",
    "SERIES_COLUMNS",
    "CellResults",
    "block_title",
    "cells",
    "long_tails",
    "main_protocols",
    "main_sampling_seed",
    "main_series",
    "method_and_variant",
    "rule_of",
    "shown_blocks",
    "summarise",
]
