"""A report's table on a terminal."""

import io

import pytest
from report_folders import make_spec, write_run
from rich.console import Console

from ltbench.cli.tables import terminal_table
from ltbench.report import write_report


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    for method in ("ddpm", "coral"):
        for guidance in (0.0, 1.0):
            write_run(root, make_spec(method, guidance=guidance), images=False)
    return write_report(root, tmp_path_factory.mktemp("out"))


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_the_terminals_table_is_never_wider_than_the_terminal(report, width):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(terminal_table(report.document.league[0], width))
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= width
    assert any("CORAL" in line for line in lines)


def test_columns_that_do_not_fit_are_counted_and_found_on_the_page(report):
    console = Console(width=60, record=True, file=io.StringIO())
    console.print(terminal_table(report.document.league[0], 60))
    assert "more columns on the page." in console.export_text()
