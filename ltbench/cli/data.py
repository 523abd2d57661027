"""What `ltbench data` prints: from image files to prepared folders, and from those to a verdict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ltbench.cli.console import make_console, styled
from ltbench.text import command

if TYPE_CHECKING:
    from rich.progress import Progress

    from ltbench.data.prepare.folder import PreparedFolder

console = make_console()

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
    from ltbench.data.prepare.verify import verify

    with _progress() as bar:
        task = bar.add_task(f"reading {name}", total=None)
        folders = verify(name, data_root, lambda done, total: bar.update(task, completed=done, total=total))
    for folder in folders:
        _show_prepared(folder)
    console.print("all images, labels and source lists are as their manifests state")


def _progress() -> Progress:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
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
