"""The document tree as text: report.md and details.md, LaTeX tables, and what the terminal prints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import rich.box
import rich.table
from rich.console import Console, RenderableType
from rich.text import Text as RichText

from ltbench import text
from ltbench.files import write_text
from ltbench.report.document import Document, Plot, Section, Text
from ltbench.report.names import MISSING
from ltbench.report.tables.grid import Bold, Table

# -- Markdown -------------------------------------------------------------------------------------------------


def markdown_pages(document: Document) -> dict[str, str]:
    """Return ``report.md`` (what leads) and ``details.md`` (what the page folds away)."""
    title = text.markdown(document.title)
    first = [f"# {title}", "", *_open(document.top, 1)]
    first += ["Every table: [details.md](details.md). Interactive: index.html. Every number: tables/.", ""]
    second = [f"# {title}: details", "", "The tables that [report.md](report.md) leaves out.", ""]
    second += _folded(document.top)
    second += _runs(document)
    return {"report.md": "\n".join(first), "details.md": "\n".join(second)}


def _open(section: Section, level: int) -> Iterator[str]:
    """Yield the lines of what is not folded: one table a data cell, and the figures that were drawn."""
    for node in section.nodes:
        if isinstance(node, Section):
            lines = [] if node.folded else list(_open(node, level + 1))
            if lines:
                yield from (f"{'#' * (level + 1)} {text.markdown(node.title)}", "", *lines)
        elif not isinstance(node, Plot) or node.first:
            yield from _leaf(node, drawn=True)


def _folded(section: Section) -> Iterator[str]:
    """Yield the lines of what is folded, each section of it as one of details.md."""
    for node in section.nodes:
        if isinstance(node, Section) and node.folded:
            yield from (f"## {text.markdown(node.title)}", "")
            for leaf in node.nodes:
                yield from _leaf(leaf, drawn=False)
        elif isinstance(node, Section):
            yield from _folded(node)


def _leaf(node: object, drawn: bool) -> Iterator[str]:
    """Yield the lines of a table, a text or a figure, which is shown where it was `drawn`."""
    if isinstance(node, Table):
        yield from markdown_table(node)
    elif isinstance(node, Text):
        yield from _text(node)
    elif isinstance(node, Plot):
        title = text.markdown(node.figure.title)
        yield f"![{title}](figures/{node.figure.name}.png)" if drawn else f"Figure on the page: {title}."
        yield ""


def _text(node: Text) -> Iterator[str]:
    if node.text:
        said = text.markdown(node.text)
        yield from (f"<sub>{said}</sub>" if node.small else said, "")
    if node.items:
        yield from (*(f"- {_with_code(item)}" for item in node.items), "")


def _with_code(item: str) -> str:
    """Escape a sentence that may hold a command between backticks, which stays as it is."""
    parts = item.split("`")
    return "".join(f"`{part}`" if i % 2 else _spaced(part) for i, part in enumerate(parts))


def _spaced(part: str) -> str:
    """Escape a part of a sentence, which keeps the space to its neighbours."""
    return f"{' ' * part.startswith(' ')}{text.markdown(part)}{' ' * (part != ' ' and part.endswith(' '))}"


def markdown_table(table: Table) -> Iterator[str]:
    """Yield a table as GitHub Markdown with its title and notes."""
    align = [":--" if table.is_text(i) else "--:" for i in range(len(table.columns))]
    yield from (f"**{text.markdown(table.title)}**", "")
    yield "| " + " | ".join(text.markdown(c) for c in table.columns) + " |"
    yield "| " + " | ".join(align) + " |"
    for row in table.rows:
        yield "| " + " | ".join(_entry(e) for e in row) + " |"
    yield ""
    if table.notes:
        yield from (f"<sub>{text.markdown(' '.join(n for n in table.notes if n))}</sub>", "")


def _entry(entry: str) -> str:
    escaped = text.markdown(entry)
    return f"**{escaped}**" if isinstance(entry, Bold) and entry not in ("", MISSING) else escaped


def _runs(document: Document) -> Iterator[str]:
    """List the run folders behind each series, so that every number can be traced."""
    yield from ("## Runs", "", "| Data | Method | Series | Folders |", "| :-- | :-- | :-- | :-- |")
    for scene in document.scenes:
        for one in scene.cell.series:
            folders = "<br>".join(f"`{name.replace('`', '')}`" for name in one.runs)
            yield f"| {text.markdown(scene.cell.label)} | {text.markdown(one.label)} | `{one.key}` | {folders} |"
    yield from (
        "",
        "A series is one setting over its seeds; tables/series.csv and tables/summary.csv have all of it.",
        "",
    )


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
    return "\n".join(map(_latex_part, parts))


def _latex_part(table: Table) -> str:
    columns = "".join("l" if table.is_text(i) else "r" for i in range(len(table.columns)))
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{text.latex(table.title)}}}",
        rf"\label{{tab:{text.slug(table.name)}}}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{@{{}}{columns}@{{}}}}",
        r"\toprule",
        " & ".join(text.latex(c) for c in table.columns) + r" \\",
        r"\midrule",
    ]
    for i, row in enumerate(table.rows):
        if i in table.rules:
            lines.append(r"\midrule")
        cells = (rf"\textbf{{{text.latex(e)}}}" if isinstance(e, Bold) else text.latex(e) for e in row)
        lines.append(" & ".join(cells) + r" \\")
    lines += [
        r"\bottomrule",
        r"\end{tabular}}",
        r"\par\smallskip",
        r"\begin{minipage}{\linewidth}\footnotesize",
    ]
    lines += [rf"{text.latex(note)}\par" for note in table.notes if note]
    lines += [r"\end{minipage}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def write_latex(tables: Sequence[Table], folder: Path) -> list[Path]:
    r"""Write ``NAME.tex`` a table and ``all-tables.tex``, a document that shows them all."""
    paths = []
    for table in tables:
        paths.append(folder / f"{text.slug(table.name)}.tex")
        write_text(paths[-1], latex_table(table))
    document = [
        r"\documentclass[10pt]{article}",
        r"\usepackage[landscape,margin=15mm]{geometry}",
        r"\usepackage{booktabs,graphicx}",
        r"\begin{document}",
        *(rf"\input{{{path.name}}}\clearpage" for path in paths),
        r"\end{document}",
    ]
    paths.append(folder / "all-tables.tex")
    write_text(paths[-1], "\n".join(document) + "\n")
    return paths


# -- terminal -------------------------------------------------------------------------------------------------


def terminal_table(table: Table, width: int, notes: int = 1) -> RenderableType:
    """Return a table for a terminal of `width` characters: columns at its end are left out, and counted, until it fits."""
    shown = len(table.columns)
    while (
        shown > 2
        and _rich(table, shown, notes)
        .__rich_measure__(Console(width=10_000), Console(width=10_000).options)
        .maximum
        > width
    ):
        shown -= 1
    return _rich(table, shown, notes)


def _rich(table: Table, shown: int, notes: int) -> rich.table.Table:
    said = [n for n in table.notes if n][:notes]
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
