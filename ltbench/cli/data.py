"""What the commands for data sets, other people's samples and checkpoints do between parsing and printing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltbench.api import usable_device
from ltbench.cli.study import console, evaluate_runs
from ltbench.cli.console import styled
from ltbench.errors import UsageError
from ltbench.text import command
from ltbench.spec import DataSpec, ScoreSpec

if TYPE_CHECKING:
    from ltbench.data.prepare.folder import PreparedFolder

# -- data sets --------------------------------------------------------------------------------------


def prepare_data(
    name: str,
    source: Path,
    data_root: Path | None,
    image_size: int | None,
    lists: Path | None,
    workers: int | None,
    ground: str,
    own_name: str | None,
) -> None:
    """Prepare a data set with a progress bar; say where it lies and what is in it."""
    from ltbench.data.prepare.prepare import prepare

    with _progress() as bar:
        task = bar.add_task(f"reading {name}", total=None)

        def update(what: str, done: int, total: int) -> None:
            bar.update(task, description=f"{what} {name}", completed=done, total=total)

        folder = prepare(
            name,
            source,
            data_root,
            image_size=image_size,
            lists=lists,
            workers=workers,
            ground=ground,
            own_name=own_name,
            progress=lambda done, total: update("preparing", done, total),
            reading=lambda done, total: update("reading", done, total),
        )
    _show_prepared(folder)
    console.print(f"use it: {_run_command(folder, data_root)}", soft_wrap=True)


def _run_command(folder: PreparedFolder, data_root: Path | None) -> str:
    """Return the command that trains on a prepared folder, quoted for a shell."""
    from ltbench.data.prepare.prepare import settings_for

    words = ["ltbench", "run", "--dataset", folder.spec_name]
    for setting in settings_for(folder, data_root):
        words += ["--set", setting]
    return command(*words, *(("--data-root", str(data_root)) if data_root else ()))


def verify_data(name: str, data_root: Path | None) -> None:
    """Compare every prepared folder of a data set with its manifest."""
    from ltbench.data.prepare.prepare import verify

    with _progress() as bar:
        task = bar.add_task(f"reading {name}", total=None)
        folders = verify(name, data_root, lambda done, total: bar.update(task, completed=done, total=total))
    for folder in folders:
        _show_prepared(folder)
    console.print("all images, labels and source lists are as their manifests state")


def _progress() -> Any:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True)


def _show_prepared(folder: PreparedFolder) -> None:
    console.print(styled((str(folder.folder), "bold"), f"  content {folder.hash[:16]}"), soft_wrap=True)
    for name, content in folder.identity["sets"].items():
        counts = content["counts"]
        console.print(
            f"  {name}: {content['n']:,} images of {len(counts)} classes, {min(counts)} to {max(counts)} a class, "
            f"{folder.image_size}x{folder.image_size}",
            soft_wrap=True,
        )
    names = folder.identity["class_names"]
    shown = ", ".join(f"{label} {name}" for label, name in enumerate(names[:20]))
    console.print(f"  classes by label: {shown}{', ...' if len(names) > 20 else ''}", soft_wrap=True)
    for note in folder.notes:
        console.print(f"  note: {note}", soft_wrap=True)


# -- samples made elsewhere -------------------------------------------------------------------------


def data_cell(
    dataset: str, sets: Sequence[str], flags: Mapping[str, Any], data_root: Path | None
) -> DataSpec:
    """Return the one data cell that a data set's default preset, ``--set data.*`` and flags describe."""
    from ltbench.data import get_source, resolve_data
    from ltbench.study.presets import default_preset
    from ltbench.study.file import load_study

    for entry in sets:
        if not entry.startswith("data."):
            raise UsageError(f"--set {entry}: only data.* says what samples are compared with")
    source = get_source(dataset)
    given = [f"data.profile={source.default_profile}", *sets]
    runs = load_study(default_preset(dataset), given, {**flags, "dataset": dataset}).runs
    cells = {run.data: None for run in runs}
    if len(cells) > 1:
        raise UsageError(f"{len(cells)} data cells are asked for: samples are compared with one")
    return resolve_data(next(iter(cells)), data_root)


def folder_safe(stem: str) -> str:
    """Return a file's name as a method's: what cannot stand in a folder's name becomes ``_``."""
    return re.sub(r"[^A-Za-z0-9_.+-]+", "_", stem).strip("_") or "samples"


def score_external(
    samples: Path,
    data: DataSpec,
    claims: Mapping[str, Any],
    labels: Path | None,
    value_range: str | None,
    request: ScoreSpec,
    out: Path,
    data_root: Path | None,
    device: str | None,
) -> None:
    """Read samples made elsewhere, keep them beside our runs and score them."""
    from ltbench.interop.samples import Claims, read_samples, write_sample_set
    from ltbench.files import ensure_writable
    from ltbench.data.dataset import cached_dataset

    stated = Claims(**claims)
    ensure_writable(out)
    cell = cached_dataset(data, data_root)
    found = read_samples(samples, cell, labels, value_range)
    console.print(
        f"{samples}: {len(found.labels):,} images read as {found.recognised}", soft_wrap=True
    )
    folder = write_sample_set(found, cell, stated, samples, out)
    evaluate_runs([folder], request, False, data_root, device)
    console.print(f"{stated.name} (external) is in `{command('ltbench', 'report', out)}`", soft_wrap=True)


# -- trained networks -------------------------------------------------------------------------------


def import_run(
    path: Path,
    method: str,
    dataset: str | None,
    imbalance_ratio: str | None,
    train_seed: int,
    step: int | None,
    sets: Sequence[str],
    out: Path,
    data_root: Path | None,
) -> None:
    """Turn an official checkpoint into a trained run and say how to sample and score it."""
    from ltbench.data import get_source, resolve_data
    from ltbench.files import ensure_writable
    from ltbench.interop.checkpoints import (
        guess_dataset,
        import_checkpoint,
        model_settings,
        read_official,
        released_variants,
    )
    from ltbench.study.checks import validate
    from ltbench.study.file import load_study

    variants = released_variants(method)  # first: a misspelt method is not worth reading a file for
    checkpoint = read_official(path)
    source = get_source(dataset or guess_dataset(checkpoint.config))
    asked = any(entry.startswith("data.imbalance_ratio") for entry in sets)
    if source.default_profile != "asis" and imbalance_ratio is None and not asked:
        raise UsageError(
            f"{path} does not say at which imbalance ratio of {source.name} it was trained: give --imbalance-ratio"
        )
    steps = step or checkpoint.step
    if not steps:
        raise UsageError(f"{path} does not say how many steps it was trained: give --step")
    known = variants | model_settings(checkpoint.config)
    known |= {
        "data.profile": source.default_profile,
        "train.steps": str(steps),
        "train.imported": checkpoint.sha256,
    }
    if source.default_profile == "asis":  # the ratio as the presets state it, so that cells are the same
        known["data.imbalance_ratio"] = str(data_cell(source.name, (), {}, data_root).imbalance_ratio)
    if checkpoint.config.image_size != source.default_size:
        known["data.image_size"] = str(checkpoint.config.image_size)
    given = [f"{key}={value}" for key, value in known.items()]
    flags = {
        "methods": method,
        "dataset": source.name,
        "imbalance_ratio": imbalance_ratio,
        "seeds": str(train_seed),
    }
    runs = load_study(None, [*given, *sets], flags).runs
    if len(runs) > 1:
        raise UsageError(f"{len(runs)} runs are asked for, but {path} is one: give one value a setting")
    spec = runs[0].model_copy(update={"data": resolve_data(runs[0].data, data_root)})
    ensure_writable(out)
    folder = import_checkpoint(checkpoint, spec, validate(spec, data_root, need_files=False), out)
    console.print(f"{folder}: {method} on {source.name}, step {steps:,}", soft_wrap=True)
    line = command(
        "ltbench", "run", "--preset", folder / "study.toml", "--out", out, "--set", "sample.guidance=1.0"
    )
    console.print(f"sample and score it: {line}", soft_wrap=True)


def export_network(run: Path, target: Path, step: int | None, weights: str) -> None:
    """Write a run's network for diffusers."""
    from ltbench.interop.export import export_run

    chosen = export_run(run, target, step, weights)
    console.print(
        f"{target}: step {chosen:,}; load it with diffusers.UNet2DModel.from_pretrained({str(target)!r})",
        soft_wrap=True,
    )


# -- doctor -----------------------------------------------------------------------------------------


def show_doctor(golden: bool, out: Path, data_root: Path | None, device: str | None) -> bool:
    """Print what is there, what is missing and what to do; return whether no published value is missed."""
    from ltbench.cli.doctor import check_golden, examine

    colours = {"ok": "green", "missing": "red", "note": "yellow"}
    marks = {state: (f"{state:<7}", colour) for state, colour in colours.items()}
    topic = ""
    for found in examine(data_root, out):
        if found.topic != topic:
            topic = found.topic
            console.print(styled((topic, "bold")))
        console.print(styled("  ", marks[found.state], f" {found.name:<22} {found.text}"), soft_wrap=True)
        if found.state != "ok" and found.advice:
            console.print(f"          {found.advice}", soft_wrap=True)
    if not golden:
        return True
    console.print(styled(("published check values", "bold")))
    with console.status("") as status:
        results = check_golden(data_root, out / ".cache", usable_device(device), progress=lambda text: status.update(styled(text)))
    for result in results:
        check = result.check
        stated = f"published {check.value:g} +- {check.tolerance:g}"
        if result.value is None:
            console.print(styled("  ", marks["missing"], f" {check.name}, {stated}"), soft_wrap=True)
            console.print(f"          {result.missing}", soft_wrap=True)
            continue
        mark = marks["ok"] if result.agrees else ("differs", "red")
        console.print(styled("  ", mark, f" {check.name}: {result.value:.6g}, {stated}"), soft_wrap=True)
    return all(result.agrees is not False for result in results)
