"""Commands on image folders: data prepare, data verify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ltbench.cli.options import DataRoot

app = typer.Typer(help="Prepare and verify data sets that come as image folders.", no_args_is_help=True)


@app.command()
def prepare(
    name: Annotated[
        str,
        typer.Argument(help="folder_lt, celeba5, imagenet_lt, tiny_imagenet_lt, places_lt, inaturalist2018."),
    ],
    source: Annotated[Path, typer.Option("--source", help="The folder or zip file with the images.")],
    image_size: Annotated[
        int | None, typer.Option("--image-size", help="Pixels a side; default: the data set's own.")
    ] = None,
    lists: Annotated[
        Path | None,
        typer.Option(
            "--lists", "--list", help="A file of `PATH LABEL` lines, or a folder of lists; default: SOURCE."
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", help="Processes; default: one a core this process may use.")
    ] = None,
    ground: Annotated[
        str,
        typer.Option("--ground", help="Colour that transparent images are laid on: white, black, #rrggbb."),
    ] = "white",
    own_name: Annotated[
        str | None, typer.Option("--name", help="What folder_lt calls it; default: the folder's name.")
    ] = None,
    data_root: DataRoot = None,
) -> None:
    """Turn image files into memory-mapped arrays once; stopped, the same command goes on from there."""
    from ltbench.cli.data import prepare_data

    prepare_data(name, source, data_root, image_size, lists, workers, ground, own_name)


@app.command()
def verify(
    name: Annotated[
        str,
        typer.Argument(help="folder_lt, celeba5, imagenet_lt, tiny_imagenet_lt, places_lt, inaturalist2018."),
    ],
    data_root: DataRoot = None,
) -> None:
    """Read prepared images again and compare all of them with their manifest."""
    from ltbench.cli.data import verify_data

    verify_data(name, data_root)
