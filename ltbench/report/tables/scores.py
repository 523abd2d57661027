"""Tables of scores: overall, every setting, head to tail, the tail, pooled groups, per class, and the league."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ltbench.report.cells import CellResults, main_protocols, shown_blocks
from ltbench.report.names import (
    MISSING,
    describe_series,
    group_title,
    integer,
    metric_title,
    number,
    output_of,
)
from ltbench.report.tables.grid import (
    Column,
    Entry,
    Table,
    Tags,
    bold_of,
    floor_text,
    grid,
    measure_columns,
    measure_titles,
    measured_as,
    protocol_columns,
    row_labels,
    score_entry,
    series_tags,
    spread_notes,
)
from ltbench.runs.provenance import training_cost
from ltbench.runs.run import Run

_MOST_ROWS = 12  # series in the overall table; a cell with more shows the main protocols
_WIDEST = 8  # series side by side in a per-class table
# Measures of the tail table, by what they say.
_TAIL = ("frechet", "agreement", "precision", "density", "recall", "coverage", "vendi", "memorisation_rate")


def overall_table(cell: CellResults) -> Table:
    """Build the table of overall scores of one data cell: a row a series, a column a measure.

    A cell with many settings shows the main protocol at every guidance; `settings_table` has them all.
    """
    many = len(cell.series) > _MOST_ROWS
    blocks = main_protocols(cell) if many else shown_blocks(cell, cell.series)
    table = _overall(cell, blocks, f"overall-{cell.slug}", f"Overall scores, {cell.label}")
    left_out = len(cell.series) - sum(map(len, blocks))
    if left_out:
        table.notes.append(
            f"{left_out} more settings (samplers, steps, hyper-parameters): see every setting."
        )
    return table


def settings_table(cell: CellResults) -> Table | None:
    """Build the table of every setting that was run (samplers, steps, hyper-parameters), where that is more."""
    if len(cell.series) <= _MOST_ROWS:
        return None
    blocks = shown_blocks(cell, cell.series)
    return _overall(cell, blocks, f"settings-{cell.slug}", f"Every setting, overall scores, {cell.label}")


def _overall(cell: CellResults, blocks: list[pd.DataFrame], name: str, title: str) -> Table:
    shown = set(pd.concat(blocks)["series"])
    measures = cell.measures("overall")
    kept = [bool(shown & set(cell.column("overall", m).index)) for _, m in measures.iterrows()]
    measures = measures[kept]
    notes = [measured_as(measures, "overall"), *spread_notes(cell, pd.concat(blocks))]
    return grid(cell, blocks, measure_columns(cell, measures, "overall"), name=name, title=title, notes=notes)


def groups_table(cell: CellResults) -> Table | None:
    """Build the table of Frechet distances by group of classes, means over classes; None where none were measured."""
    measure = cell.frechet("group")
    if measure is None:
        return None
    columns = [Column(group_title(g), measure, "group", g, sizes=False) for g in cell.groups()]
    title = metric_title("frechet", measure["extractor"])
    notes = [
        f"{title.rstrip(' ↓')} of each class, averaged{_members(cell)}; macro: over all classes. In brackets: 95 % t "
        "interval of the mean over training seeds, none for one seed. Bold as in the overall table."
    ]
    name = f"groups-{cell.slug}"
    full = f"{title} by group, mean over classes, {cell.label}"
    return grid(cell, main_protocols(cell), columns, name=name, title=full, notes=notes, intervals=True)


def pooled_table(cell: CellResults) -> Table | None:
    """Build the table of groups whose images are pooled into one set, as CM, CCUA and UTLO report; None without any."""
    measures = cell.measures("pooled").drop_duplicates("metric")
    if measures.empty:
        return None
    columns = [
        Column(
            f"{title.rstrip(' ↓↑')}, {group_title(g)}{title[-2:] if title[-1] in '↓↑' else ''}",
            m,
            "pooled",
            g,
            sizes=False,
        )
        for title, (_, m) in zip(measure_titles(measures), measures.iterrows(), strict=True)
        for g in cell.groups("pooled")
    ]
    labels = _group_labels(cell)
    notes = [
        "One value of all the group's images as one set: not the mean over its classes, and never in one column "
        f"with it.{f' Groups: {labels}.' if labels else ''}"
    ]
    title = f"Pooled groups, {cell.label}"
    return grid(cell, main_protocols(cell), columns, name=f"pooled-{cell.slug}", title=title, notes=notes)


def _group_labels(cell: CellResults) -> str:
    """Say which classes a grouping's groups hold, where the scores state it."""
    if "labels" not in cell.points:
        return ""
    rows = cell.points[(cell.points["scope"] == "pooled").to_numpy()]
    rows = rows[["class_or_group", "grouping", "labels"]].astype(str).drop_duplicates()
    return "; ".join(
        f"{g} ({grouping}): {labels}" for g, grouping, labels in rows.itertuples(index=False) if labels
    )


def _members(cell: CellResults) -> str:
    """Say which training counts the groups hold, where the shares are thirds as the scores make them."""
    counts = cell.classes()["n_train"].to_numpy()
    third = len(counts) // 3
    if third == 0 or not np.isfinite(counts).all() or "tail" not in cell.groups():
        return ""
    head, tail = counts[third - 1], counts[-third]
    sizes = f"head: {integer(head)} or more images; tail: {integer(tail)} or fewer"
    return f" over thirds of the classes by training count ({sizes})"


def tail_table(cell: CellResults) -> Table | None:
    """Build the table of the tail's fidelity, diversity and memorisation; None where no group was scored."""
    measures = cell.measures("group")
    measures = measures[measures["metric"].isin(_TAIL)].drop_duplicates("metric")
    if measures.empty or "tail" not in cell.groups():
        return None
    measures = measures.assign(rank=measures["metric"].map(_TAIL.index)).sort_values("rank")
    notes = [
        "Means over the tail's classes, ± standard deviation over training seeds. Fidelity: FD, agreement (share "
        "of images that a classifier of real images gives their label), precision, density; diversity: recall, "
        "coverage, Vendi; memorised: share of images nearer to a training image than real images are. Last row: "
        "real against real, or the value that is expected of real images."
    ]
    title = f"Fidelity, diversity and memorisation in the tail, {cell.label}"
    columns = measure_columns(cell, measures, "group", "tail")
    return grid(cell, main_protocols(cell), columns, name=f"tail-{cell.slug}", title=title, notes=notes)


# -- per class ------------------------------------------------------------------------------------------------


def per_class_tables(cell: CellResults) -> list[Table]:
    """Build one table a measure: a row a class (head to tail) and a group, a column a series.

    Where fewer images are held out than generated, a second table gives the Frechet distances at the floor's
    size; those of the other measures are in summary.csv.
    """
    blocks = shown_blocks(cell, cell.series)
    if len(cell.series) > _WIDEST:
        blocks = main_protocols(cell)
        blocks = blocks if sum(map(len, blocks)) <= _WIDEST else blocks[:1]
    shown = set(pd.concat(blocks)["series"])
    measures = cell.measures("class")
    measures = measures[[_any_class(cell, m, shown) for _, m in measures.iterrows()]]
    out = []
    for (_, measure), title in zip(measures.iterrows(), measure_titles(measures), strict=True):
        out.append(_per_class_table(cell, blocks, measures.loc[[measure.name]], title))
        if measure["metric"] == "frechet" and _any_class(cell, measure, shown, "at_floor_n"):
            out.append(_per_class_table(cell, blocks, measures.loc[[measure.name]], title, "at_floor_n"))
    return out


def _any_class(cell: CellResults, measure: pd.Series, shown: set[str], role: str = "") -> bool:
    return any(
        shown & set(cell.column("class", measure, c, role).index) for c in cell.classes()["class_or_group"]
    )


def _per_class_table(
    cell: CellResults, blocks: list[pd.DataFrame], measures: pd.DataFrame, title: str, role: str = ""
) -> Table:
    measure = measures.iloc[0]
    output = output_of(measure["metric"])
    shown = pd.concat(blocks, ignore_index=True)
    if len(shown) < len(cell.series):
        shown = describe_series(shown.drop(columns=["label", "differs"]))
    classes = cell.classes()
    places = [("class", str(c), n) for c, n in classes.itertuples(index=False)]
    places += [("group", g, np.nan) for g in cell.groups()]
    rows = []
    missing: dict[str, None] = {}
    for scope, place, n_train in places:
        column = Column(title, measure, scope, place, role, sizes=scope == "class")
        found = cell.column(scope, measure, place, role, column.sizes)
        if found.empty and scope == "group":
            continue
        bold = bold_of(cell, blocks, column)
        name = cell.class_name(place) if scope == "class" else group_title(place)
        if why := cell.reason(scope, place, measure["metric"]):
            missing[f"{name}: {why}"] = None
        rows.append(
            [Entry(name), Entry(integer(n_train) if scope == "class" else "")]
            + [score_entry(found, key, output.decimals, key in bold) for key in shown["series"]]
            + [Entry(floor_text(cell, column, output.decimals))]
        )
    several = any(len(seeds) > 1 for seeds in shown["train_seeds"])
    notes = [
        protocol_columns(shown)[1],
        measured_as(measures, "class"),
        "As many images as the floor has, whichever is fewer of generated and held out." if role else "",
        "Mean ± standard deviation over training seeds; bold as in the overall table." if several else "",
        f"{len(shown)} of {len(cell.series)} settings are shown; summary.csv has all."
        if len(shown) < len(cell.series)
        else "",
        f"{MISSING}: {'; '.join(missing)}." if missing else "",
    ]
    suffix = ", at the floor's sample size" if role else ""
    extractor = f"-{measure['extractor']}" if measure["extractor"] else ""
    name = f"per-class-{measure['metric']}{'-at-floor-size' if role else ''}{extractor}-{cell.slug}"
    tags: list[Tags] = [{}, {}, *(series_tags(one) for _, one in shown.iterrows()), {}]
    return Table(
        name,
        f"{title} per class{suffix}, {cell.label}",
        ["Class", "Training images", *shown["label"], output.companion[1] if output.companion else "Floor"],
        rows,
        1,
        (len(classes),) if len(rows) > len(classes) else (),
        [note for note in notes if note],
        column_tags=tags,
    )


# -- the league -----------------------------------------------------------------------------------------------


def league_table(cell: CellResults, runs: Mapping[str, Run]) -> Table | None:
    """Build the small table that leads: distance overall and in the tail, recall, memorisation, passes and cost.

    Each number has beside it what it is read against; where the floor has fewer images than the score, the score
    at the floor's n is the one shown.
    """
    wanted = [
        ("frechet", "overall", "", "{}"),
        ("frechet", "group", "tail", "{}, tail"),
        ("recall", "overall", "", "{}"),
        ("memorisation_rate", "group", "tail", "{}, tail"),
    ]
    blocks = main_protocols(cell)
    series = pd.concat(blocks, ignore_index=True)
    columns: list[Column] = []
    for metric, scope, place, template in wanted:
        measure = cell.leading(metric, scope)
        if measure is None or (place and place not in cell.groups()):
            continue
        at_floor = len(cell.column(scope, measure, place, "at_floor_n", sizes=scope == "overall")) > 0
        role = "at_floor_n" if at_floor and output_of(metric).companion is None else ""
        title = template.format(metric_title(metric, measure["extractor"], arrow=False))
        columns.append(Column(title, measure, scope, place, role, scope == "overall"))
    if not columns:
        return None
    costs = {s["series"]: _flops(s, runs) for _, s in series.iterrows()}
    base = next(
        (c for s, c in zip(series["method"], costs.values(), strict=True) if s == "ddpm" and c == c), np.nan
    )
    headers, texts = ["Method"], [[Entry(label)] for label in row_labels(series)]
    for column in columns:
        output = output_of(column.measure["metric"])
        headers += [column.title + {"lower": " ↓", "higher": " ↑", None: ""}[output.better]]
        headers.append(output.companion[1].lower() if output.companion else "floor")
        found = cell.column(column.scope, column.measure, column.place, column.role, column.sizes)
        bold = bold_of(cell, blocks, column)
        beside = floor_text(
            cell, Column(column.title, column.measure, column.scope, column.place, "", False), output.decimals
        )
        for row, key in zip(texts, series["series"], strict=True):
            row.append(score_entry(found, key, output.decimals, key in bold))
            row.append(Entry(beside.split(" ±")[0] if row[-1].text != MISSING else ""))
    headers += ["NFE", "Training cost", "ω", "Seeds"]
    for row, (_, one) in zip(texts, series.iterrows(), strict=True):
        cost = costs[one["series"]]
        relative = f"{cost / base:.2f}x" if base == base else f"{cost:.2g} FLOPs"
        row += [
            Entry(integer(one["nfe"])),
            Entry(relative if cost == cost else MISSING),
            Entry(number(one["guidance"], 1)),
            Entry(str(len(one["train_seeds"]))),
        ]
    at_floor = any(column.role for column in columns)
    notes = [
        ("Scores are at the floor's number of images, so that the two may be compared. " if at_floor else "")
        + "Bold: best of one guidance, and what cannot be told from it (Holm, 5 %). "
        + (f"Cost: FLOPs of training relative to DDPM's {base:.2g}. " if base == base else "")
        + protocol_columns(series)[1]
    ]
    return Table(
        f"league-{cell.slug}",
        f"League, {cell.label}",
        headers,
        texts,
        1,
        tuple(int(i) for i in np.cumsum([len(b) for b in blocks])[:-1]),
        notes,
        row_tags=[series_tags(one) for _, one in series.iterrows()],
    )


def _flops(series: pd.Series, runs: Mapping[str, Run]) -> float:
    """Return the FLOPs of training up to the series' step, as recorded, or nan."""
    counted = (training_cost(runs[name].provenance, series["step"])[1] for name in series["runs"])
    return next((flops for flops in counted if np.isfinite(flops)), float("nan"))
