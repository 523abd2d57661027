"""``ltbench extractor train | list``: small networks of one's own images as extractors, by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ltbench.cli import complete
from ltbench.cli.console import make_console, styled
from ltbench.cli.options import DataRoot
from ltbench.files import user_path
from ltbench.text import command

if TYPE_CHECKING:
    from rich.console import Console

    from ltbench.specs import DataSpec

app = typer.Typer(
    help="Feature extractors: train one on your own images, list what there is.", no_args_is_help=True
)


@app.command(epilog="For example: ltbench extractor train ./my_folder --name mine")
def train(
    source: Annotated[
        str,
        typer.Argument(
            help="A folder of class folders, or a data set's name.",
            autocompletion=complete.dataset,
            show_default=False,
        ),
    ],
    name: Annotated[
        str | None,
        typer.Option("--name", help="What --extractors will call it; default: SOURCE's name, _cnn."),
    ] = None,
    image_size: Annotated[
        int | None, typer.Option("--image-size", help="Pixels a side; default: as `ltbench run -d FOLDER`.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of weights, order and shifts.")] = 0,
    replace: Annotated[bool, typer.Option("--replace", help="Replace one of that name.")] = False,
    data_root: DataRoot = None,
) -> None:
    """Train a small classifier whose features scores can be computed on, where no published network fits or is here."""
    from ltbench.data.dataset import cached_dataset
    from ltbench.errors import UsageError
    from ltbench.extractors.registry import EXTRACTORS
    from ltbench.extractors.trained import check_new, files, train_extractor

    console = make_console()
    console.print(f"... reading {source}", soft_wrap=True)
    data, stem = _data_of(source, image_size, data_root)
    chosen = name or re.sub(r"[^a-z0-9_.]+", "_", stem.lower()).strip("_.") + "_cnn"
    if chosen in EXTRACTORS and EXTRACTORS.origin(chosen) != "ltbench extractor train":
        raise UsageError(
            f"an extractor {chosen} comes from {EXTRACTORS.origin(chosen)}: choose another --name"
        )
    cell = cached_dataset(data, data_root)
    check_new(chosen, cell, replace)
    console.print(
        f"... training {chosen} on {len(cell.train):,} images of {cell.num_classes} classes", soft_wrap=True
    )
    with console.status("training") as status:
        record = train_extractor(
            cell,
            chosen,
            seed,
            replace=replace,
            progress=lambda done, epochs, loss: status.update(
                f"training {chosen}: pass {done} of {epochs}, loss {loss:.3f}"
            ),
        )
    EXTRACTORS.forget()
    _print_trained(console, files(chosen)[0], record, cell.num_classes)
    line = command("ltbench", "run", "-d", source, "--set", f"score.extractors={chosen}")
    console.print(f"use it: {line}", soft_wrap=True)
    console.print("its numbers are called " + f"FD ({chosen}), and compare with no other network's")


def _print_trained(console: Console, weights: Path, record: Mapping[str, Any], num_classes: int) -> None:
    """Print how well a trained network classifies, and notes where it hardly does or knows the reference."""
    console.print(
        f"{weights}: {record['parameters']:,} parameters, {record['cpu_seconds']} s, accuracy "
        f"{record['heldout_accuracy']:.3f} on {record['heldout_images']:,} held-out images "
        f"({record['train_accuracy']:.3f} on the {record['train_images']:,} it was trained on)",
        soft_wrap=True,
    )
    if record["reference_trained_on"]:
        console.print(
            f"note: {record['reference_trained_on']:,} of the {record['reference_images']:,} reference images are among "
            "those it was trained on, which new real images may look farther from for that: read its distances beside "
            "their floors",
            soft_wrap=True,
        )
    if record["heldout_accuracy"] < 2 / num_classes:
        console.print(
            "note: it hardly tells the classes apart, so its distances say little of them", soft_wrap=True
        )


def _data_of(source: str, image_size: int | None, data_root: Path | None) -> tuple[DataSpec, str]:
    """Return the data cell of a folder (prepared here) or of a data set with all its images, and a name for it."""
    from ltbench.data import default_data_root, get_source
    from ltbench.data.prepare.prepare import prepare, settings_for
    from ltbench.study.quick import SIZE, is_folder
    from ltbench.study.resolve import resolve_cell

    if is_folder(source):
        root = default_data_root() if data_root is None else data_root
        folder = user_path(source)
        prepared = prepare("folder_lt", folder, root, image_size=image_size or SIZE)
        sets = list(settings_for(prepared, root))
        return resolve_cell(prepared.spec_name, sets, {}, data_root), folder.resolve().name
    size = [] if image_size is None else [f"data.image_size={image_size}"]
    whole = {} if get_source(source).default_profile == "asis" else {"imbalance_ratio": "1"}
    return resolve_cell(source, size, whole, data_root), source


@app.command("list")
def list_() -> None:
    """List every extractor, how it resizes images, and whether its weights are here."""
    from ltbench.cli.light import lightly

    def rows() -> list[tuple[str, str, str, bool]]:
        from ltbench.extractors.registry import EXTRACTORS, known_extractors

        return [
            (row.name, row.title, EXTRACTORS[row.name].resizing or "its own", row.found)
            for row in known_extractors()
        ]

    console = make_console()
    for name, title, resizing, found in sorted(lightly(rows), key=lambda row: not row[3]):
        state = "ready" if found else "weights missing"
        console.print(styled((f"{name:20}", "bold"), f" {title:26} {resizing:8} {state}"), soft_wrap=True)
    console.print(
        "\nltbench doctor --all says where to get weights; torchscript:FILE takes a network of yours; ltbench extractor "
        "train FOLDER trains one on your images",
        soft_wrap=True,
    )
