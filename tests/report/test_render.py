"""The document as LaTeX: what is escaped, cut and compiled."""

import shutil
import subprocess

import pytest

from ltbench.report import load_scores
from ltbench.report.cells import cells
from ltbench.report.render import latex_table, write_latex
from ltbench.report.tables.grid import Bold, Table
from ltbench.report.tables.published import load_published, paper_tables
from ltbench.report.tables.scores import overall_table


def test_latex_escapes_what_latex_reads():
    table = Table("t_1", "a_b & 50 %", ["x_y ↓", "n"], [["{}~#$", Bold("1 ± 2")]], 1, (), ["<5>"])
    text = latex_table(table)
    assert r"a\_b \& 50 \%" in text
    assert r"x\_y \ensuremath{\downarrow}" in text
    assert r"\{\}\textasciitilde{}\#\$" in text
    assert r"\textbf{1 \ensuremath{\pm} 2}" in text
    assert r"\ensuremath{<}5\ensuremath{>}" in text


def test_a_table_longer_than_a_page_is_cut_in_latex():
    rows = [[str(i)] for i in range(70)]
    text = latex_table(Table("long", "Long", ["n"], rows, 1, (30, 65), ["a note"]))
    assert [f"({i} of 3)" in text for i in (1, 2, 3)] == [True] * 3
    assert text.count("a note") == 1
    assert text.count("midrule") == 3 + 1  # a rule where a part begins is the part's own
    assert text.count(r"\label{tab:long}") == 1


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here")
def test_latex_compiles_for_real(pages_study, pages_report, tmp_path):
    found = cells(load_scores(pages_study))
    tables = [overall_table(found[0]), *paper_tables(found, load_published())]
    wide = Table("wide", "wide", [f"column {i}" for i in range(30)], [["12.34 ± 0.56"] * 30], 1)
    write_latex([*tables, wide], tmp_path)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all-tables.tex"]
    for folder in (tmp_path, pages_report.path / "tables"):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout[-2000:]
        assert "Overfull \\hbox" not in done.stdout
        assert (folder / "all-tables.pdf").read_bytes().startswith(b"%PDF")
