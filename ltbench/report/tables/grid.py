"""The one score grid: from a data cell, rows of series and columns of measures at places to a table with floors.

A column is a measure at a place (all images, a class, a group) in a role (the score, or its value at the floor's
sample size). Beside each score stands what it is read against: a floor of real images, or the value that chance or
a ceiling gives. Bold marks the best of a block and all that cannot be told from it.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ltbench.analysis.cell_results import CellResults, Numbers
from ltbench.analysis.names import ANY, MISSING, OWN, Measure, mean_sd, number
from ltbench.analysis.protocols import fewer_methods, main_protocols, protocol_of
from ltbench.analysis.series import PARTS, Block, Series, by_key, grouped, joined, stated
from ltbench.report.tables.notes import apart, measure_titles, protocol_columns, split_arrow
from ltbench.stats import best_columns, t_half_width

FLOOR = "real vs real (floor)"
Tags = Mapping[str, str]


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
    rows : entries, one list a row; marked ones are `Bold`. See `of_columns`.
    text_columns : how many of the first columns are left-aligned text; `settings` of the last ones are too.
    rules : indices of rows that have a rule above them; those of no inner row are dropped.
    notes : sentences below the table: what was measured, on what, with what; empty ones are left out.
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

    def __post_init__(self) -> None:
        inner = sorted({rule for rule in self.rules if 0 < rule < len(self.rows)})
        object.__setattr__(self, "rules", tuple(inner))
        object.__setattr__(self, "notes", [note for note in self.notes if note])
        for tags, count in ((self.row_tags, len(self.rows)), (self.column_tags, len(self.columns))):
            tags.extend([{}] * (count - len(tags)))

    @classmethod
    def of_columns(
        cls, name: str, title: str, columns: Sequence[tuple[str, Sequence[str]]], **described: Any
    ) -> Table:
        """Build a table from columns, header and entries each, and the attributes that describe it."""
        rows = [list(row) for row in zip(*(texts for _, texts in columns), strict=True)]
        return cls(name, title, [header for header, _ in columns], rows, **described)

    def is_text(self, column: int) -> bool:
        """Tell whether a column is left-aligned text."""
        return column < self.text_columns or column >= len(self.columns) - self.settings


@dataclass(frozen=True)
class Column:
    """What one column of a grid holds.

    Attributes
    ----------
    title : its header.
    measure : what is measured.
    scope, place : all images, or a class or group of them.
    role : "" for the score, ``at_floor_n`` for its value at the floor's sample size.
    """

    title: str
    measure: Measure
    scope: str = "overall"
    place: str = ""
    role: str = ""

    def means(self, cell: CellResults) -> dict[str, Numbers]:
        """Return its numbers by series."""
        return cell.means(self.scope, self.measure, self.place, self.role)

    def missing(self, cell: CellResults) -> str:
        """Say why it has no numbers, where that is on record."""
        why = cell.reasons.get((self.scope, self.place, self.measure.metric), "")
        return f"{self.title.rstrip(' ↓↑')}: {why}" if why else ""

    def generated(self, cell: CellResults) -> dict[str, float]:
        """Return how many generated images are behind each series' number."""
        return cell.generated(self.scope, self.measure, self.place, self.role)

    def floor(self, cell: CellResults, series: str = "") -> str:
        """Print what it, or one series in it, is read against: its floor over repeated draws with its own n, or its
        companion's value."""
        measure = self.measure
        if companion := measure.output.companion:
            beside = measure.any_size._replace(metric=companion[0])
            return number(cell.points_of(self.scope, beside, self.place)["value"].mean(), measure.decimals)
        mean, sd, n = cell.floor(self.scope, measure, self.place, series)
        return mean_sd(mean, sd, measure.decimals) + (f" (n={n:,.0f})" if self.at_another_n(cell) else "")

    def at_another_n(self, cell: CellResults) -> bool:
        """Tell whether its floor is of another number of images than the score."""
        _, _, n = cell.floor(self.scope, self.measure, self.place)
        own = {self.measure.n_generated}
        if OWN in own:
            own = set(cell.points_of(self.scope, self.measure, self.place)["n_generated"])
        return n == n and not own & {n, ANY}


def measure_columns(
    cell: CellResults, measures: Sequence[Measure], scope: str, place: str = ""
) -> list[Column]:
    """Return a column a measure, and after it the score at the floor's size where that is another than its own."""
    out = []
    for title, measure in zip(measure_titles(measures), measures, strict=True):
        out.append(Column(title, measure, scope, place))
        if at_floor(cell, out[-1]).role:
            name, arrow = split_arrow(title)
            out.append(Column(f"{name} at the floor's n{arrow}", measure, scope, place, "at_floor_n"))
    return out


def at_floor(cell: CellResults, column: Column) -> Column:
    """Return the column at its floor's size where that is another than its own, else the column."""
    beside = column.measure.output.companion is not None
    other = replace(column, role="at_floor_n")
    return column if beside or not other.means(cell) else other


def entries(cell: CellResults, blocks: Sequence[Block], column: Column, intervals: bool = False) -> list[str]:
    """Return a column's entries, a series each: mean ± sd (or [t interval]), in each block the best marked.

    One of another number of images than most says so: it is compared with none of theirs.
    """
    means, bold, keys = column.means(cell), bold_of(cell, blocks, column), by_key(joined(blocks))
    sizes = {key: n for key, n in column.generated(cell).items() if key in keys and n == n}
    counts = Counter(sizes.values())
    usual = max(counts, key=counts.__getitem__, default=math.nan)
    out = []
    for key in keys:
        text = score_text(means.get(key), column.measure.decimals, intervals)
        other = f" (n={sizes[key]:,.0f})" if key in sizes and sizes[key] != usual else ""
        out.append(marked(text + other, key in bold))
    return out


def grid(
    cell: CellResults,
    columns: Sequence[Column],
    name: str,
    title: str,
    notes: Sequence[str],
    *,
    blocks: Sequence[Block] | None = None,
    intervals: bool = False,
) -> Table:
    """Build a table of scores: a row a series in blocks of one protocol (else the main ones), a column a `Column`,
    floors below.

    Series of one block may be compared with one another: the best is marked within each. `intervals` prints 95 % t
    intervals over seeds in place of standard deviations.
    """
    fewer = fewer_methods(cell) if blocks is None else ""
    blocks = main_protocols(cell) if blocks is None else blocks
    series = joined(blocks)
    settings, constants = protocol_columns(series)
    scores = [entries(cell, blocks, column, intervals) for column in columns]
    floors = ["" if column.role else column.floor(cell) for column in columns]
    shown = [
        ("Method", row_labels(series), FLOOR),
        *zip([column.title for column in columns], scores, floors, strict=True),
        *((header, texts, "") for header, texts in settings),
    ]
    last = 1 if set(floors) - {MISSING, ""} else 0
    table = Table.of_columns(
        f"{name}-{cell.slug}",
        f"{title}, {cell.label}",
        [(header, [*texts, *[floor] * last]) for header, texts, floor in shown],
        rules=ends(blocks),
        notes=[constants, fewer, *notes],
        settings=len(settings),
        row_tags=[*map(series_tags, series), {"floor": "1"}],
    )
    if any(MISSING in row for row in table.rows):
        why = [c.missing(cell) for c, texts in zip(columns, scores, strict=True) if MISSING in texts]
        table.notes.append(f"{MISSING}: {'; '.join(dict.fromkeys(filter(None, why))) or 'not measured'}.")
    return table


def ends(blocks: Iterable[Sequence[object]]) -> tuple[int, ...]:
    """Return at which rows a rule stands between blocks, and after the last."""
    return tuple(itertools.accumulate(map(len, blocks)))


def series_tags(one: Series) -> Tags:
    """Return what a filter knows of a series."""
    return {"method": one.method, "guidance": one.scale}


def row_labels(series: Sequence[Series]) -> list[str]:
    """Name rows by their label, and by guidance and settings where labels repeat between blocks."""
    names = ("guidance", "rule", "sampler", "step", "differs", "key")
    shown = [(name, PARTS.get(name, "{}").format) for name in names]
    return apart([one.label for one in series], series, shown, "{}, {}".format)


def bold_of(cell: CellResults, blocks: Sequence[Block], column: Column) -> set[str]:
    """Return the series to print bold: in each block the best of one protocol and size, and what cannot be told from it."""
    wide, bold = cell.by_seed(column.scope, column.measure, column.place, column.role), set[str]()
    table, at = wide.to_numpy(), {key: i for i, key in enumerate(wide)}
    sizes = column.generated(cell)
    for block in blocks:
        alike = grouped(block, lambda one: (protocol_of(one), stated(sizes.get(one.key, math.nan))))
        for rows in alike.values():
            keys = [one.key for one in rows if one.key in at]
            values = table[:, [at[key] for key in keys]]
            positive = column.measure.better == "lower" and not (values <= 0).any()
            best = best_columns(values, column.measure.better, ratios=positive)
            bold |= {key for key, yes in zip(keys, best, strict=True) if yes}
    return bold


def score_text(found: Numbers | None, decimals: int, interval: bool = False) -> str:
    """Print mean ± sd (or [t interval]); a dash where it was not measured."""
    if found is None:
        return MISSING
    if not interval or not math.isfinite(found.sd):
        return mean_sd(found.mean, found.sd, decimals)
    half = t_half_width(found.sd, int(found.n))
    return f"{found.mean:.{decimals}f} [{found.mean - half:.{decimals}f}, {found.mean + half:.{decimals}f}]"
