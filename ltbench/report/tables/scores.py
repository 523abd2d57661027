"""Tables of scores: overall, every setting, head to tail, the tail, pooled groups, per class, and the league."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ltbench.analysis.cell_results import CellResults
from ltbench.analysis.columns import Column
from ltbench.analysis.names import (
    MISSING,
    Measure,
    arrow_of,
    evaluations_text,
    group_title,
    integer,
    measure_titles,
    method_title,
    split_arrow,
)
from ltbench.analysis.protocols import fewer_methods, main_protocols, shown_blocks
from ltbench.analysis.records import training_flops
from ltbench.analysis.series import Block, joined, labelled, row_labels, several
from ltbench.report.tables.grid import (
    Bold,
    Table,
    ends,
    entries,
    floor_text,
    grid,
    measure_columns,
    series_tags,
)
from ltbench.report.tables.notes import measured_as, protocol_columns, spread_notes
from ltbench.runs.run import Run

_MOST_ROWS = 12  # series in the overall table; a cell with more shows the main protocols
_WIDEST = 8  # series side by side in a per-class table
# Measures of the tail table, by what they say.
_TAIL = ("frechet", "agreement", "precision", "density", "recall", "coverage", "vendi", "memorisation_rate")


def overall_table(cell: CellResults) -> Table:
    """Build the table of overall scores of one data cell: a row a series, a column a measure.

    A cell with many settings shows the main protocol at every guidance; `settings_table` has them all.
    """
    blocks = main_protocols(cell) if len(cell.series) > _MOST_ROWS else shown_blocks(cell, cell.series)
    table = _overall(cell, blocks, "overall", "Overall scores")
    if left_out := len(cell.series) - len(joined(blocks)):
        more = f"{left_out} more settings (samplers, steps, hyper-parameters): see every setting."
        table.notes.append(more)
    return table


def settings_table(cell: CellResults) -> Table | None:
    """Build the table of every setting that was run (samplers, steps, hyper-parameters), where that is more."""
    if len(cell.series) <= _MOST_ROWS:
        return None
    return _overall(cell, shown_blocks(cell, cell.series), "settings", "Every setting, overall scores")


def _overall(cell: CellResults, blocks: Sequence[Block], name: str, title: str) -> Table:
    series = joined(blocks)
    shown = {one.key for one in series}
    measures = [m for m in cell.measures("overall") if shown & set(cell.means("overall", m))]
    notes = [measured_as(cell, measures, "overall"), *spread_notes(cell, series)]
    return grid(cell, measure_columns(cell, measures, "overall"), name, title, notes, blocks=blocks)


def groups_table(cell: CellResults) -> Table | None:
    """Build the table of Frechet distances by group of classes, means over classes; None where none were measured."""
    measure = cell.frechet("group")
    if measure is None:
        return None
    columns = [Column(group_title(g), measure.any_size, "group", g) for g in cell.groups()]
    notes = [
        f"{measure.plain} of each class, averaged{_members(cell)}; macro: over all classes. In brackets: 95 % t "
        "interval of the mean over training seeds, none for one seed. Bold as in the overall table."
    ]
    return grid(
        cell, columns, "groups", f"{measure.title} by group, mean over classes", notes, intervals=True
    )


def _members(cell: CellResults) -> str:
    """Say which training counts the groups hold, where the shares are thirds as the scores make them."""
    counts = cell.classes()["n_train"].to_numpy()
    third = len(counts) // 3
    if third == 0 or not np.isfinite(counts).all() or "tail" not in cell.groups():
        return ""
    head, tail = integer(counts[third - 1]), integer(counts[-third])
    return (
        f" over thirds of the classes by training count (head: {head} or more images; tail: {tail} or fewer)"
    )


def pooled_table(cell: CellResults) -> Table | None:
    """Build the table of groups whose images are pooled into one set, as CM, CCUA and UTLO report; None without any."""
    metrics = dict.fromkeys(m.metric for m in cell.measures("pooled"))
    measures = [m for metric in metrics if (m := cell.leading(metric, "pooled")) is not None]
    if not measures:
        return None
    columns = [
        Column(f"{name}, {group_title(g)}{arrow}", m.any_size, "pooled", g)
        for (name, arrow), m in zip(map(split_arrow, measure_titles(measures)), measures, strict=True)
        for g in cell.groups("pooled")
    ]
    labels = "; ".join(f"{g} ({grouping}): {held}" for g, grouping, held in cell.grouped_labels())
    notes = [
        "One value of all the group's images as one set: not the mean over its classes, and never in one column "
        f"with it.{f' Groups: {labels}.' if labels else ''}"
    ]
    return grid(cell, columns, "pooled", "Pooled groups", notes)


def tail_table(cell: CellResults) -> Table | None:
    """Build the table of the tail's fidelity, diversity and memorisation; None where no group was scored."""
    leading = [m for metric in _TAIL if (m := cell.leading(metric, "group")) is not None]
    if not leading or "tail" not in cell.groups():
        return None
    notes = [
        "Means over the tail's classes, ± standard deviation over training seeds. Fidelity: FD, agreement (share "
        "of images that a classifier of real images gives their label), precision, density; diversity: recall, "
        "coverage, Vendi; memorised: share of images nearer to a training image than real images are. Last row: "
        "real against real, or the value that is expected of real images."
    ]
    columns = measure_columns(cell, leading, "group", "tail")
    return grid(cell, columns, "tail", "Fidelity, diversity and memorisation in the tail", notes)


# -- per class ------------------------------------------------------------------------------------------------


def per_class_tables(cell: CellResults) -> list[Table]:
    """Build one table a measure: a row a class (head to tail) and a group, a column a series.

    Where fewer images are held out than generated, a second table gives the Frechet distances at the floor's
    size; those of the other measures are in summary.csv.
    """
    blocks = shown_blocks(cell, cell.series)
    if len(cell.series) > _WIDEST:
        blocks = main_protocols(cell)
        blocks = blocks if len(joined(blocks)) <= _WIDEST else blocks[:1]
    shown = {one.key for one in joined(blocks)}
    classes = list(cell.classes()["class_or_group"])

    def scored(measure: Measure, role: str = "") -> bool:
        return any(shown & set(cell.means("class", measure, c, role)) for c in classes)

    measures = [m for m in cell.measures("class") if scored(m)]
    out = []
    # a table's name does not tell sizes, references and definitions
    alike = Counter[tuple[str, str]]()
    for measure, title in zip(measures, measure_titles(measures), strict=True):
        alike[measure.metric, measure.extractor] += 1
        rank = alike[measure.metric, measure.extractor]
        roles = ["", "at_floor_n"] if measure.metric == "frechet" and scored(measure, "at_floor_n") else [""]
        out += [_per_class_table(cell, blocks, measure, title, rank, role) for role in roles]
    return out


def _per_class_table(
    cell: CellResults, blocks: Sequence[Block], measure: Measure, title: str, rank: int, role: str
) -> Table:
    shown, every = joined(blocks), len(cell.series)
    if len(shown) < every:
        shown = labelled(shown)
    labels, counts = cell.classes().to_numpy().T
    groups = [Column(group_title(g), measure.any_size, "group", g, role) for g in cell.groups()]
    columns = [Column(cell.class_name(str(c)), measure, "class", str(c), role) for c in labels]
    columns += [group for group in groups if group.means(cell)]
    images = [*map(integer, counts), *[""] * len(groups)]
    rows = [
        [c.title, n, *entries(cell, blocks, c), floor_text(cell, c)]
        for c, n in zip(columns, images, strict=False)
    ]
    spread = any(len(one.train_seeds) > 1 for one in shown)
    missing = "; ".join(dict.fromkeys(filter(None, (column.missing(cell) for column in columns))))
    notes = [
        protocol_columns(shown)[1],
        measured_as(cell, [measure], "class"),
        "As many images as the floor has, whichever is fewer of generated and held out." if role else "",
        "Mean ± standard deviation over training seeds; bold as in the overall table." if spread else "",
        f"{len(shown)} of {every} settings are shown; summary.csv has all." if len(shown) < every else "",
        f"{MISSING}: {missing}." if missing else "",
    ]
    parts = measure.metric, role and "at-floor-size", measure.extractor, str(rank) if rank > 1 else ""
    name, title = f"per-class-{'-'.join(filter(None, parts))}", f"{title} per class"
    title += ", at the floor's sample size" if role else ""
    companion = measure.output.companion
    headers = [
        "Class",
        "Training images",
        *(one.label for one in shown),
        companion[1] if companion else "Floor",
    ]
    tags = [{}, {}, *map(series_tags, shown), {}]
    return Table.of_rows(
        cell, name, title, headers, rows, rules=(len(labels),), notes=notes, column_tags=tags
    )


# -- the league -----------------------------------------------------------------------------------------------

_LEAGUE = (
    ("frechet", "overall", "", "{}"),
    ("frechet", "group", "tail", "{}, tail"),
    ("recall", "overall", "", "{}"),
    ("memorisation_rate", "group", "tail", "{}, tail"),
)


def league_table(cell: CellResults, runs: Mapping[str, Run], baseline: str) -> Table | None:
    """Build the small table that leads: distance overall and in the tail, recall, memorisation, passes and cost.

    Each number has beside it what it is read against; where the floor has fewer images than the score, the score
    at the floor's n is the one shown.
    """
    blocks = main_protocols(cell)
    series, columns = joined(blocks), []
    for metric, scope, place, template in _LEAGUE:
        measure = cell.leading(metric, scope)
        if measure is not None and (not place or place in cell.groups()):
            sizes = cell.generated(scope, measure.any_size, place)
            several_sizes = any(math.isnan(sizes.get(one.key, 0.0)) for one in series)
            measure = measure.any_size if place or not several_sizes else measure
            columns.append(Column(template.format(measure.plain), measure, scope, place).at_floor(cell))
    if not columns:
        return None
    shown: list[tuple[str, Sequence[str]]] = [("Method", row_labels(series))]
    for column in columns:
        companion = column.measure.output.companion
        plain = replace(column, measure=column.measure.any_size, role="")
        floors = [floor_text(cell, plain, one.key).split(" ±")[0].replace(MISSING, "") for one in series]
        shown += [
            (column.title + arrow_of(column.measure.metric), entries(cell, blocks, column)),
            (companion[1].lower() if companion else "floor", floors),
        ]
    costs = [training_flops(one, runs) for one in series]
    known = (cost for one, cost in zip(series, costs, strict=True) if one.method == baseline and cost == cost)
    base = next(known, math.nan)
    relative = [
        MISSING if cost != cost else f"{cost / base:.2f}x" if base == base else f"{cost:.2g} FLOPs"
        for cost in costs
    ]
    shown += [
        ("NFE", [evaluations_text(one.nfe) for one in series]),
        ("Training cost", relative),
        ("ω", [one.scale_text for one in series]),
        *([("Steps", [integer(one.step) for one in series])] if several(series, "step") else []),
        ("Seeds", [str(len(one.train_seeds)) for one in series]),
    ]
    fewer = len(main_protocols(cell, every=True)) - len(blocks)
    texts = [text for _, column_texts in shown for text in column_texts]
    sentences = [
        "Scores are at the floor's number of images, so that the two may be compared."
        if any(column.role for column in columns)
        else "",
        "Bold: best of one protocol, and what cannot be told from it (Holm, 5 %)."
        if any(isinstance(text, Bold) for text in texts)
        else "",
        "n: a number of images that is not the others', with which it is not compared."
        if any("(n=" in text for text in texts)
        else "",
        f"Cost: FLOPs of training relative to {method_title(baseline)}'s {base:.2g}." if base == base else "",
        protocol_columns(series)[1],
        f"{fewer} other settings of guidance: see every setting." if fewer > 0 else "",
        fewer_methods(cell),
    ]
    notes = [" ".join(filter(None, sentences))]
    return Table.of_columns(cell, "league", "League", shown, series=series, rules=ends(blocks), notes=notes)
