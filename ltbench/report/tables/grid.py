"""The one score grid: from a data cell, rows of series and columns of measures at places to a table with floors.

Beside each score stands what it is read against: a floor of real images, or the value that chance or a ceiling gives.
Bold marks the best of a block and all that cannot be told from it.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ltbench.analysis.cell_results import CellResults, Numbers
from ltbench.analysis.columns import Column
from ltbench.analysis.names import MISSING, Measure, mean_sd, measure_titles, number, split_arrow
from ltbench.analysis.protocols import fewer_methods, main_protocols
from ltbench.analysis.series import Block, Series, by_key, joined, row_labels
from ltbench.report.tables.notes import protocol_columns
from ltbench.stats import t_half_width

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
    rows : entries, one list a row; marked ones are `Bold`. `of_rows` and `of_columns` build a data cell's.
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
    rules: Sequence[int] = ()
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
    def of_rows(
        cls,
        cell: CellResults,
        name: str,
        title: str,
        columns: Sequence[str],
        rows: list[list[str]],
        series: Iterable[Series] = (),
        **more: Any,
    ) -> Table:
        """Build a data cell's table; `series`: what its first rows are of, for filters; `more`: its other attributes."""
        tags = {"row_tags": [*map(series_tags, series)]} | more
        return cls(f"{name}-{cell.slug}", f"{title}, {cell.label}", list(columns), rows, **tags)

    @classmethod
    def of_columns(
        cls,
        cell: CellResults,
        name: str,
        title: str,
        columns: Iterable[tuple[str, Sequence[str]]],
        **more: Any,
    ) -> Table:
        """Build a data cell's table from columns, header and entries each; see `of_rows`."""
        headers, texts = zip(*columns, strict=True)
        rows = [list(row) for row in zip(*texts, strict=True)]
        return cls.of_rows(cell, name, title, headers, rows, **more)

    def is_text(self, column: int) -> bool:
        """Tell whether a column is left-aligned text."""
        return column < self.text_columns or column >= len(self.columns) - self.settings


def measure_columns(
    cell: CellResults, measures: Sequence[Measure], scope: str, place: str = ""
) -> list[Column]:
    """Return a column a measure, and after it the score at the floor's size where that is another than its own."""
    out = []
    for title, measure in zip(measure_titles(measures), measures, strict=True):
        out.append(Column(title, measure, scope, place))
        if out[-1].at_floor(cell).role:
            name, arrow = split_arrow(title)
            out.append(Column(f"{name} at the floor's n{arrow}", measure, scope, place, "at_floor_n"))
    return out


def floor_text(cell: CellResults, column: Column, series: str = "") -> str:
    """Print what a column, or one series in it, is read against: its floor over repeated draws with its own n, or its
    companion's value."""
    decimals = column.measure.decimals
    if (companion := column.companion(cell)) is not None:
        return number(companion, decimals)
    mean, sd, n = cell.floor(column.scope, column.measure, column.place, series)
    return mean_sd(mean, sd, decimals) + (f" (n={n:,.0f})" if column.at_another_n(cell) else "")


def entries(cell: CellResults, blocks: Sequence[Block], column: Column, intervals: bool = False) -> list[str]:
    """Return a column's entries, a series each: mean ± sd (or [t interval]), in each block the best marked.

    One of another number of images than most says so: it is compared with none of theirs.
    """
    means, bold, keys = column.means(cell), column.best(cell, blocks), by_key(joined(blocks))
    sizes = {key: n for key, n in column.generated(cell).items() if key in keys and n == n}
    counts = Counter(sizes.values())
    usual = max(counts, key=counts.__getitem__, default=math.nan)
    other = {key: f" (n={n:,.0f})" for key, n in sizes.items() if n != usual}
    texts = {key: score_text(means.get(key), column.measure.decimals, intervals) for key in keys}
    return [marked(text + other.get(key, ""), key in bold) for key, text in texts.items()]


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
    floors = ["" if column.role else floor_text(cell, column) for column in columns]
    last = bool(set(floors) - {MISSING, ""})
    parts = [
        ("Method", row_labels(series), FLOOR),
        *zip([column.title for column in columns], scores, floors, strict=True),
        *((header, texts, "") for header, texts in settings),
    ]
    shown = [(header, [*texts, *[floor] * last]) for header, texts, floor in parts]
    why = [c.missing(cell) for c, texts in zip(columns, scores, strict=True) if MISSING in texts]
    lacking = f"{MISSING}: {'; '.join(dict.fromkeys(filter(None, why))) or 'not measured'}."
    notes = [constants, fewer, *notes, lacking if any(MISSING in texts for _, texts in shown) else ""]
    tags = [*map(series_tags, series), *[{"floor": "1"}] * last]
    rows = {"row_tags": tags, "rules": ends(blocks), "settings": len(settings)}
    return Table.of_columns(cell, name, title, shown, notes=notes, **rows)


def ends(blocks: Iterable[Sequence[object]]) -> tuple[int, ...]:
    """Return at which rows a rule stands between blocks, and after the last."""
    return tuple(itertools.accumulate(map(len, blocks)))


def series_tags(one: Series) -> Tags:
    """Return what a filter knows of a series."""
    return {"method": one.method, "guidance": one.scale}


def score_text(found: Numbers | None, decimals: int, interval: bool = False) -> str:
    """Print mean ± sd (or [t interval]); a dash where it was not measured."""
    if found is None:
        return MISSING
    if not interval or not math.isfinite(found.sd):
        return mean_sd(found.mean, found.sd, decimals)
    half = t_half_width(found.sd, int(found.n))
    return f"{found.mean:.{decimals}f} [{found.mean - half:.{decimals}f}, {found.mean + half:.{decimals}f}]"
