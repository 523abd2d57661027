"""Commands on other people's networks and one's own again: import, export, reproduce."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ltbench.cli import complete
from ltbench.cli.options import EXCHANGE, DataRoot, Device, Out, Sets, Trust

app = typer.Typer()


@app.command("import", rich_help_panel=EXCHANGE)
def import_(
    path: Annotated[
        Path,
        typer.Argument(help="A ckpt_STEP.pt of the authors' code, bare weights, or a folder for diffusers."),
    ],
    method: Annotated[
        str,
        typer.Option(
            "--method",
            "-m",
            help="Which it was trained by; the file does not say.",
            autocompletion=complete.method,
        ),
    ],
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            "-d",
            help="Default: the one with its classes and size.",
            autocompletion=complete.dataset,
        ),
    ] = None,
    imbalance_ratio: Annotated[
        str | None, typer.Option("--imbalance-ratio", "-r", help="Of the set it was trained on.")
    ] = None,
    train_seed: Annotated[int, typer.Option("--train-seed", help="Tells trainings apart.")] = 0,
    step: Annotated[
        int | None, typer.Option("--step", help="Training step, where the file has none.")
    ] = None,
    sets: Sets = None,
    out: Out = Path("runs"),
    data_root: DataRoot = None,
) -> None:
    """Turn an official checkpoint (DDPM, CBDM, T2H, CORAL) into a trained run that can be sampled and scored."""
    from ltbench.cli.exchange import show_import

    flags = {"imbalance_ratio": imbalance_ratio, "seeds": str(train_seed)}
    show_import(path, method, out, dataset, step, flags, sets or [], data_root)


@app.command(rich_help_panel=EXCHANGE)
def export(
    run: Annotated[Path, typer.Argument(help="A training's folder.", autocompletion=complete.run_folders)],
    to: Annotated[Path, typer.Option("--to", help="Folder to write.")],
    step: Annotated[int | None, typer.Option("--step", help="Default: the last that is kept.")] = None,
    weights: Annotated[str, typer.Option("--weights", help="ema (averaged) or raw (the last).")] = "ema",
) -> None:
    """Write a run's network with a model card, for diffusers' UNet2DModel.from_pretrained."""
    from ltbench.cli.exchange import export_network

    export_network(run, to, step, weights)


@app.command(rich_help_panel=EXCHANGE)
def reproduce(
    run: Annotated[
        Path, typer.Argument(help="The folder of a finished run.", autocompletion=complete.run_folders)
    ],
    out: Annotated[Path | None, typer.Option("--out", help="A fresh folder; default reproduced/RUN.")] = None,
    tolerance: Annotated[
        float, typer.Option("--tolerance", help="Relative, for overall scores on another class of machine.")
    ] = 0.05,
    data_root: DataRoot = None,
    device: Device = None,
    trust: Trust = None,
) -> None:
    """Make a run again from its recorded spec and compare weights, images and scores."""
    from ltbench.cli.study import trust_named
    from ltbench.cli.sweep import show_reproduction
    from ltbench.environment import Settings, usable_device

    settings = Settings(data_root, usable_device(device))
    trust_named([], trust or [])
    sys.exit(0 if show_reproduction(run, out, settings, tolerance) else 1)
