"""The tree of commands. Libraries are imported by the command that needs them, so `--help` is quick."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ltbench.cli.commands import (
    bundles,
    data,
    exchange,
    extractor,
    lists,
    new,
    results,
    running,
    statistics,
    sweeps,
)
from ltbench.cli.options import EXCHANGE, OWN
from ltbench.cli.signals import STOPPED
from ltbench.errors import Interrupted


class _Commands(TyperGroup):
    """A signal outside the workers ends like a soft stop; typer would end without a word."""

    def make_context(self, *args: Any, **more: Any) -> Any:
        with _in_words():
            return super().make_context(*args, **more)

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        with _in_words():
            return super().invoke(ctx)


def _with_home(command: Callable[..., Any]) -> Callable[..., Any]:
    """Return a command whose paths may begin with ``~`` where the shell leaves it: in ``--out=~/runs``, or quoted."""

    def expanded(value: Any) -> Any:
        from ltbench.files import user_path

        if isinstance(value, list | tuple):
            return type(value)(map(expanded, value))
        return user_path(value) if isinstance(value, Path) else value

    @functools.wraps(command)
    def with_home(**given: Any) -> Any:
        return command(**{name: expanded(value) for name, value in given.items()})

    return with_home


@contextlib.contextmanager
def _in_words() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as error:
        raise Interrupted(STOPPED) from error


app = typer.Typer(
    name="ltbench",
    cls=_Commands,
    help="The fair comparison of diffusion models trained on long-tailed data.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (running, sweeps, results, exchange, lists, bundles):
    app.registered_commands += group.app.registered_commands
app.add_typer(statistics.app, name="statistics", rich_help_panel=EXCHANGE)
for name, group in (("data", data), ("extractor", extractor), ("new", new)):
    app.add_typer(group.app, name=name, rich_help_panel=OWN)
for each in (app, *(group.typer_instance for group in app.registered_groups)):
    for registered in each.registered_commands if each else ():
        if registered.callback is not None:
            registered.callback = _with_home(registered.callback)


def _version(asked: bool) -> None:
    if asked:
        from ltbench.cli.version import version_text

        typer.echo(version_text())
        raise typer.Exit


@app.callback()
def _root(
    _asked: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_version,
            is_eager=True,
            help="Print the version, commit and libraries; what a bug report needs.",
        ),
    ] = False,
) -> None:
    from ltbench.plugins import check_one_checkout

    check_one_checkout()
