"""The document as Markdown and LaTeX: what is escaped, left out, cut and compiled."""

import re
import shutil
import subprocess

import pytest

from ltbench.analysis.cells import cells
from ltbench.analysis.published_files import load_published
from ltbench.report.document import Document, Section, Text
from ltbench.report.render import latex_table, markdown_pages, write_latex
from ltbench.report.tables.grid import Bold, Table
from ltbench.report.tables.published import paper_tables
from ltbench.report.tables.scores import overall_table
from ltbench.runs.results import load_scores


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


def test_markdown_escapes_every_text_but_commands_and_leaves_out_what_is_empty_or_folded():
    items = Text(items=["run `ltbench run --methods a_b` for <x>", "one ` alone"])
    folded = Section("Folded *", [Text("small | print", small=True), None], folded=True)
    top = Section("T_ <b>", [Section("Lists", [items, folded]), Section("Nothing", [None])])
    pages = markdown_pages(Document(None, [], top, [], []))
    first, rest = pages["report.md"].splitlines(), pages["details.md"].splitlines()
    assert first[0] == r"# T\_ &lt;b&gt;"
    assert first[2:6] == [
        "## Lists",
        "",
        "- run `ltbench run --methods a_b` for &lt;x&gt;",
        r"- one \` alone",
    ]
    assert not any("Folded" in line or "Nothing" in line for line in first)
    assert rest[4:7] == [r"## Folded \*", "", r"<sub>small \| print</sub>"]


def test_tables_whose_file_names_would_be_one_keep_a_file_each(tmp_path):
    tables = [Table(f"per-class-{'x' * 80}-{end}", end, ["n"], [["1"]]) for end in ("a", "b")]
    *files, _ = write_latex([*tables, Table("league", "League", ["n"], [["1"]])], tmp_path)
    assert len({file.name for file in files}) == 3
    assert files[2].name == "league.tex"
    labels = {re.search(r"\\label\{(.*?)\}", file.read_text())[1] for file in files}
    assert labels == {f"tab:{file.stem}" for file in files}


def test_a_row_that_begins_with_a_bracket_or_a_star_is_no_argument_in_latex():
    text = latex_table(Table("t", "T", ["Class", "n"], [["[a]", "1"], ["*b", "2"]], 1))
    assert "{}[a] & 1" in text
    assert "{}*b & 2" in text
