"""The papers' tables, from ``results/published/*.csv``: their numbers, ours where there are any, and what is missing.

Published numbers are one run without a spread, sampled and scored by their authors; they stand beside ours and are
never averaged or tested with them. Each carries what its source states of the protocol; blank is unknown. Which
data cells, methods and metrics there are is read off the files: a new file is a new table.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from importlib import metadata, resources
from importlib.resources.abc import Traversable
from pathlib import Path

import pandas as pd

import ltbench
from ltbench import text
from ltbench.data.registry import SOURCES
from ltbench.errors import DataCorrupt
from ltbench.metrics.registry import METRICS
from ltbench.report.cell_results import CellResults
from ltbench.report.names import (
    MISSING,
    Measure,
    evaluations_text,
    integer,
    known_methods_in_tree,
    mean_sd,
    method_rank,
    method_title,
    metric_title,
    seeds_text,
)
from ltbench.report.series import Series
from ltbench.report.tables.grid import Column, Table, Tags, ends, entries, score_text
from ltbench.study.presets import load_all

_COLUMNS = ["source", "table", "dataset", "imbalance_ratio", "method", "metric", "value", "confidence"]
_PROTOCOL = ["sampler", "steps", "images", "extractor", "image_size"]  # blank: the source does not state it
# The papers' names -> ours: metric and extractor, the papers' own protocol first. Others are shown by their own name.
_OURS = {
    "fid": [("frechet", "inception")],
    "is": [("inception_score", "inception")],
    "kid": [("kid_subsets_mean", "inception"), ("kid", "inception")],
    "prd_f8": [("f8", "inception")],
    "prd_f1_8": [("f1_8", "inception")],
    "recall": [
        ("recall_coral", "vgg16"),
        ("recall", "vgg16"),
        ("recall_cbdm", "inception"),
        ("recall", "inception"),
    ],
}
_CELL = ["dataset", "imbalance_ratio"]


def load_published() -> pd.DataFrame:
    """Return every published number, one a row, with the columns of ``results/published/*.csv``."""
    frames = []
    for file in sorted(_published_files(), key=lambda f: f.name):
        with file.open(encoding="utf-8") as handle:
            frame = pd.read_csv(handle, dtype=dict.fromkeys(["table", *_PROTOCOL], str))
        missing = [c for c in _COLUMNS if c not in frame]
        if missing:
            raise DataCorrupt(f"{file} lacks the column {missing[0]!r}: restore it from the repository")
        frames.append(frame.reindex(columns=[*_COLUMNS, *_PROTOCOL]))
    return pd.concat(frames, ignore_index=True).fillna(dict.fromkeys(["table", *_PROTOCOL], ""))


def _published_files() -> Iterable[Traversable]:
    """Find the files in the installed package, or in the checkout that an editable install points to."""
    try:
        found = [f for f in resources.files("ltbench.published").iterdir() if f.name.endswith(".csv")]
    except ModuleNotFoundError:
        found = []
    checkout = Path(ltbench.__file__).resolve().parents[1] / "results" / "published"
    found = found or list(checkout.glob("*.csv"))
    if not found:
        raise DataCorrupt("the published tables are not installed: install ltbench again")
    return found


def published_title(metric: str) -> str:
    """Name a published metric as our own of that meaning, or in its source's words."""
    if metric in _OURS:
        name, _ = _OURS[metric][0]
        return "Recall ↑" if metric == "recall" else metric_title(name, "inception")
    return metric.replace("_", " ").replace("fid", "FID").replace("kid", "KID")


def _named(dataset: str, ratio: float, joint: str) -> str:
    """Name a published data cell: its data set, and its ratio where the source states one."""
    return dataset if ratio != ratio else f"{dataset}{joint}{ratio:g}"


# -- the papers' tables, filled with ours -----------------------------------------------------------------------


def paper_tables(found: list[CellResults], published: pd.DataFrame) -> list[Table]:
    """Fill the papers' tables with our numbers: one a published data set; what nobody has run shows dashes."""
    out = []
    for dataset, theirs in published.groupby("dataset", sort=False):
        metrics = [m for m in _OURS if m in set(theirs["metric"])]
        if not metrics:
            continue
        columns = ["Data", "Method", *map(published_title, metrics), "Step", "Sampler", "Guidance ω", "Seeds"]
        blocks = [
            _paper_rows(found, here, metrics)
            for _, here in theirs.groupby(-theirs["imbalance_ratio"], dropna=False)
        ]
        notes = [
            f"Ours only; the papers' own numbers stand beside them in a table of their own. {MISSING}: not run. Mean ± "
            "standard deviation over training seeds; bold as in the overall table. The papers' scales of guidance are "
            "those of ancestral sampling, which is stochastic."
        ]
        title = f"{dataset}, as the papers print it"
        rows = list(itertools.chain(*blocks))
        out.append(Table(f"paper-{dataset}", title, columns, rows, 2, ends(blocks), notes, 4))
    return [*out, *_paper_classes(found, published)]


def _paper_rows(found: list[CellResults], theirs: pd.DataFrame, metrics: Sequence[str]) -> list[list[str]]:
    """Return the rows of one published data cell: our series, then the methods that nobody has run."""
    dataset, ratio = theirs.iloc[0][_CELL]
    cell, name = cell_for(found, dataset, ratio), _named(dataset, ratio, ", ")
    series = candidates(cell)
    columns = []
    for metric in metrics:
        measure = our_measure(cell, metric, "overall")
        if cell is None or measure is None:
            columns.append([MISSING] * len(series))
        else:
            columns.append(entries(cell, [series], Column("", measure)))
    rows = [[name, one.label, *scores] for one, *scores in zip(series, *columns, strict=True)]
    for row, one in zip(rows, series, strict=True):
        row += [integer(one.step), one.sampler, one.scale_text, seeds_text(one.train_seeds)]
    absent = sorted(set(theirs["method"]) - {one.method for one in series}, key=method_rank)
    return [*rows, *([name, method_title(m), *[MISSING] * (len(metrics) + 4)] for m in absent)]


def _paper_classes(found: list[CellResults], published: pd.DataFrame) -> list[Table]:
    """Per-class FID of the published cells that were run: by group, and a column a class where ten or fewer."""
    out = []
    for dataset, ratio in published[_CELL].drop_duplicates().itertuples(index=False):
        cell = cell_for(found, str(dataset), ratio)
        measure = our_measure(cell, "fid", "class")
        if cell is None or measure is None:
            continue
        classes = [str(c) for c in cell.classes()["class_or_group"]]
        shown = [Column(g, measure.any_size, "group", g) for g in cell.groups()]
        shown += [Column(cell.class_name(c), measure, "class", c) for c in classes if len(classes) <= 10]
        series = candidates(cell)
        columns = [("Method", [one.label for one in series])]
        for column in shown:
            means = column.means(cell)
            columns.append((column.title, [score_text(means.get(s.key), measure.decimals) for s in series]))
        note = f"Groups: mean of their classes' FID, by thirds of the classes; classes head to tail. {MISSING}: not run."
        name, title = f"paper-per-class-{cell.slug}", f"Per-class FID, {cell.label}"
        out.append(Table.of_columns(name, title, columns, notes=[note]))
    return out


# -- published beside ours --------------------------------------------------------------------------------------


def published_table(found: list[CellResults], published: pd.DataFrame, every: bool = False) -> Table | None:
    """Set each published number beside ours, with what of both protocols is on record.

    `every` shows also those of data cells that were not run; otherwise None where none of the papers' was.
    """
    rows: list[list[str]] = []
    tags: list[Tags] = []
    order = published.assign(rank=published["method"].map(method_rank)).sort_values(
        ["dataset", "imbalance_ratio", "rank"], ascending=[True, False, True], kind="stable"
    )
    for _, theirs in order.groupby([*_CELL, "method", "metric"], sort=False, dropna=False):
        first = theirs.iloc[0]
        cell = cell_for(found, first["dataset"], first["imbalance_ratio"])
        ours: list[_Ours | None] = [*_ours(cell, first["metric"], first["method"])]
        if not ours and not every:
            continue
        for _, number in theirs.iterrows():
            rows += [_beside(number, one) for one in ours or [None]]
            tags += [{"method": first["method"]} for _ in ours or [None]]
    if not rows:
        return None
    columns = ["Data", "Method", "Metric", "Published", "Ours", "Δ", "Source"]
    columns += ["Theirs: sampler", "steps", "images", "extractor", "px"]
    columns += ["Ours: sampler", "NFE", "images", "extractor", "Guidance ω", "Step", "Seeds"]
    notes = [
        "Published: one run each, no spread given; blank: not stated by the source. Where the two protocols differ, the "
        "difference is not the method's alone. The papers tune a guidance for every method under ancestral sampling, "
        "which is stochastic: the same scale means another thing under a deterministic sampler. (S): from a summary of the "
        "paper, not its table; (C): from released code or logs."
    ]
    title = "Published numbers beside ours"
    return Table("published-beside-ours", title, columns, rows, 3, (), notes, 13, tags)


_Ours = tuple[CellResults, Measure, Series]


def _ours(cell: CellResults | None, metric: str, method: str) -> list[_Ours]:
    """Return the series of ours that stand beside a published number."""
    measure = our_measure(cell, metric, "overall")
    if cell is None or measure is None:
        return []
    scored = cell.means("overall", measure)
    return [(cell, measure, one) for one in candidates(cell) if one.method == method and one.key in scored]


def _beside(theirs: pd.Series, ours: _Ours | None) -> list[str]:
    sure = "" if theirs["confidence"] == "T" else f" ({theirs['confidence']})"
    data = _named(theirs["dataset"], theirs["imbalance_ratio"], ", ratio ")
    label, value, difference = method_title(theirs["method"]), MISSING, MISSING
    how = [""] * 7
    if ours is not None:
        cell, measure, one = ours
        found = cell.means("overall", measure)[one.key]
        data, label = cell.label, one.label
        value = mean_sd(found.mean, found.sd, measure.decimals)
        difference = f"{found.mean - theirs['value']:+.{measure.decimals}f}"
        how = [one.sampler, evaluations_text(one.nfe), integer(measure.n_generated), measure.extractor]
        how += [one.scale_text, integer(one.step), seeds_text(one.train_seeds)]
    texts = [data, label, published_title(theirs["metric"]), f"{theirs['value']:g}{sure}", value, difference]
    return [*texts, theirs["source"], *(_count(theirs[c]) for c in _PROTOCOL), *how]


def _count(text: str) -> str:
    return f"{int(text):,}" if text.isdecimal() else text


# -- what is missing ----------------------------------------------------------------------------------------------


def missing_runs(found: list[CellResults], published: pd.DataFrame, runs: Path = Path("runs")) -> list[str]:
    """Say which of the papers' numbers we have no counterpart to, with a command that makes them, if there is one."""
    out = []
    for _, theirs in published.groupby(_CELL, sort=False, dropna=False):
        dataset, ratio = theirs.iloc[0][_CELL]
        name = _named(dataset, ratio, "-r")
        cell = cell_for(found, dataset, ratio)
        have = {one.method for one in cell.series} if cell is not None else set()
        absent = sorted(set(theirs["method"]) - have, key=method_rank)
        ours = [m for m in absent if _installed(m)]
        if ours:
            how = f"`{_command(dataset, ratio, ours)}`" if dataset in SOURCES else _NO_SET.format(dataset)
            out.append(f"{name}: {', '.join(map(method_title, ours))}; {how}")
        if alone := [m for m in absent if m not in ours]:
            out.append(f"{name}: {', '.join(map(method_title, alone))}; no method of that name is installed")
        for metric in theirs["metric"].unique():
            if cell is not None and our_measure(cell, str(metric), "overall") is None:
                title = published_title(str(metric)).rstrip(" ↓↑")
                out.append(f"{name}: {title}; {_evaluation(str(metric), runs)}")
    return out


_NO_SET = "no data set called {} is installed"


def _installed(method: str) -> bool:
    """Tell whether a method can be trained here; the tree's are known without loading them."""
    if method in known_methods_in_tree():
        return True
    if not metadata.entry_points(group="ltbench.methods"):
        return False
    from ltbench.method.registry import known_methods  # imports torch: only with other packages' methods

    return method in known_methods()


def _command(dataset: str, ratio: float, methods: Sequence[str]) -> str:
    preset = f"paper/{_named(dataset, ratio, '-r')}"
    if preset in load_all():
        return text.command("ltbench", "run", "--preset", preset, "--methods", ",".join(methods))
    command = ["ltbench", "run", "--dataset", dataset, "--methods", ",".join(methods)]
    return text.command(*(command if ratio != ratio else [*command, "--imbalance-ratio", f"{ratio:g}"]))


def _evaluation(metric: str, runs: Path) -> str:
    """Say with which command a published metric is measured on runs that are there."""
    for name, extractor in _OURS.get(metric, []):
        owner = next((m.name for m in METRICS.all().values() if name in {o.name for o in m.outputs}), None)
        if owner is not None:
            command = ["ltbench", "evaluate", str(runs), "--metrics", owner, "--extractors", extractor]
            return f"`{text.command(*command)}`"
    return "no metric of that name is installed"


# -- which of ours ------------------------------------------------------------------------------------------------


def cell_for(found: list[CellResults], dataset: str, ratio: float) -> CellResults | None:
    """Return the published split's cell: no other class order, split, size or head count; any ratio where nan."""
    for cell in found:
        if cell.dataset != dataset:
            continue
        if ratio != ratio and cell.published:
            return cell
        if cell.key == f"{dataset}, ratio {cell.imbalance_ratio:g}" and cell.imbalance_ratio == ratio:
            return cell
    return None


def candidates(cell: CellResults | None) -> list[Series]:
    """Return for each method and setting its most trained, most finely sampled series."""
    if cell is None:
        return []
    finest = sorted(
        cell.series, key=lambda one: (one.step != one.step, one.step, one.nfe != one.nfe, one.nfe)
    )
    best = {(*one.pair, one.differs, one.scale): one for one in finest}
    return [one for one in cell.series if best[*one.pair, one.differs, one.scale] is one]


def our_measure(cell: CellResults | None, metric: str, scope: str) -> Measure | None:
    """Return the measure that stands for a published metric, the papers' protocol before others."""
    if cell is None:
        return None
    for name, extractor in _OURS.get(metric, []):
        match = [m for m in cell.measures(scope) if (m.metric, m.extractor) == (name, extractor)]
        if match:
            return max(match, key=lambda m: m.n_generated)
    return None
