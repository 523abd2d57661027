"""The tables as LaTeX (booktabs), ready to \\input: nothing to retype between a run and a paper."""

from collections.abc import Sequence
from pathlib import Path

from ltbench.files import write_text
from ltbench.report.naming import MISSING
from ltbench.report.tables import Entry, Table

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\ensuremath{<}",
    ">": r"\ensuremath{>}",
    "±": r"\ensuremath{\pm}",
    "Δ": r"\ensuremath{\Delta}",
    "√": r"\ensuremath{\surd}",
    "↓": r"\ensuremath{\downarrow}",
    "↑": r"\ensuremath{\uparrow}",
    "ω": r"\ensuremath{\omega}",
    MISSING: "--",
}


def escape(text: str) -> str:
    """Escape text for LaTeX; characters outside ASCII that no table uses become a question mark."""
    out = "".join(_ESCAPES.get(c, c) for c in text)
    return out.encode("ascii", "replace").decode()


def latex_table(table: Table) -> str:
    r"""Return a ``table`` environment; it needs ``\usepackage{booktabs,graphicx}``; one too wide is shrunk."""
    columns = "l" * table.text_columns + "r" * (len(table.columns) - table.text_columns)
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape(table.title)}}}",
        rf"\label{{tab:{table.name}}}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{@{{}}{columns}@{{}}}}",
        r"\toprule",
        " & ".join(escape(c) for c in table.columns) + r" \\",
        r"\midrule",
    ]
    for i, row in enumerate(table.rows):
        if i in table.rules:
            lines.append(r"\midrule")
        lines.append(" & ".join(_entry(e) for e in row) + r" \\")
    lines += [
        r"\bottomrule",
        r"\end{tabular}}",
        r"\par\smallskip",
        r"\begin{minipage}{\linewidth}\footnotesize",
    ]
    lines += [rf"{escape(note)}\par" for note in table.notes if note]
    lines += [r"\end{minipage}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def _entry(entry: Entry) -> str:
    text = escape(entry.text)
    return rf"\textbf{{{text}}}" if entry.bold else text


def write_latex(tables: Sequence[Table], folder: Path) -> list[Path]:
    r"""Write ``NAME.tex`` a table and ``all-tables.tex``, a document that shows them all."""
    paths = []
    for table in tables:
        paths.append(folder / f"{table.name}.tex")
        write_text(paths[-1], latex_table(table))
    document = [
        r"\documentclass[10pt]{article}",
        r"\usepackage[landscape,margin=15mm]{geometry}",
        r"\usepackage{booktabs,graphicx}",
        r"\begin{document}",
        *(rf"\input{{{table.name}.tex}}\clearpage" for table in tables),
        r"\end{document}",
    ]
    paths.append(folder / "all-tables.tex")
    write_text(paths[-1], "\n".join(document) + "\n")
    return paths
