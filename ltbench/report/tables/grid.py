"""The one score grid: from a data cell, rows of series and columns of measures at places to a table with floors.

A column is a measure at a place (all images, a class, a group) in a role (the score, or its value at the floor's
sample size). Beside each score stands what it is read against: a floor of real images, or the value that chance or
a ceiling gives. Bold marks the best of a block and all that cannot be told from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ltbench.diffusion.registry import kind
from ltbench.report.cells import CellResults
from ltbench.report.names import (
    MISSING,
    arrow_of,
    forward_passes,
    guidance_text,
    integer,
    mean_sd,
    metric_title,
    output_of,
    seeds_text,
)
from ltbench.stats import best_and_ties, t_half_width

FLOOR = "real vs real (floor)"
Tags = Mapping[str, str]
_UNTAGGED: Tags = {}


@dataclass(frozen=True)
class Entry:
    """One table cell: its text, bold or not."""

    text: str
    bold: bool = False


@dataclass(frozen=True)
class Table:
    """A table before it is printed.

    Attributes
    ----------
    name : file name without suffix.
    title : one line.
    columns : headers.
    rows : entries, one list a row.
    text_columns : how many of the first columns are left-aligned text; `settings` of the last ones are too.
    rules : indices of rows that have a rule above them.
    notes : sentences below the table: what was measured, on what, with what.
    settings : how many of the last columns say how the row was made: after the numbers, so that these show first.
    row_tags, column_tags : what a filter knows of a row or column (``method``, ``guidance``, ``floor``).
    """

    name: str
    title: str
    columns: list[str]
    rows: list[list[Entry]]
    text_columns: int = 1
    rules: tuple[int, ...] = ()
    notes: list[str] = field(default_factory=list)
    settings: int = 0
    row_tags: list[Tags] = field(default_factory=list)
    column_tags: list[Tags] = field(default_factory=list)

    def is_text(self, column: int) -> bool:
        """Tell whether a column is left-aligned text."""
        return column < self.text_columns or column >= len(self.columns) - self.settings

    def row_tag(self, row: int) -> Tags:
        """Return what a filter knows of a row."""
        return self.row_tags[row] if row < len(self.row_tags) else _UNTAGGED

    def column_tag(self, column: int) -> Tags:
        """Return what a filter knows of a column."""
        return self.column_tags[column] if column < len(self.column_tags) else _UNTAGGED


@dataclass(frozen=True)
class Column:
    """What one column of a grid holds.

    Attributes
    ----------
    title : its header.
    measure : a row of `CellResults.measures`.
    scope, place : all images, or a class or group of them.
    role : "" for the score, ``at_floor_n`` for its value at the floor's sample size.
    sizes : whether the measure's sample sizes are the column's; not where the measure is another scope's.
    """

    title: str
    measure: pd.Series
    scope: str = "overall"
    place: str = ""
    role: str = ""
    sizes: bool = True


def measure_columns(cell: CellResults, measures: pd.DataFrame, scope: str, place: str = "") -> list[Column]:
    """Return a column a measure, and after it the score at the floor's size where that is another than its own."""
    out = []
    for title, (_, measure) in zip(measure_titles(measures), measures.iterrows(), strict=True):
        out.append(Column(title, measure, scope, place))
        if (
            len(cell.column(scope, measure, place, "at_floor_n"))
            and output_of(measure["metric"]).companion is None
        ):
            name, arrow = _without_arrow(title)
            out.append(Column(f"{name} at the floor's n{arrow}", measure, scope, place, "at_floor_n"))
    return out


def grid(
    cell: CellResults,
    blocks: Sequence[pd.DataFrame],
    columns: Sequence[Column],
    *,
    name: str,
    title: str,
    notes: Sequence[str] = (),
    intervals: bool = False,
) -> Table:
    """Build a table of scores: a row a series in blocks of one protocol, a column a `Column`, floors below.

    Parameters
    ----------
    cell
        The data cell whose scores are shown.
    blocks
        Series that may be compared with one another; bold is decided within each.
    columns
        What is shown, from left to right.
    name, title
        Of the table.
    notes
        Sentences below it.
    intervals
        Print 95 % t intervals over seeds in place of standard deviations.
    """
    series = pd.concat(blocks, ignore_index=True)
    settings, constants = protocol_columns(series)
    rows: list[list[Entry]] = [[Entry(label)] for label in row_labels(series)]
    floors: list[Entry] = [Entry(FLOOR)]
    missing: dict[str, None] = {}
    for column in columns:
        decimals = output_of(column.measure["metric"]).decimals
        found = cell.column(column.scope, column.measure, column.place, column.role, column.sizes)
        bold = bold_of(cell, blocks, column)
        for row, key in zip(rows, series["series"], strict=True):
            row.append(score_entry(found, key, decimals, key in bold, intervals))
            if row[-1].text == MISSING and (
                why := cell.reason(column.scope, column.place, column.measure["metric"])
            ):
                missing[f"{column.title.rstrip(' ↓↑')}: {why}"] = None
        floors.append(Entry("" if column.role else floor_text(cell, column, decimals)))
    for row, texts in zip(rows, zip(*(t for _, t in settings), strict=True), strict=True):
        row += [Entry(text) for text in texts]
    tags: list[Tags] = [series_tags(one) for _, one in series.iterrows()]
    ends = tuple(int(i) for i in np.cumsum([len(block) for block in blocks]))
    if any(entry.text not in (MISSING, "") for entry in floors[1:]):
        rows.append([*floors, *[Entry("") for _ in settings]])
        tags.append({"floor": "1"})
    dashes = f"{MISSING}: not measured." if not missing else f"{MISSING}: {'; '.join(missing)}."
    dash = any(e.text == MISSING for row in rows for e in row)
    return Table(
        name,
        title,
        ["Method", *(c.title for c in columns), *(header for header, _ in settings)],
        rows,
        1,
        tuple(end for end in ends if end < len(rows)),
        [n for n in (constants, *notes, dashes if dash else "") if n],
        len(settings),
        tags,
    )


def series_tags(series: pd.Series) -> Tags:
    """Return what a filter knows of a series."""
    guidance = series["guidance"]
    return {"method": series["method"], "guidance": f"{guidance:g}" if guidance == guidance else ""}


def row_labels(series: pd.DataFrame) -> list[str]:
    """Name rows by their label, and by guidance and settings where labels repeat between blocks."""
    labels = list(series["label"])
    for column, show in (
        ("guidance", "ω={:g}"),
        ("sampler", "{}"),
        ("step", "step {:,.0f}"),
        ("series", "{}"),
    ):
        again = {label for label in labels if labels.count(label) > 1}
        for label in again:
            at = [i for i, other in enumerate(labels) if other == label]
            values = series[column].iloc[at]
            if len(set(map(str, values))) > 1:
                for i, value in zip(at, values, strict=True):
                    labels[i] = f"{label}, {show.format(value)}" if value == value else label
    return labels


def bold_of(cell: CellResults, blocks: Sequence[pd.DataFrame], column: Column) -> set[str]:
    """Return the series to print bold: in each block the best, and what cannot be told from it."""
    better = output_of(column.measure["metric"]).better
    wide = cell.by_seed(column.scope, column.measure, column.place, column.role, column.sizes)
    bold: set[str] = set()
    for block in blocks:
        for _, rows in block.groupby(block["sampler"].map(kind), sort=False):
            bold |= best_and_ties(wide[[k for k in rows["series"] if k in wide]], better)
    return bold


def score_entry(
    column: pd.DataFrame, series: str, decimals: int, bold: bool = False, interval: bool = False
) -> Entry:
    """Print one mean ± sd (or [t interval]) of a `CellResults.column`; a dash where it was not measured."""
    if series not in column.index:
        return Entry(MISSING)
    mean, sd, n = (float(column[name].loc[series]) for name in ("mean", "sd", "n"))
    if not interval or not n > 1:
        return Entry(mean_sd(mean, sd, decimals), bold)
    half = t_half_width(sd, int(n))
    return Entry(f"{mean:.{decimals}f} [{mean - half:.{decimals}f}, {mean + half:.{decimals}f}]", bold)


def floor_text(cell: CellResults, column: Column, decimals: int) -> str:
    """Print what a score is read against: its floor over repeated draws with its own n, or its companion's value."""
    measure = column.measure
    if companion := output_of(measure["metric"]).companion:
        beside = measure.copy()
        beside["metric"] = companion[0]
        points = cell.points_of(column.scope, beside, column.place, sizes=False)
        return mean_sd(float(points["value"].mean()), np.nan, decimals) if len(points) else MISSING
    mean, sd, n = cell.floor(column.scope, measure, column.place)
    text = mean_sd(mean, sd, decimals)
    if text != MISSING and column.sizes and n == n and n != measure["n_generated"]:
        text += f" (n={n:,.0f})"
    return text


def measure_titles(measures: pd.DataFrame) -> list[str]:
    """Name measures; where two would print alike, what differs tells them apart."""
    titles = [metric_title(m["metric"], m["extractor"]) for _, m in measures.iterrows()]
    for column, show in (
        ("extractor", str),
        ("definition", str),
        ("n_generated", "n={:,.0f}".format),
        ("reference", "{}".format),
        ("n_reference", "{:,.0f} real".format),
        ("extractor_hash", "extractor {:.8}".format),
        ("reference_hash", "reference {:.8}".format),
    ):
        for title in {t for t in titles if titles.count(t) > 1}:
            at = [i for i, t in enumerate(titles) if t == title]
            values = measures.iloc[at][column]
            if len(values.unique()) > 1:
                for i, value in zip(at, values, strict=True):
                    name, arrow = _without_arrow(title)
                    titles[i] = f"{name} ({show(value)}){arrow}"
    return titles


def _without_arrow(title: str) -> tuple[str, str]:
    return (title[:-2], title[-2:]) if title[-1] in "↓↑" else (title, "")


def protocol_columns(series: pd.DataFrame) -> tuple[list[tuple[str, list[str]]], str]:
    """Split what describes series into columns that differ and a sentence of what is alike."""
    columns: list[tuple[str, list[str]]] = []
    same = []
    for header, name, show in (
        ("Guidance ω", "guidance", guidance_text),
        ("Variant", "variant", str),
        ("Settings", "differs", str),
        ("Step", "step", integer),
        ("Sampler", "sampler", str),
        ("NFE", "nfe", integer),
        ("Origin", "origin", str),
    ):
        texts = [show(v) for v in series[name]]
        if name == "nfe" and len(set(texts)) > 1 and len(set(forward_passes(series).map(str))) == 1:
            every = sorted(set(texts), key=lambda t: int(t.replace(",", "")))
            same.append(f"NFE {' or, with guidance, '.join(every)}")
        elif len(set(texts)) > 1:
            columns.append((header, [t or "" for t in texts]))
        elif texts[0] and name != "differs" and texts[0] not in ("ours", MISSING):
            same.append(f"{header[:1].lower() + header[1:] if header != 'NFE' else header} {texts[0]}")
    kinds = {kind(s) for s in series["sampler"]}
    if len(kinds) == 1 and kinds != {"unknown"}:
        same.append(f"a scale of guidance under a {kinds.pop()} sampler")
    columns.append(("Seeds", [seeds_text(s) for s in series["train_seeds"]]))
    return columns, (f"All rows: {', '.join(same)}." if same else "")


def measured_as(measures: pd.DataFrame, scope: str) -> str:
    """Say what the numbers of some measures are: definition, extractor, images generated and real."""
    titles = dict(zip(measures.index, measure_titles(measures), strict=True))
    what = []
    for _, rows in measures.groupby(["n_generated", "n_reference", "reference"], sort=False):
        told = "; ".join(
            f"{titles[i].rstrip(' ↓↑')} ({', '.join(_told(m, titles[i]))})" for i, m in rows.iterrows()
        )
        first = rows.iloc[0]
        made, real = integer(first["n_generated"]), integer(first["n_reference"])
        per = " a class" if scope in ("class", "group") else ""
        what.append(f"{made} generated against {real} real images of {first['reference']}{per}: {told}")
    return ". ".join(what) + "."


def _told(measure: pd.Series, title: str) -> list[str]:
    """Name definition and extractor, the latter unless the title does."""
    extractor = measure["extractor"]
    return [*([extractor] if extractor and f"({extractor})" not in title else []), measure["definition"]]


def spread_notes(cell: CellResults, series: pd.DataFrame) -> list[str]:
    """Say what spread, bold and floor mean, and what these seeds cannot say."""
    if any(len(seeds) > 1 for seeds in series["train_seeds"]):
        notes = [
            "Mean ± standard deviation over training seeds at one sampling seed; bold, among the rows of one protocol: "
            "the best mean and all that cannot be told from it (paired t tests, Holm's correction over all pairs of "
            "rows at 5 %), so that an equal row is left plain in one column of twenty."
        ]
    else:
        notes = ["One training seed: no spread, and no row is marked as best."]
    if (cell.points["role"] == "floor").any():
        notes.append(
            "Floor: held-out real images against the same reference, ± over repeated draws; n: its images, where "
            "they are fewer than the score's. Then the score at the floor's n is the one to read against it."
        )
    again = [
        f"{label} {', '.join(map(str, seeds))}"
        for label, seeds in zip(series["label"], series["sample_seeds"], strict=True)
        if len(seeds) > 1
    ]
    if again:
        notes.append(
            f"Sampled more than once ({'; '.join(again)}): that spread is kept apart, in summary.csv."
        )
    return notes


__all__ = [
    "FLOOR",
    "Column",
    "Entry",
    "Table",
    "Tags",
    "arrow_of",
    "bold_of",
    "floor_text",
    "grid",
    "measure_columns",
    "measure_titles",
    "measured_as",
    "protocol_columns",
    "row_labels",
    "score_entry",
    "series_tags",
    "spread_notes",
]
