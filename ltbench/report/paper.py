"""The papers' tables: their published numbers, ours where there are any, and what is missing.

Published numbers are one run without a spread, sampled and scored by their authors; they stand beside ours
and are never averaged or tested with them. `results/published/*.csv` says where each comes from and how sure
its transcription is (T: from the table, S: from a summary).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

import pandas as pd

import ltbench
from ltbench.errors import DataCorrupt
from ltbench.study.presets import load_all
from ltbench.report.aggregate import Cell
from ltbench.report.naming import (
    MISSING,
    integer,
    mean_sd,
    method_rank,
    method_title,
    metric_style,
    metric_title,
    number,
)
from ltbench.report.statistics import by_seed
from ltbench.report.tables import Entry, Table, seeds_text
from ltbench.stats import best_and_ties

_COLUMNS = ["source", "table", "dataset", "imbalance_ratio", "method", "metric", "value", "confidence"]
# The papers' names -> ours: metric and extractor, the papers' own protocol first.
_OURS = {
    "fid": [("frechet", "inception")],
    "is": [("inception_score", "inception")],
    "prd_f8": [("f8", "inception")],
    "prd_f1_8": [("f1_8", "inception")],
    "recall": [
        ("recall_coral", "vgg16"),
        ("recall", "vgg16"),
        ("recall_cbdm", "inception"),
        ("recall", "inception"),
    ],
}
_TITLES = {"fid": "FID ↓", "is": "IS ↑", "prd_f8": "F8 ↑", "recall": "Recall ↑", "prd_f1_8": "F1/8 ↑"}


@dataclass(frozen=True)
class Layout:
    """One of the papers' tables: its cells and its columns (published metric names)."""

    name: str
    title: str
    cells: tuple[tuple[str, float | None], ...]
    columns: tuple[str, ...]


LAYOUTS = (
    Layout(
        "paper-cifar",
        "CIFAR-LT (layout of CORAL's Table 1)",
        (("cifar10_lt", 0.01), ("cifar10_lt", 0.001), ("cifar100_lt", 0.01)),
        ("fid", "is", "prd_f8", "recall", "prd_f1_8"),
    ),
    Layout("paper-celeba5", "CelebA-5", (("celeba5", None),), ("fid",)),
    Layout(
        "paper-imagenet",
        "ImageNet-LT (layout of CORAL's Table 2)",
        (("imagenet_lt", None),),
        ("fid", "is", "recall"),
    ),
)
METHODS = ("ddpm", "cbdm", "t2h", "coral")


def load_published() -> pd.DataFrame:
    """Return every published number, one a row, with the columns of ``results/published/*.csv``."""
    frames = []
    for file in sorted(_published_files(), key=lambda f: f.name):
        with file.open(encoding="utf-8") as handle:
            frame = pd.read_csv(handle, dtype={"table": str})
        missing = [c for c in _COLUMNS if c not in frame]
        if missing:
            raise DataCorrupt(f"{file} lacks the column {missing[0]!r}: restore it from the repository")
        frames.append(frame[_COLUMNS])
    return pd.concat(frames, ignore_index=True)


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


def paper_tables(found: list[Cell]) -> list[Table]:
    """Fill the papers' tables with our numbers; a cell nobody has run shows dashes."""
    out = []
    for layout in LAYOUTS:
        rows: list[list[Entry]] = []
        rules = []
        for dataset, ratio in layout.cells:
            rules.append(len(rows))
            rows += _layout_rows(layout, _cell_for(found, dataset, ratio), dataset, ratio)
        columns = [
            "Data",
            "Method",
            "Step",
            "Sampler",
            "Guidance ω",
            "Seeds",
            *(_TITLES[c] for c in layout.columns),
        ]
        notes = [
            "Ours only. FID, IS, F8, F1/8: Inception features; Recall: improved recall, VGG16 and k = 3 "
            f"where stored, else as named in summary.csv. {MISSING}: not run. Mean ± standard deviation "
            "over training seeds; bold as in the tables above."
        ]
        out.append(Table(layout.name, layout.title, columns, rows, 6, tuple(rules[1:]), notes))
    out += [_groups_table(found), *_per_class_table(found)]
    return out


def _layout_rows(layout: Layout, cell: Cell | None, dataset: str, ratio: float | None) -> list[list[Entry]]:
    series = _candidates(cell)
    absent = [m for m in METHODS if m not in set(series["method"])]
    rows = {
        str(s["series"]): [
            Entry(f"{dataset}, {ratio:g}" if ratio else dataset),
            Entry(s["label"]),
            Entry(integer(s["step"])),
            Entry(s["sampler"]),
            Entry(number(s["guidance"], 2)),
            Entry(seeds_text(s["train_seeds"])),
        ]
        for _, s in series.iterrows()
    }
    for column in layout.columns:
        measure = None if cell is None else _our_measure(cell, column, "overall")
        bold: set[str] = set()
        if cell is not None and measure is not None:
            wide = by_seed(cell.points_of("overall", measure))
            bold = best_and_ties(wide[[k for k in rows if k in wide]], metric_style(measure["metric"]).better)
        for key, row in rows.items():
            row.append(_our_entry(cell, measure, key, "overall", "", key in bold))
    name = f"{dataset}, {ratio:g}" if ratio else dataset
    blank = [
        [Entry(name), Entry(method_title(m)), *[Entry(MISSING)] * (4 + len(layout.columns))] for m in absent
    ]
    return [*rows.values(), *blank]


def _our_entry(
    cell: Cell | None, measure: pd.Series | None, series: str, scope: str, place: str, bold: bool = False
) -> Entry:
    if cell is None or measure is None:
        return Entry(MISSING)
    rows = cell.summary_of(scope, measure, sizes=scope == "overall")
    rows = rows[(rows["series"] == series) & ((rows["class_or_group"] == place) | (place == ""))]
    if rows.empty:
        return Entry(MISSING)
    row = rows.iloc[0]
    return Entry(mean_sd(row["mean"], row["sd"], metric_style(measure["metric"]).decimals), bold)


def _groups_table(found: list[Cell]) -> Table:
    """Per-class FID averaged over head, middle and tail classes, in the papers' CIFAR cells."""
    groups = ["head", "middle", "tail", "macro"]
    rows: list[list[Entry]] = []
    rules = []
    for dataset, ratio in LAYOUTS[0].cells:
        rules.append(len(rows))
        cell = _cell_for(found, dataset, ratio)
        measure = None if cell is None else _our_measure(cell, "fid", "group")
        series = _candidates(cell)
        for _, s in series.iterrows():
            entries = [_our_entry(cell, measure, s["series"], "group", group) for group in groups]
            rows.append([Entry(f"{dataset}, {ratio:g}"), Entry(s["label"]), *entries])
        for method in METHODS:
            if method not in set(series["method"]):
                rows.append(
                    [
                        Entry(f"{dataset}, {ratio:g}"),
                        Entry(method_title(method)),
                        *[Entry(MISSING)] * len(groups),
                    ]
                )
    notes = [f"Mean of the classes' FID in each third of the classes by training count. {MISSING}: not run."]
    columns = ["Data", "Method", "Head", "Middle", "Tail", "Macro mean"]
    return Table("paper-groups", "Per-class FID by shot group", columns, rows, 2, tuple(rules[1:]), notes)


def _per_class_table(found: list[Cell]) -> list[Table]:
    """Per-class FID of CIFAR10-LT at ratio 0.001: a row a method, a column a class (CORAL's figure 3)."""
    cell = _cell_for(found, "cifar10_lt", 0.001)
    measure = None if cell is None else _our_measure(cell, "fid", "class")
    classes = [str(c) for c in range(10)] if cell is None else list(cell.classes()["class_or_group"])
    series = _candidates(cell)
    rows = [
        [Entry(s["label"]), *(_our_entry(cell, measure, s["series"], "class", c) for c in classes)]
        for _, s in series.iterrows()
    ]
    rows += [
        [Entry(method_title(m)), *[Entry(MISSING)] * len(classes)]
        for m in METHODS
        if m not in set(series["method"])
    ]
    notes = [f"Classes head to tail by label. {MISSING}: not run."]
    return [
        Table("paper-per-class", "Per-class FID, cifar10_lt, 0.001", ["Method", *classes], rows, 1, (), notes)
    ]


def published_table(found: list[Cell], published: pd.DataFrame) -> Table | None:
    """Set each published number beside ours with their difference and what of the protocol is on record.

    Only cells that were run appear; None where none of the papers' was.
    """
    rows = []
    keys = ["dataset", "imbalance_ratio", "method", "metric"]
    order = published.assign(rank=published["method"].map(method_rank)).sort_values(
        ["dataset", "imbalance_ratio", "rank"], ascending=[True, False, True], kind="stable"
    )
    for _, theirs in order.groupby(keys, sort=False, dropna=False):
        dataset, ratio, method, metric = theirs.iloc[0][keys]
        cell = _cell_for(found, dataset, None if ratio != ratio else ratio)
        measure = None if cell is None else _our_measure(cell, metric, "overall")
        if cell is None or measure is None:
            continue
        candidates = _candidates(cell)
        for _, series in candidates[candidates["method"] == method].iterrows():
            summary = cell.summary_of("overall", measure)
            ours = summary[summary["series"] == series["series"]]
            if ours.empty:
                continue
            rows += [_beside(p, ours.iloc[0], measure, series, cell) for _, p in theirs.iterrows()]
    if not rows:
        return None
    columns = ["Data", "Method", "Metric", "Source", "Published", "Ours", "Δ", "Seeds", "Step", "Sampler"]
    columns += ["NFE", "Guidance ω", "Images", "Extractor"]
    notes = [
        "Published: one run each, no spread given. The papers' protocol: 50,000 images with uniform "
        "labels, ancestral sampling with 1,000 steps and a guidance tuned for every method, scored against "
        "the balanced training set. Where step, sampler, NFE, guidance, images or extractor differ from "
        "that, the difference is not the method's alone. (S): from a summary of the paper, not its table."
    ]
    return Table("published-beside-ours", "Published numbers beside ours", columns, rows, 4, (), notes)


def _beside(
    theirs: pd.Series, ours: pd.Series, measure: pd.Series, series: pd.Series, cell: Cell
) -> list[Entry]:
    decimals = metric_style(measure["metric"]).decimals
    sure = "" if theirs["confidence"] == "T" else f" ({theirs['confidence']})"
    return [
        Entry(cell.label),
        Entry(series["label"]),
        Entry(metric_title(measure["metric"], measure["extractor"])),
        Entry(theirs["source"]),
        Entry(f"{theirs['value']:g}{sure}"),
        Entry(mean_sd(ours["mean"], ours["sd"], decimals)),
        Entry(f"{ours['mean'] - theirs['value']:+.{decimals}f}"),
        Entry(seeds_text(series["train_seeds"])),
        Entry(integer(series["step"])),
        Entry(series["sampler"]),
        Entry(integer(series["nfe"])),
        Entry(number(series["guidance"], 2)),
        Entry(integer(measure["n_generated"])),
        Entry(measure["extractor"]),
    ]


def missing_runs(found: list[Cell], published: pd.DataFrame) -> list[str]:
    """Say which of the papers' numbers we have no counterpart to, with the command that makes them."""
    from ltbench.method.registry import known_methods  # imports torch: only for the papers' tables

    out = []
    keys = ["dataset", "imbalance_ratio"]
    for _, theirs in published.groupby(keys, sort=False, dropna=False):
        dataset, ratio = theirs.iloc[0][keys]
        cell = _cell_for(found, dataset, None if ratio != ratio else ratio)
        have = set(cell.series["method"]) if cell is not None else set()
        absent = [m for m in theirs["method"].unique() if m not in have]
        name = dataset if ratio != ratio else f"{dataset}-r{ratio:g}"
        ours = [method_title(str(m)) for m in absent if m in known_methods()]
        theirs_alone = [method_title(str(m)) for m in absent if m not in known_methods()]
        if ours:
            preset = f"paper/{name}"
            cell_flags = f"--dataset {dataset} --imbalance-ratio {ratio:g}"
            flags = f"--preset {preset}" if preset in load_all() else cell_flags
            out.append(f"{name}: {', '.join(ours)}; `ltbench run {flags}`")
        if theirs_alone:
            out.append(f"{name}: {', '.join(theirs_alone)}; no method of that name is installed")
        for metric in theirs["metric"].unique():
            if cell is not None and _our_measure(cell, str(metric), "overall") is None:
                extractor = _OURS[str(metric)][0][1]
                out.append(
                    f"{name}: {_TITLES[str(metric)][:-2]}; `ltbench evaluate RUN --extractors {extractor}`"
                )
    return out


def _cell_for(found: list[Cell], dataset: str, ratio: float | None) -> Cell | None:
    """Return the published split's cell: no other class order, split, size or head count."""
    for cell in found:
        plain = cell.label == f"{dataset}, ratio {cell.imbalance_ratio:g}"
        as_is = ratio is None and cell.dataset == dataset and "class order" not in cell.label
        if as_is or (plain and cell.dataset == dataset and cell.imbalance_ratio == ratio):
            return cell
    return None


def _candidates(cell: Cell | None) -> pd.DataFrame:
    """Return for each method and setting its most trained, most finely sampled series."""
    if cell is None:
        return pd.DataFrame(columns=["series", "method", "label"])
    best = cell.series.sort_values(["step", "nfe"], kind="stable").drop_duplicates(
        ["method", "variant", "differs", "guidance"], keep="last"
    )
    return best.sort_index()


def _our_measure(cell: Cell, metric: str, scope: str) -> pd.Series | None:
    """Return the measure that stands for a published metric, the papers' protocol before others."""
    measures = cell.measures(scope)
    for name, extractor in _OURS.get(metric, []):
        match = measures[(measures["metric"] == name) & (measures["extractor"] == extractor)]
        if len(match):
            return match.sort_values("n_generated").iloc[-1]
    return None
