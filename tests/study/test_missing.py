"""Which published numbers nobody has run here, and whether the commands that are printed for them work."""

import re
import shlex

import numpy as np
import pandas as pd
import typer.main
from report_folders import make_spec, write_run

from ltbench.analysis.cells import cells
from ltbench.analysis.published_files import load_published
from ltbench.cli.tree import app
from ltbench.runs.results import load_scores
from ltbench.study.missing import missing_runs
from ltbench.study.presets import preset_names


def test_printed_commands_are_ones_that_the_command_line_takes(tmp_path):
    """`--imbalance-ratio nan` and unknown data sets were printed as commands; a new metric ended the report."""
    published = load_published()
    further = published.iloc[:1].assign(metric="kid", dataset="digits_lt", imbalance_ratio=0.05)
    odd = published.iloc[:2].assign(
        metric="sfid", dataset=["digits_lt", "no_such_set"], imbalance_ratio=[0.05, np.nan]
    )
    rows = pd.concat([published, further, odd], ignore_index=True)
    write_run(tmp_path, make_spec(), images=False)
    lines = missing_runs(cells(load_scores(tmp_path)), rows)
    commands = [part for line in lines for part in re.findall(r"`ltbench ([^`]*)`", line)]
    assert len(commands) > 3
    root = typer.main.get_command(app)
    for command in commands:
        name, *words = shlex.split(command)
        root.commands[name].make_context(name, words)
        assert "nan" not in words
    assert any("no_such_set is installed" in line for line in lines)
    assert any("evaluate" in line and line.startswith("digits_lt-r0.05: KID") for line in lines), lines
    assert any("sFID; no metric of that name" in line for line in lines)
    presets = [name for line in lines for name in re.findall(r"--preset (\S+)", line)]
    assert presets
    assert set(presets) <= set(preset_names())
