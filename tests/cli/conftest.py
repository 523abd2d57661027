"""The command line called in this process, in a folder of its own."""

import pytest
from app_settings import TINY
from command_line import call_main


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to work in, with the study file beside it."""
    (tmp_path / "tiny.toml").write_text(TINY)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.delenv("LTBENCH_DATA", raising=False)
    return tmp_path / "here"


@pytest.fixture
def ltbench(capfd):
    """Call the command in this process; return exit code, standard output and standard error."""

    return lambda *arguments: call_main(capfd, arguments)


@pytest.fixture
def run_here(capfd, tmp_path, monkeypatch):
    """Call the command in an empty folder; return exit code and everything printed."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        code, out, err = call_main(capfd, arguments)
        return code, " ".join((out + err).split())

    return call
