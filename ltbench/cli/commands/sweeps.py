"""Commands on what is running: status, retry, logs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ltbench.cli import complete
from ltbench.cli.options import FOLLOW, DataRoot, Out, RunsOrStudy, Trust
from ltbench.errors import UsageError

app = typer.Typer()


@app.command(rich_help_panel=FOLLOW)
def status(
    runs: RunsOrStudy = None,
    out: Out = Path("runs"),
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Keep showing it until all is done.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="List every stage.")] = False,
    data_root: DataRoot = None,
) -> None:
    """Show what is done, running, stale and failed of every sweep in a folder, or of one study in it."""
    from ltbench.cli.sweep import root_and_study, show_status

    root, study = root_and_study(runs, out, data_root)
    sys.exit(show_status(root, watch, everything, study))


@app.command(rich_help_panel=FOLLOW)
def retry(
    runs: RunsOrStudy = None,
    failed: Annotated[bool, typer.Option("--failed", help="All stages that failed.")] = False,
    out: Out = Path("runs"),
    start: Annotated[
        bool, typer.Option("--start/--no-start", help="Do them here, or leave them to a running driver.")
    ] = True,
    workers: Annotated[
        str | None, typer.Option("--workers", help="auto or a number; default: as before.")
    ] = None,
    data_root: DataRoot = None,
    trust: Trust = None,
) -> None:
    """Try failed stages again, all of a folder or those of one study in it."""
    from ltbench.cli.study import trust_named
    from ltbench.cli.sweep import console, retry_failed, root_and_study
    from ltbench.sweep.status import closing_lines, exit_code

    if not failed:
        raise UsageError("say which stages to try again: ltbench retry --failed")
    trust_named([], trust or [])
    out, study = root_and_study(runs, out, data_root)
    rows = retry_failed(out, start, workers, study, data_root)
    for line in closing_lines(rows, out):
        console.print(line, soft_wrap=True)
    sys.exit(exit_code(rows) if start else 0)


@app.command(rich_help_panel=FOLLOW)
def logs(
    run: Annotated[
        str,
        typer.Argument(
            help="A run's folder, or the last eight digits of its name.", autocompletion=complete.run_folders
        ),
    ],
    out: Out = Path("runs"),
    lines: Annotated[
        int | None, typer.Option("--lines", "-n", min=1, help="Last lines of each attempt.")
    ] = None,
) -> None:
    """Print what a run's stages printed, attempt by attempt, and how each ended."""
    from ltbench.cli.sweep import show_logs

    show_logs(run, out, lines)
