"""Text at the terminal: what a user's words, a narrow encoding, a closed stream or a full disk could do."""

import io
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.table import Table
from rich.text import Text

from ltbench import errors
from ltbench.cli import console, tree
from ltbench.cli.console import as_sentence, fail, make_console, styled, waiting


def test_a_long_wait_says_what_it_waits_for(capsys):
    with waiting("reading", after=0.05):
        time.sleep(0.5)
    out = capsys.readouterr()
    assert out.out == "... reading\n"
    assert out.err == ""


def test_a_short_wait_says_nothing(capsys):
    with waiting("reading", after=5.0):
        pass
    assert capsys.readouterr() == ("", "")


def test_an_error_ends_the_wait():
    start = time.monotonic()
    try:
        with waiting("reading", after=30.0):
            raise ValueError
    except ValueError:
        pass
    assert time.monotonic() - start < 5


LTBENCH = [sys.executable, "-m", "ltbench"]


def run(*words, shell="", **environment):
    """Run a command, its output redirected as `shell` says."""
    line = [*LTBENCH, *words]
    if shell:
        line = ["bash", "-c", f'"$@" {shell}', "bash", *line]
    return subprocess.run(
        line, capture_output=True, text=True, env={**os.environ, **environment}, timeout=120, check=False
    )


def shown(*parts, **options):
    target = make_console()
    target.file = io.StringIO()
    target.print(*parts, **options)
    return target.file.getvalue()


@pytest.mark.parametrize(
    "text", ["[/red]", "runs [lr=0.1]", "[bold]x", "[link=file:///etc]y[/link]", ":smile:"]
)
def test_a_users_brackets_are_text(text):
    assert text in shown(text)
    assert text in shown(styled((text, "bold")))
    table = Table(text, title=text, caption=text)
    table.add_row(text)
    assert shown(table).count(text) == 4


@pytest.mark.parametrize(
    "text", ["\x1b[2J", "\x1b]0;owned\x07", "a\rb", "\u202egpj.exe", "\x9b31m", "\udce9"]
)
def test_a_terminal_is_never_told_anything_by_a_users_text(text):
    out = shown(text) + shown(styled((text, "red"))) + shown(Table(text))
    assert not any(mark in out for mark in ("\x1b]", "\x1b[2", "\x07", "\r", "\u202e", "\x9b", "\udce9"))
    assert "\\x" in out or "\\u" in out or text == "a\rb"  # rich drops some by itself


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-16", "idna"])
def test_every_encoding_of_the_output_will_do(encoding):
    done = subprocess.run(
        [*LTBENCH, "metrics"],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        check=False,
    )
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr
    assert "frechet" in done.stdout.decode(
        "utf-8" if encoding == "idna" else encoding
    )  # idna cannot write all


@pytest.mark.parametrize("words", [["metrics"], ["presets"], ["--help"], ["run", "--help"], ["--version"]])
@pytest.mark.parametrize(
    "shell", [">&-", "> /dev/full", "2>&-", ">&- 2>&-", "<&-", ">&- 2>&- <&-", "| true", "> /dev/full 2>&1"]
)
def test_lost_output_is_no_failure(words, shell):
    if "/dev/full" in shell and not Path("/dev/full").exists():
        pytest.skip("no such device here")
    done = run(*words, shell=shell)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    if shell == "> /dev/full":
        assert "No space left on device" in done.stderr


def test_an_error_is_told_though_the_output_is_closed():
    done = run("status", "--out", "nowhere", shell=">&-")
    assert done.returncode == 2
    assert "no sweep was started in nowhere" in done.stderr


def test_no_file_becomes_the_closed_standard_output(tmp_path):
    """A file opened while descriptor 1 is free would take what libraries print."""
    code = (
        "import sys; from ltbench.cli.console import Streams; Streams().guard()\n"
        f"f = open({str(tmp_path / 'result')!r}, 'w'); assert f.fileno() > 2, f.fileno()"
    )
    subprocess.run(["bash", "-c", '"$@" >&- 2>&- <&-', "bash", sys.executable, "-c", code], check=True)


def test_help_keeps_every_word():
    """Brackets in a help text would be read as markup and vanish."""
    import typer.main

    def commands(group, path=()):
        for name, command in group.commands.items():
            yield from (
                commands(command, (*path, name))
                if hasattr(command, "commands")
                else [((*path, name), command)]
            )

    for path, command in commands(typer.main.get_command(tree.app)):
        for text in [command.help, *(getattr(parameter, "help", "") for parameter in command.params)]:
            assert Text.from_markup(text or "").plain == (text or ""), path


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (errors.UsageError("say so"), "error: say so"),
        (errors.Interrupted("stopped"), "stopped"),
        (PermissionError(13, "Permission denied", "/proc/1/x"), "error: /proc/1/x: Permission denied"),
        (OSError(36, "File name too long", "x" * 5000), "File name too long"),
        (OSError(28, "No space left on device"), "error: a file: No space left on device"),
        (FileNotFoundError(2, "No such file", b"caf\xe9"), "caf\\udce9: No such file"),
        (MemoryError("Unable to allocate 2 TiB"), "not enough memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "fewer --metrics"),
        (ImportError("libtorch.so: failed to map segment from shared object"), "not enough memory"),
        (KeyError("x"), "internal error: KeyError"),
        (errors.UsageError("a\x1b[2Jb"), "a\\x1b[2Jb"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_error_is_a_sentence(capsys, error, sentence):
    code = fail(error)
    err = capsys.readouterr().err
    assert sentence in err
    assert "Traceback" not in err
    assert len(err) < 900
    assert code != 0
    assert err.count("\n") == 1
    assert (code == console.INTERNAL) == (as_sentence(error) is None)


def test_an_internal_error_shows_its_traceback_on_request(capsys, monkeypatch):
    monkeypatch.setenv("LTBENCH_TRACEBACK", "1")
    try:
        raise KeyError("x")
    except KeyError as error:
        fail(error)
    assert "Traceback" in capsys.readouterr().err


def test_printed_commands_can_be_copied(tmp_path):
    from ltbench.study.file import load_study
    from ltbench.sweep import status
    from ltbench.sweep.ledger import Ledger
    from ltbench.sweep.tasks import build_tasks

    root = tmp_path / "runs [lr=0.1] 'x' $HOME"
    tasks = build_tasks(load_study(None, ["dataset=digits_lt"]).runs)
    Ledger(root).claim(tasks[0]).end("failed", kind="bug", message="[/red]")
    lines = status.closing_lines(status.survey(tasks, Ledger(root)), root)
    (line,) = (line for line in lines if "ltbench retry" in line)
    words = subprocess.run(
        ["bash", "-c", "printf '%s\\0' " + line.partition("ltbench ")[2].partition(" (")[0]],
        capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    assert words[:-1] == ["retry", "--failed", "--out", str(root)]
