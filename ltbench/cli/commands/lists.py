"""Commands that list what can be named, and what can be run here: data sets, methods, settings, doctor."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ltbench.cli import complete
from ltbench.cli.options import LISTS, DataRoot, Device, Out
from ltbench.errors import UsageError

app = typer.Typer()


def _only(names: complete.Completion) -> Any:
    """Return the argument of a listing that names one of it."""
    return typer.Argument(metavar="[NAME]", help="Only this one.", autocompletion=names)


@app.command(rich_help_panel=LISTS)
def datasets(
    name: Annotated[str | None, _only(complete.dataset)] = None,
    imbalance_ratio: Annotated[
        str, typer.Option("--imbalance-ratio", "-r", help="Ratio the counts are shown at.")
    ] = "0.01",
    data_root: DataRoot = None,
) -> None:
    """List data sets, class counts at a ratio, and whether the files are there."""
    from ltbench.cli.lists import list_datasets

    list_datasets(imbalance_ratio, data_root, name)


@app.command(rich_help_panel=LISTS)
def methods(
    name: Annotated[str | None, _only(complete.method)] = None,
) -> None:
    """List methods with paper, hyper-parameters and defaults."""
    from ltbench.cli.lists import list_methods

    list_methods(name)


@app.command(rich_help_panel=LISTS)
def metrics(
    name: Annotated[str | None, _only(complete.metric)] = None,
) -> None:
    """List metrics with definition, direction and source."""
    from ltbench.cli.lists import list_metrics

    list_metrics(name)


@app.command(rich_help_panel=LISTS)
def samplers(
    name: Annotated[str | None, _only(complete.sampler)] = None,
) -> None:
    """List samplers with kind, orders and what must be known of each."""
    from ltbench.cli.lists import list_samplers

    list_samplers(name)


@app.command(rich_help_panel=LISTS)
def guidance(
    name: Annotated[str | None, _only(complete.rule)] = None,
) -> None:
    """List rules of guidance with their settings: how the scale omega is applied."""
    from ltbench.cli.lists import list_guidance

    list_guidance(name)


@app.command(rich_help_panel=LISTS)
def plugins() -> None:
    """List what other packages add (methods, data sets, metrics, samplers ...) and what could not be loaded."""
    from ltbench.cli.lists import list_plugins

    list_plugins()


@app.command(rich_help_panel=LISTS)
def presets(
    name: Annotated[str | None, typer.Argument(help="One of them.", autocompletion=complete.preset)] = None,
    show: Annotated[bool, typer.Option("--show", help="Print its file (so does NAME alone).")] = False,
    copy: Annotated[Path | None, typer.Option("--copy", help="Copy its file here, to change it.")] = None,
) -> None:
    """List presets; print one's file, or copy it to change it."""
    from ltbench.cli.lists import copy_preset, list_presets, show_preset

    if name is None and (show or copy):
        raise UsageError("say which preset: ltbench presets NAME --show; `ltbench presets` lists them")
    if name is None:
        list_presets()
    elif copy is None:
        show_preset(name)
    else:
        copy_preset(name, copy)


@app.command(rich_help_panel=LISTS)
def settings(
    key: Annotated[
        str | None,
        typer.Argument(
            help="A setting, a section or the end of a name: train.steps, sample, precision.",
            autocompletion=complete.setting_key,
        ),
    ] = None,
) -> None:
    """List what --set and study files can set: default, legal values, meaning."""
    from ltbench.cli.settings import show_settings

    show_settings(key)


@app.command(rich_help_panel=LISTS)
def doctor(
    everything: Annotated[
        bool, typer.Option("--all", help="Every library, device, data set and extractor.")
    ] = False,
    golden: Annotated[
        bool, typer.Option("--golden", help="Compute published values where data and weights are present.")
    ] = False,
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate",
            help="Instead: what each sampler makes of a distribution that is known, in seconds.",
        ),
    ] = False,
    sampler: Annotated[
        str | None, typer.Option("--sampler", help="With --calibrate: these only, separated by commas.")
    ] = None,
    out: Out = Path("runs"),
    data_root: DataRoot = None,
    device: Device = None,
) -> None:
    """Show what can be run here now, and the one thing that each other data set lacks."""
    if not (everything or golden or calibrate or sampler):
        from ltbench.cli.overview import show_overview

        show_overview(data_root, out)
        return
    from ltbench.cli.doctor import show_doctor

    if calibrate:
        from ltbench.cli.calibrate import show_calibration

        show_calibration(sampler, device)
        return
    if sampler is not None:
        raise UsageError("--sampler goes with --calibrate: it chooses what is calibrated")
    if not show_doctor(golden, out, data_root, device):
        sys.exit(1)
