"""What the commands for data sets, other people's samples and checkpoints do between parsing and printing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ltbench.commands import console, evaluate_runs
from ltbench.errors import UsageError
from ltbench.spec import DataSpec

# -- data sets --------------------------------------------------------------------------------------


def prepare_data(
    name: str,
    source: Path,
    data_root: Path | None,
    image_size: int | None,
    lists: Path | None,
    workers: int | None,
) -> None:
    """Prepare a data set with a progress bar; say where it lies and what is in it."""
    from ltbench.data.preparation import prepare

    with _progress() as bar:
        task = bar.add_task(f"preparing {name}", total=None)
        folder = prepare(
            name,
            source,
            data_root,
            image_size=image_size,
            lists=lists,
            workers=workers,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    _show_prepared(folder)
    console.print(
        f"use it: ltbench run --dataset {name}" + (f" --data-root {data_root}" if data_root else "")
    )


def verify_data(name: str, data_root: Path | None) -> None:
    """Compare every prepared folder of a data set with its manifest."""
    from ltbench.data.preparation import verify

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


def _show_prepared(folder: Any) -> None:
    console.print(f"[bold]{folder.folder}[/bold]  content {folder.hash[:16]}", soft_wrap=True)
    for name, content in folder.identity["sets"].items():
        counts = content["counts"]
        console.print(
            f"  {name}: {content['n']:,} images of {len(counts)} classes, {min(counts)} to {max(counts)} a class, "
            f"{folder.image_size}x{folder.image_size}",
            soft_wrap=True,
        )


# -- samples made elsewhere -------------------------------------------------------------------------


def data_cell(
    dataset: str, sets: Sequence[str], flags: Mapping[str, Any], data_root: Path | None
) -> DataSpec:
    """Return the one data cell that a data set's default preset, ``--set data.*`` and flags describe."""
    from ltbench.data import get_source, resolve
    from ltbench.presets import default_preset
    from ltbench.sweep.grid import load_study

    for entry in sets:
        if not entry.startswith("data."):
            raise UsageError(f"--set {entry}: only data.* says what samples are compared with")
    source = get_source(dataset)
    given = [f"data.profile={source.default_profile}", *sets]
    runs = load_study(default_preset(dataset), given, {**flags, "dataset": dataset}).runs
    cells = {run.data: None for run in runs}
    if len(cells) > 1:
        raise UsageError(f"{len(cells)} data cells are asked for: samples are compared with one")
    return resolve(next(iter(cells)), data_root)


def score_external(
    samples: Path,
    data: DataSpec,
    claims: Mapping[str, Any],
    labels: Path | None,
    value_range: str | None,
    metrics: str,
    extractors: str,
    bootstrap: int,
    out: Path,
    data_root: Path | None,
    device: str | None,
) -> None:
    """Read samples made elsewhere, keep them beside our runs and score them."""
    from ltbench.external import Claims, read_samples, write_sample_set
    from ltbench.files import ensure_writable
    from ltbench.pipeline import cell_of

    stated = Claims(**claims)
    ensure_writable(out)
    cell = cell_of(data.model_dump_json(), data_root)
    found = read_samples(samples, cell, labels, value_range)
    console.print(
        f"{samples}: {len(found.labels):,} images read as {found.recognised}", soft_wrap=True, markup=False
    )
    folder = write_sample_set(found, cell, stated, samples, out)
    evaluate_runs([folder], metrics, extractors, bootstrap, False, data_root, device)
    console.print(f"{stated.name} (external) is in `ltbench report {out}`", soft_wrap=True, markup=False)
