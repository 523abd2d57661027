"""Commands that write files of a package of one's own: new method."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Write the files of a package of yours.", no_args_is_help=True)


@app.command("method")
def method(
    name: Annotated[str, typer.Argument(help="Lower-case letters, digits and _.")],
    to: Annotated[Path | None, typer.Option("--to", help="Folder to write; default: NAME.")] = None,
) -> None:
    """Write a package with one method, its entry point and a test that passes."""
    from shlex import quote

    from ltbench.cli.new import new_method

    folder = new_method(name, to)
    typer.echo(f"{folder}: {name}.py is the method; python -m pytest {quote(str(folder))} tests it")
    typer.echo(
        f"pip install {quote(f'./{folder}' if not folder.is_absolute() else str(folder))} registers it: "
        f"ltbench run -m ddpm,{name}"
    )
