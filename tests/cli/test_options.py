"""Options that commands share."""

from ltbench.cli.options import STUDY
from ltbench.cli.tree import app


def test_plan_takes_every_flag_of_run_that_says_what_is_run():
    import typer

    commands = typer.main.get_command(app).commands
    flags = {name: {o for p in commands[name].params for o in p.opts} for name in ("run", "plan")}
    assert flags["run"] - flags["plan"] <= {
        *(
            "--slurm",
            "--dry-run",
            "--yes",
            "-y",
            "--init-from",
            "--track",
            "--sample-batch",
            "--compile",
            "--channels-last",
            "--recompute",
            "--cuda-graphs",
            "--trust",
        ),
    }
    assert {p.name for p in commands["plan"].params} >= set(STUDY)
