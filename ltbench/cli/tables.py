"""A report's table on a terminal, as wide as there is room for."""

from __future__ import annotations

import rich.box
import rich.table
from rich.console import Console, RenderableType
from rich.text import Text as RichText

from ltbench import text
from ltbench.report.tables.grid import Bold, Table


def terminal_table(table: Table, width: int, notes: int = 1) -> RenderableType:
    """Return a table for a terminal of `width` characters: columns at its end are left out, and counted, until it fits."""
    endless = Console(width=10_000)
    counts = range(len(table.columns), 2, -1)
    fitting = (n for n in counts if endless.measure(_rich(table, n, notes)).maximum <= width)
    return _rich(table, next(fitting, min(2, len(table.columns))), notes)


def _rich(table: Table, shown: int, notes: int) -> rich.table.Table:
    said = table.notes[:notes]
    if shown < len(table.columns):
        said.insert(0, f"{len(table.columns) - shown} more columns on the page.")
    out = rich.table.Table(
        title=RichText(text.visible(table.title)),
        title_justify="left",
        caption=RichText(text.visible("\n".join(said), keep="\n")),
        caption_justify="left",
        padding=(0, 1),
        box=rich.box.SIMPLE,
    )
    for i, column in enumerate(table.columns[:shown]):
        out.add_column(
            RichText(text.visible(column)), justify="left" if table.is_text(i) else "right", overflow="fold"
        )
    for i, row in enumerate(table.rows):
        cells = (RichText(text.visible(e), style="bold" if isinstance(e, Bold) else "") for e in row[:shown])
        out.add_row(*cells, end_section=i + 1 in table.rules)
    return out
