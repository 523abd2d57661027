"""The papers' tables, from ``results/published/*.csv``: their numbers, and ours where there are any.

Published numbers are one run without a spread, sampled and scored by their authors; they stand beside ours and are
never averaged or tested with them. Each carries what its source states of the protocol; blank is unknown. Which
data cells, methods and metrics there are is read off the files: a new file is a new table.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from ltbench.analysis.cell_results import CellResults
from ltbench.analysis.columns import Column
from ltbench.analysis.names import (
    MISSING,
    evaluations_text,
    integer,
    mean_sd,
    method_rank,
    method_title,
    seeds_text,
)
from ltbench.analysis.papers import OURS, Paper, papers_of, published_title
from ltbench.analysis.published_files import PROTOCOL
from ltbench.analysis.series import Series
from ltbench.report.tables.grid import Table, Tags, ends, entries

# -- the papers' tables, filled with ours -----------------------------------------------------------------------


def paper_tables(found: Sequence[CellResults], published: pd.DataFrame) -> list[Table]:
    """Fill the papers' tables with our numbers: one a published data set; what nobody has run shows dashes."""
    papers = papers_of(found, published)
    out = []
    for dataset in published["dataset"].unique():
        own = sorted((paper for paper in papers if paper.dataset == dataset), key=lambda paper: paper.order)
        metrics = [m for m in OURS if any(m in set(paper.numbers["metric"]) for paper in own)]
        columns = ["Data", "Method", *map(published_title, metrics), "Step", "Sampler", "Guidance ω", "Seeds"]
        blocks = [_paper_rows(paper, metrics) for paper in own]
        notes = [
            f"Ours only; the papers' own numbers stand beside them in a table of their own. {MISSING}: not run. Mean ± "
            "standard deviation over training seeds; bold as in the overall table. The papers' scales of guidance are "
            "those of ancestral sampling, which is stochastic."
        ]
        if metrics:
            title, rows = f"{dataset}, as the papers print it", list(itertools.chain(*blocks))
            out.append(Table(f"paper-{dataset}", title, columns, rows, 2, ends(blocks), notes, 4))
    return [*out, *filter(None, map(_paper_classes, papers))]


def _paper_rows(paper: Paper, metrics: Sequence[str]) -> list[list[str]]:
    """Return the rows of one published data cell: our series, then the methods that nobody has run."""
    name, cell = paper.name(", "), paper.cell
    dashes = [MISSING] * len(paper.series)
    columns = map(paper.column, metrics)
    scores = [dashes if c is None or cell is None else entries(cell, [paper.series], c) for c in columns]
    rows = [
        [name, one.label, *own, integer(one.step), one.sampler, one.scale_text, seeds_text(one.train_seeds)]
        for one, *own in zip(paper.series, *scores, strict=True)
    ]
    return rows + [[name, method_title(m), *[MISSING] * (len(metrics) + 4)] for m in paper.absent]


def _paper_classes(paper: Paper) -> Table | None:
    """Per-class FID of a published cell that was run: by group, and a column a class where ten or fewer."""
    cell, fid = paper.cell, paper.column("fid", "class")
    if cell is None or fid is None:
        return None
    classes = [str(c) for c in cell.classes()["class_or_group"]]
    shown = [Column(g, fid.measure.any_size, "group", g) for g in cell.groups()]
    shown += [replace(fid, title=cell.class_name(c), place=c) for c in classes if len(classes) <= 10]
    alone = [[one] for one in paper.series]  # none is marked as best
    columns = [("Method", [one.label for one in paper.series])]
    columns += [(column.title, entries(cell, alone, column)) for column in shown]
    note = f"Groups: mean of their classes' FID, by thirds of the classes; classes head to tail. {MISSING}: not run."
    return Table.of_columns(cell, "paper-per-class", "Per-class FID", columns, notes=[note])


# -- published beside ours --------------------------------------------------------------------------------------


def published_table(
    found: Sequence[CellResults], published: pd.DataFrame, every: bool = False
) -> Table | None:
    """Set each published number beside ours, with what of both protocols is on record.

    `every` shows also those of data cells that were not run; otherwise None where none of the papers' was.
    """
    rows: list[list[str]] = []
    tags: list[Tags] = []
    ranked = published.assign(rank=published["method"].map(method_rank)).sort_values("rank", kind="stable")
    for paper in sorted(papers_of(found, ranked), key=lambda paper: paper.order):
        for _, theirs in paper.numbers.groupby(["method", "metric"], sort=False):
            method, metric = theirs.iloc[0][["method", "metric"]]
            column = paper.column(metric)
            scored = column.means(paper.cell) if paper.cell is not None and column is not None else {}
            ours = [one for one in paper.series if one.method == method and one.key in scored]
            every_one: list[Series | None] = [*ours] or [None] * every
            pairs = list(itertools.product((row for _, row in theirs.iterrows()), every_one))
            rows += [_beside(paper, column, row, one) for row, one in pairs]
            tags += [{"method": method} for _ in pairs]
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


def _beside(paper: Paper, column: Column | None, theirs: pd.Series, one: Series | None) -> list[str]:
    sure = "" if theirs["confidence"] == "T" else f" ({theirs['confidence']})"
    data, label = paper.name(", ratio "), method_title(theirs["method"])
    value, difference, how = MISSING, MISSING, [""] * 7
    if paper.cell is not None and column is not None and one is not None:
        measure, found = column.measure, column.means(paper.cell)[one.key]
        data, label = paper.cell.label, one.label
        value = mean_sd(found.mean, found.sd, measure.decimals)
        difference = f"{found.mean - theirs['value']:+.{measure.decimals}f}"
        how = [one.sampler, evaluations_text(one.nfe), integer(measure.n_generated), measure.extractor]
        how += [one.scale_text, integer(one.step), seeds_text(one.train_seeds)]
    counts = [f"{int(t):,}" if t.isdecimal() else t for t in theirs[PROTOCOL]]
    texts = [data, label, published_title(theirs["metric"]), f"{theirs['value']:g}{sure}", value, difference]
    return [*texts, theirs["source"], *counts, *how]
