"""The tree of commands: how one of them ends that is stopped."""

import pytest
import typer

from ltbench.cli import tree
from ltbench.errors import Interrupted


def test_a_stop_while_arguments_are_read_ends_so_too(monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(typer.core.TyperGroup, "parse_args", stopped)
    with pytest.raises(Interrupted, match="run the same command to go on"):
        typer.main.get_command(tree.app)(["doctor"])


def test_a_command_that_is_stopped_ends_as_a_sweep_that_is_stopped(monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("ltbench.plugins.check_one_checkout", stopped)  # what every command begins with
    with pytest.raises(Interrupted, match="run the same command to go on"):
        typer.main.get_command(tree.app)(["doctor"], standalone_mode=False)


def test_a_path_begins_at_home_where_the_shell_leaves_it(run_here, tmp_path, monkeypatch):
    """`--out=~/runs` made a folder of the name ~."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home" / "runs").mkdir(parents=True)
    code, out = run_here("presets", "demo", "--copy=~/mine.toml")
    assert code == 0, out
    assert (tmp_path / "home" / "mine.toml").is_file()
    code, out = run_here("status", "~no_such_user/runs")
    assert code == 2
    assert "no user of that name" in out
    assert not (tmp_path / "~").exists()
