"""Tables of classes and of head, middle and tail: what an overall score hides."""

import numpy as np
import pandas as pd

from ltbench.report.aggregate import Cell, main_protocols
from ltbench.report.naming import (
    COMPANIONS,
    MISSING,
    class_title,
    describe_series,
    group_title,
    integer,
    metric_style,
    number,
)
from ltbench.report.tables import (
    FLOOR,
    Entry,
    SeriesRows,
    Table,
    at_place,
    bold_in_blocks,
    floor_text,
    measure_titles,
    protocol_columns,
    score_entry,
    shown_blocks,
    slug,
    table_notes,
)
from ltbench.stats import t_half_width

_WIDEST = 8  # series side by side in a per-class table
# Measures of the tail table, by what they say.
_TAIL = ("frechet", "agreement", "precision", "density", "recall", "coverage", "vendi", "memorisation_rate")


def per_class_tables(cell: Cell) -> list[Table]:
    """Build one table a measure: a row a class (head to tail) and a group, a column a series.

    Where fewer images are held out than generated, a second table gives the Frechet distances at the floor's
    size; those of the other measures are in summary.csv.
    """
    blocks = shown_blocks(cell, cell.series)
    if len(cell.series) > _WIDEST:
        blocks = main_protocols(cell)
        blocks = blocks if sum(map(len, blocks)) <= _WIDEST else blocks[:1]
    measures = cell.measured("class", blocks)
    out = []
    for (_, measure), title in zip(measures.iterrows(), measure_titles(measures), strict=True):
        out.append(_per_class_table(cell, blocks, measures.loc[[measure.name]], title))
        if measure["metric"] == "frechet" and len(cell.summary_of("class", measure, "at_floor_n")):
            out.append(_per_class_table(cell, blocks, measures.loc[[measure.name]], title, "at_floor_n"))
    return out


def _per_class_table(
    cell: Cell, blocks: list[pd.DataFrame], measures: pd.DataFrame, title: str, role: str = ""
) -> Table:
    measure = measures.iloc[0]
    style = metric_style(measure["metric"])
    shown = cell.series[cell.series["series"].isin(pd.concat(blocks)["series"])]
    if sum(map(len, blocks)) < len(cell.series):
        shown = describe_series(shown.drop(columns=["label", "differs"]))
    classes = cell.classes()
    places = [("class", c, n) for c, n in classes.itertuples(index=False)]
    places += [("group", g, np.nan) for g in cell.groups()]
    rows = []
    for scope, place, n_train in places:
        sizes = scope == "class"
        summary = at_place(cell.summary_of(scope, measure, role, sizes), place).set_index("series")
        if summary.empty and scope == "group":
            continue
        bold = bold_in_blocks(
            at_place(cell.points_of(scope, measure, role, sizes), place), blocks, style.better
        )
        name = class_title(cell.dataset, place) if scope == "class" else group_title(place)
        rows.append(
            [Entry(name), Entry(integer(n_train) if scope == "class" else "")]
            + [score_entry(summary, key, style.decimals, key in bold) for key in shown["series"]]
            + [Entry(floor_text(cell, scope, measure, place, style.decimals))]
        )
    suffix = ", at the floor's sample size" if role else ""
    file = slug(measure["metric"]) + ("-at-floor-size" if role else "")
    return Table(
        "-".join(("per-class", file, slug(measure["extractor"]), slug(cell.label))),
        f"{title} per class{suffix}, {cell.label}",
        ["Class", "Training images", *shown["label"], COMPANIONS.get(measure["metric"], ("", "Floor"))[1]],
        rows,
        1,
        (len(classes),) if len(rows) > len(classes) else (),
        _per_class_notes(cell, shown, measures, role),
    )


def _per_class_notes(cell: Cell, shown: pd.DataFrame, measures: pd.DataFrame, role: str) -> list[str]:
    what, *_ = table_notes(cell, measures, "class")
    several = any(len(seeds) > 1 for seeds in shown["train_seeds"])
    spread = "Mean ± standard deviation over training seeds; bold as in the overall table." if several else ""
    if role:
        spread = f"As many images as the floor has, whichever is fewer of generated and held out. {spread}"
    if len(shown) < len(cell.series):
        spread += f" {len(shown)} of {len(cell.series)} settings are shown; summary.csv has all."
    return [protocol_columns(shown)[1], what, spread.strip()]


def groups_table(cell: Cell) -> Table | None:
    """Build the table of Frechet distances by shot group with t intervals; None where none were measured."""
    measures = cell.measures("group")
    measures = measures[measures["metric"] == "frechet"].head(1)
    if measures.empty:
        return None
    measure, title = measures.iloc[0], measure_titles(measures)[0]
    decimals, blocks = metric_style("frechet").decimals, main_protocols(cell)
    body = SeriesRows.of(blocks)
    floors = []
    for group in cell.groups():
        found = at_place(cell.summary_of("group", measure, sizes=False), group).set_index("series")
        bold = bold_in_blocks(at_place(cell.points_of("group", measure, sizes=False), group), blocks, "lower")
        for row, key in zip(body.rows, body.keys, strict=True):
            text = MISSING if key not in found.index else _with_interval(found.loc[[key]].iloc[0], decimals)
            row.append(Entry(text, key in bold))
        floors.append(Entry(floor_text(cell, "group", measure, group, decimals)))
    notes = [
        body.constants,
        f"{title.rstrip(' ↓')} of each class, averaged{_members(cell)}; macro: over all classes. In brackets: 95 % t "
        "interval of the mean over training seeds, none for one seed. Bold as in the overall table.",
    ]
    return Table(
        f"groups-{slug(cell.label)}",
        f"{title} by shot group, {cell.label}",
        body.headers + [group_title(group) for group in cell.groups()],
        body.with_floors(FLOOR, floors),
        len(body.headers),
        body.ends,
        notes,
    )


def _members(cell: Cell) -> str:
    """Say which training counts the groups hold, where the shares are thirds as the scores make them."""
    counts = cell.classes()["n_train"].to_numpy()
    third = len(counts) // 3
    if third == 0 or not np.isfinite(counts).all():
        return ""
    head, tail = counts[third - 1], counts[-third]
    sizes = f"head: {integer(head)} or more images; tail: {integer(tail)} or fewer"
    return f" over thirds of the classes by training count ({sizes})"


def _with_interval(row: pd.Series, decimals: int) -> str:
    text = number(row["mean"], decimals)
    if not row["n"] > 1:
        return text
    half = t_half_width(row["sd"], int(row["n"]))
    return f"{text} [{row['mean'] - half:.{decimals}f}, {row['mean'] + half:.{decimals}f}]"


def tail_table(cell: Cell) -> Table | None:
    """Build the table of the tail's fidelity, diversity and memorisation; None where no group was scored."""
    measures = cell.measures("group")
    measures = measures[measures["metric"].isin(_TAIL)].drop_duplicates("metric")
    if measures.empty or "tail" not in cell.groups():
        return None
    measures = measures.assign(rank=measures["metric"].map(_TAIL.index)).sort_values("rank")
    blocks = main_protocols(cell)
    body = SeriesRows.of(blocks)
    floors = []
    for _, measure in measures.iterrows():
        style = metric_style(measure["metric"])
        found = at_place(cell.summary_of("group", measure), "tail").set_index("series")
        bold = bold_in_blocks(at_place(cell.points_of("group", measure), "tail"), blocks, style.better)
        for row, key in zip(body.rows, body.keys, strict=True):
            row.append(score_entry(found, key, style.decimals, key in bold))
        floors.append(Entry(floor_text(cell, "group", measure, "tail", style.decimals)))
    notes = [
        body.constants,
        "Means over the tail's classes, ± standard deviation over training seeds. Fidelity: FD, agreement (share "
        "of images that a classifier of real images gives their label), precision, density; diversity: recall, "
        "coverage, Vendi; memorised: share of images nearer to a training image than real images are, beside "
        "the share expected of real ones.",
    ]
    return Table(
        f"tail-{slug(cell.label)}",
        f"Fidelity, diversity and memorisation in the tail, {cell.label}",
        body.headers + measure_titles(measures),
        body.with_floors("real vs real, or expected", floors),
        len(body.headers),
        body.ends,
        notes,
    )
