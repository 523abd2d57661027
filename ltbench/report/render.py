"""The document tree as text: report.md and details.md, LaTeX tables, and what the terminal prints."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import rich.box
import rich.table
from jinja2 import Environment, PackageLoader
from markupsafe import Markup
from rich.console import Console, RenderableType
from rich.text import Text as RichText

from ltbench import text
from ltbench.files import write_text
from ltbench.report.document import Document, Plot, Section
from ltbench.report.tables.grid import Bold, Table

_LATEX = {
    "block_start_string": "<%",
    "block_end_string": "%>",
    "variable_start_string": "<<",
    "variable_end_string": ">>",
}


@functools.cache
def environment(escape: Callable[[str], str], **syntax: Any) -> Environment:
    """Return the templates' environment of a format: every text that they print passes through its `escape`.

    Parameters
    ----------
    escape
        Plain text -> the same in the format's terms.
    syntax
        Delimiters, where the format has a use of its own for Jinja's.
    """

    def shown(value: object) -> object:
        plain = isinstance(value, str) and not isinstance(value, Markup)
        return Markup(escape(str(value))) if plain else value

    out = Environment(
        loader=PackageLoader("ltbench.report", "templates"),
        autoescape=True,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        **syntax,
    )
    kinds = {"bold": Bold, "section": Section, "table": Table, "plot": Plot}
    out.tests.update({name: lambda value, kind=kind: isinstance(value, kind) for name, kind in kinds.items()})
    out.filters |= {"slug": text.slug, "with_code": _with_code}
    return out


# -- Markdown -------------------------------------------------------------------------------------------------


def markdown_pages(document: Document) -> dict[str, str]:
    """Return ``report.md`` (what leads) and ``details.md`` (what the page folds away)."""
    templates = environment(text.markdown)
    names = ("report.md", "details.md")
    return {name: templates.get_template(f"{name}.j2").render(document=document) for name in names}


def _with_code(item: str) -> Markup:
    """Escape a sentence that may hold commands between backticks, which stay as they are."""
    parts = re.split(r"(\s*`[^`]*`\s*)", item)
    return Markup("".join(part if i % 2 else text.markdown(part) for i, part in enumerate(parts)))


# -- LaTeX ----------------------------------------------------------------------------------------------------

_LONGEST = 30  # rows of a LaTeX table: more would not fit a page


def latex_table(table: Table) -> str:
    r"""Return ``table`` environments, which need ``\usepackage{booktabs,graphicx}``; too wide is shrunk, too long cut."""
    cuts = range(0, max(1, len(table.rows)), _LONGEST)
    parts = [
        replace(
            table,
            name=table.name if i == 0 else f"{table.name}-{i + 1}",
            title=table.title if len(cuts) == 1 else f"{table.title} ({i + 1} of {len(cuts)})",
            rows=table.rows[start : start + _LONGEST],
            rules=tuple(rule - start for rule in table.rules if start < rule < start + _LONGEST),
            notes=table.notes if i == len(cuts) - 1 else [],
        )
        for i, start in enumerate(cuts)
    ]
    template = environment(text.latex, **_LATEX).get_template("table.tex.j2")
    return "\n".join(template.render(t=part) for part in parts)


def write_latex(tables: Sequence[Table], folder: Path) -> list[Path]:
    r"""Write ``NAME.tex`` a table and ``all-tables.tex``, a document that shows them all."""
    names = [table.name for table in tables]
    names = text.distinct([text.slug(name) for name in names], names)
    pages = {f"{n}.tex": latex_table(replace(t, name=n)) for n, t in zip(names, tables, strict=True)}
    whole = environment(text.latex, **_LATEX).get_template("all-tables.tex.j2")
    pages |= {"all-tables.tex": whole.render(names=[Markup(name) for name in pages])}
    for name, content in pages.items():
        write_text(folder / name, content)
    return [folder / name for name in pages]


# -- terminal -------------------------------------------------------------------------------------------------


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
