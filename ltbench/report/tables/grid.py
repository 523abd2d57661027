"""The one score grid: from a data cell, rows of series and columns of measures at places to a table with floors.

A column is a measure at a place (all images, a class, a group) in a role (the score, or its value at the floor's
sample size). Beside each score stands what it is read against: a floor of real images, or the value that chance or
a ceiling gives. Bold marks the best of a block and all that cannot be told from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ltbench.report.cell_results import CellResults, Numbers
from ltbench.report.names import MISSING, Measure, guidance_text, integer, mean_sd, seeds_text
from ltbench.report.series import Block, Series, grouped, joined, several
from ltbench.stats import best_columns, t_half_width

FLOOR = "real vs real (floor)"
Tags = Mapping[str, str]
_UNTAGGED: Tags = {}


class Bold(str):
    """A table entry that is marked: the best, or what is shown to differ."""

    __slots__ = ()


def marked(text: str, bold: bool) -> str:
    """Return a table entry, marked where `bold`."""
    return Bold(text) if bold else text


@dataclass(frozen=True)
class Table:
    """A table before it is printed.

    Attributes
    ----------
    name : file name without suffix.
    title : one line.
    columns : headers.
    rows : entries, one list a row; marked ones are `Bold`.
    text_columns : how many of the first columns are left-aligned text; `settings` of the last ones are too.
    rules : indices of rows that have a rule above them.
    notes : sentences below the table: what was measured, on what, with what.
    settings : how many of the last columns say how the row was made: after the numbers, so that these show first.
    row_tags, column_tags : what a filter knows of a row or column (``method``, ``guidance``, ``floor``).
    """

    name: str
    title: str
    columns: list[str]
    rows: list[list[str]]
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
    measure : what is measured.
    scope, place : all images, or a class or group of them.
    role : "" for the score, ``at_floor_n`` for its value at the floor's sample size.
    sizes : whether the measure's sample sizes are the column's; not where the measure is another scope's.
    """

    title: str
    measure: Measure
    scope: str = "overall"
    place: str = ""
    role: str = ""
    sizes: bool = True

    def means(self, cell: CellResults) -> dict[str, Numbers]:
        """Return its numbers by series."""
        return cell.means(self.scope, self.measure, self.place, self.role, self.sizes)

    def missing(self, cell: CellResults) -> str:
        """Say why it has no numbers, where that is on record."""
        why = cell.reason(self.scope, self.place, self.measure.metric)
        return f"{self.title.rstrip(' ↓↑')}: {why}" if why else ""

    def floor(self, cell: CellResults) -> str:
        """Print what it is read against: its floor over repeated draws with its own n, or its companion's value."""
        measure = self.measure
        if companion := measure.output.companion:
            beside = measure._replace(metric=companion[0])
            points = cell.points_of(self.scope, beside, self.place, sizes=False)
            return (
                mean_sd(float(points["value"].mean()), np.nan, measure.decimals) if len(points) else MISSING
            )
        mean, sd, n = cell.floor(self.scope, measure, self.place)
        text = mean_sd(mean, sd, measure.decimals)
        return (
            f"{text} (n={n:,.0f})"
            if text != MISSING and self.sizes and n == n != measure.n_generated
            else text
        )


def measure_columns(
    cell: CellResults, measures: Sequence[Measure], scope: str, place: str = ""
) -> list[Column]:
    """Return a column a measure, and after it the score at the floor's size where that is another than its own."""
    out = []
    for title, measure in zip(measure_titles(measures), measures, strict=True):
        out.append(Column(title, measure, scope, place))
        if cell.means(scope, measure, place, "at_floor_n") and measure.output.companion is None:
            name, arrow = split_arrow(title)
            out.append(Column(f"{name} at the floor's n{arrow}", measure, scope, place, "at_floor_n"))
    return out


def entries(cell: CellResults, blocks: Sequence[Block], column: Column, intervals: bool = False) -> list[str]:
    """Return a column's entries, a series each: mean ± sd (or [t interval]), in each block the best marked."""
    means, bold = column.means(cell), bold_of(cell, blocks, column)
    decimals = column.measure.decimals
    return [
        marked(score_text(means.get(one.key), decimals, intervals), one.key in bold) for one in joined(blocks)
    ]


def grid(
    cell: CellResults,
    blocks: Sequence[Block],
    columns: Sequence[Column],
    *,
    name: str,
    title: str,
    notes: Sequence[str] = (),
    intervals: bool = False,
) -> Table:
    """Build a table of scores: a row a series in blocks of one protocol, a column a `Column`, floors below.

    Series of one block may be compared with one another: the best is marked within each. `intervals` prints 95 % t
    intervals over seeds in place of standard deviations.
    """
    series = joined(blocks)
    settings, constants = protocol_columns(series)
    scores = [entries(cell, blocks, column, intervals) for column in columns]
    rows = [list(row) for row in zip(row_labels(series), *scores, *(t for _, t in settings), strict=True)]
    floors = ["" if column.role else column.floor(cell) for column in columns]
    reasons = [
        column.missing(cell) for column, texts in zip(columns, scores, strict=True) if MISSING in texts
    ]
    missing = list(dict.fromkeys(filter(None, reasons)))
    tags = [series_tags(one) for one in series]
    ends = tuple(int(i) for i in np.cumsum([len(block) for block in blocks]))
    if set(floors) - {MISSING, ""}:
        rows.append([FLOOR, *floors, *[""] * len(settings)])
        tags.append({"floor": "1"})
    dashes = f"{MISSING}: {'; '.join(missing) if missing else 'not measured'}."
    dash = any(MISSING in row for row in rows)
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


def series_tags(one: Series) -> Tags:
    """Return what a filter knows of a series."""
    return {"method": one.method, "guidance": one.scale}


def row_labels(series: Sequence[Series]) -> list[str]:
    """Name rows by their label, and by guidance and settings where labels repeat between blocks."""
    shown = (
        ("guidance", "ω={:g}".format),
        ("rule", str),
        ("sampler", str),
        ("step", "step {:,.0f}".format),
        ("differs", str),
        ("key", str),
    )
    return apart([one.label for one in series], series, shown, "{}, {}".format)


def apart(
    titles: list[str],
    things: Sequence[Series] | Sequence[Measure],
    attributes: Iterable[tuple[str, Callable[..., str]]],
    join: Callable[[str, str], str],
) -> list[str]:
    """Tell equal titles apart by the first attributes of their things that differ."""
    for name, show in attributes:
        for title in {t for t in titles if titles.count(t) > 1}:
            at = [i for i, t in enumerate(titles) if t == title]
            values = [getattr(things[i], name) for i in at]
            if len(set(map(str, values))) > 1:
                for i, value in zip(at, values, strict=True):
                    titles[i] = join(title, show(value)) if value == value and value != "" else title
    return titles


def bold_of(cell: CellResults, blocks: Sequence[Block], column: Column) -> set[str]:
    """Return the series to print bold: in each block the best, and what cannot be told from it."""
    better = column.measure.better
    wide = cell.by_seed(column.scope, column.measure, column.place, column.role, column.sizes)
    table, bold = wide.to_numpy(), set[str]()
    at = {key: i for i, key in enumerate(wide.columns)}
    for block in blocks:
        for rows in grouped(block, lambda one: one.kind).values():
            keys = [one.key for one in rows if one.key in at]
            best = best_columns(table[:, [at[key] for key in keys]], better)
            bold |= {key for key, yes in zip(keys, best, strict=True) if yes}
    return bold


def score_text(found: Numbers | None, decimals: int, interval: bool = False) -> str:
    """Print mean ± sd (or [t interval]); a dash where it was not measured."""
    if found is None:
        return MISSING
    if not interval or not found.n > 1:
        return mean_sd(found.mean, found.sd, decimals)
    half = t_half_width(found.sd, int(found.n))
    return f"{found.mean:.{decimals}f} [{found.mean - half:.{decimals}f}, {found.mean + half:.{decimals}f}]"


def measure_titles(measures: Sequence[Measure]) -> list[str]:
    """Name measures; where two would print alike, what differs tells them apart."""
    shown = (
        ("extractor", str),
        ("definition", str),
        ("n_generated", "n={:,.0f}".format),
        ("reference", str),
        ("n_reference", "{:,.0f} real".format),
        ("extractor_hash", "extractor {:.8}".format),
        ("reference_hash", "reference {:.8}".format),
    )

    def join(title: str, value: str) -> str:
        name, arrow = split_arrow(title)
        return f"{name} ({value}){arrow}"

    return apart([m.title for m in measures], measures, shown, join)


def split_arrow(title: str) -> tuple[str, str]:
    """Split a measure's title into its name and the arrow of its better direction."""
    return (title[:-2], title[-2:]) if title[-1] in "↓↑" else (title, "")


def protocol_columns(series: Sequence[Series]) -> tuple[list[tuple[str, list[str]]], str]:
    """Split what describes series into columns that differ and a sentence of what is alike."""
    columns: list[tuple[str, list[str]]] = []
    same = []
    shown: tuple[tuple[str, str, Callable[..., str]], ...] = (
        ("Guidance ω", "guidance", guidance_text),
        ("Variant", "variant", str),
        ("Settings", "differs", str),
        ("Step", "step", integer),
        ("Sampler", "sampler", str),
        ("NFE", "nfe", integer),
        ("Origin", "origin", str),
    )
    for header, name, show in shown:
        texts = [show(getattr(one, name)) for one in series]
        if name == "nfe" and len(set(texts)) > 1 and not several(series, "passes"):
            every = sorted(set(texts), key=lambda t: int(t.replace(",", "")))
            same.append(f"NFE {' or, with guidance, '.join(every)}")
        elif len(set(texts)) > 1:
            columns.append((header, texts))
        elif texts[0] and name != "differs" and texts[0] not in ("ours", MISSING):
            same.append(f"{header if header == 'NFE' else header[:1].lower() + header[1:]} {texts[0]}")
    kinds = {one.kind for one in series}
    if len(kinds) == 1 and kinds != {"unknown"}:
        same.append(f"a scale of guidance under a {kinds.pop()} sampler")
    columns.append(("Seeds", [seeds_text(one.train_seeds) for one in series]))
    return columns, (f"All rows: {', '.join(same)}." if same else "")


def measured_as(measures: Sequence[Measure], scope: str) -> str:
    """Say what the numbers of some measures are: definition, extractor, images generated and real."""
    titles = dict(zip(measures, measure_titles(measures), strict=True))
    per = " a class" if scope in ("class", "group") else ""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for measure, title in titles.items():
        key = integer(measure.n_generated), integer(measure.n_reference), measure.reference
        shown = measure.extractor and f"({measure.extractor})" not in title
        how = [*([measure.extractor] if shown else []), measure.definition]
        groups.setdefault(key, []).append(f"{title.rstrip(' ↓↑')} ({', '.join(how)})")
    what = (
        f"{made} generated against {real} real images of {reference}{per}: {'; '.join(each)}"
        for (made, real, reference), each in groups.items()
    )
    return f"{'. '.join(what)}."


def spread_notes(cell: CellResults, series: Sequence[Series]) -> list[str]:
    """Say what spread, bold and floor mean, and what these seeds cannot say."""
    if any(len(one.train_seeds) > 1 for one in series):
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
    again = [s for s in series if len(s.sample_seeds) > 1]
    if again:
        each = "; ".join(f"{one.label} {', '.join(map(str, one.sample_seeds))}" for one in again)
        notes.append(f"Sampled more than once ({each}): that spread is kept apart, in summary.csv.")
    return notes
