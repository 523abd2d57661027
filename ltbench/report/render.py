"""The document tree as text: report.md, details.md and LaTeX tables."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

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
