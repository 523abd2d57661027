"""The command that shows results: report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ltbench.cli import complete
from ltbench.cli.options import READ
from ltbench.errors import UsageError

app = typer.Typer()


@app.command(rich_help_panel=READ)
def report(
    roots: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders of runs; default runs/.", autocompletion=complete.run_folders),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Where the report goes; default ROOT/report, of ROOT.zip ROOT-report."),
    ] = None,
    baseline: Annotated[
        str,
        typer.Option(
            "--baseline", help="Method the others are compared with.", autocompletion=complete.method
        ),
    ] = "ddpm",
    paper: Annotated[
        bool, typer.Option("--paper", help="Also fill the papers' tables and show what is missing.")
    ] = False,
    study: Annotated[
        Path | None, typer.Option("--study", help="Study file that declared a contrast beforehand.")
    ] = None,
    latex: Annotated[bool, typer.Option("--latex", help="Also write every table as LaTeX.")] = False,
    pdf: Annotated[bool, typer.Option("--pdf", help="Also write every drawn figure as PDF.")] = False,
    all_figures: Annotated[
        bool,
        typer.Option(
            "--all-figures", help="Draw every figure as a file, and the t-SNE where it is not kept yet."
        ),
    ] = False,
    checklist: Annotated[
        bool, typer.Option("--checklist", help="Show what reviewers ask, answered from the results.")
    ] = False,
    compare: Annotated[
        bool, typer.Option("--compare", help="Given two folders: which numbers moved beyond their spread.")
    ] = False,
) -> None:
    """Turn stored scores into one HTML page, Markdown and CSV; figures and LaTeX for a paper on request."""
    from ltbench.cli.results import compare_results, make_report

    folders = roots or [Path("runs")]
    if compare:
        if len(folders) != 2:
            raise UsageError("--compare takes two folders: ltbench report --compare A B")
        compare_results(folders[0], folders[1])
    else:
        make_report(
            folders,
            out,
            baseline,
            paper,
            study,
            latex=latex,
            pdf=pdf,
            all_figures=all_figures,
            checklist=checklist,
        )
