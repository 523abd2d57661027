"""Commands on bundles: pack, unpack, verify, merge, site."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from ltbench.cli.options import EXCHANGE, READ
from ltbench.errors import DataCorrupt, UsageError
from ltbench.temporary import scratch_folder

app = typer.Typer()

Seeds = Annotated[
    str | None, typer.Option(help="Training seeds whose images and features are kept: 0, 0,1,2 or all.")
]


def _seeds(text: str | None, flag: str) -> list[int] | None:
    if text is None:
        return []
    if text.strip() == "all":
        return None
    parts = text.split(",")
    if not all(part.strip().isascii() and part.strip().isdigit() and len(part) < 10 for part in parts):
        raise UsageError(f"{flag} takes training seeds, as 0 or 0,1,2, or all; not {text[:60]!r}")
    return [int(part) for part in parts]


def _sample_sets(study_file: Path, roots: list[Path], data_root: Path | None) -> set[str]:
    """Return the names of a study's sample sets in folders of runs, as ``RUN/samples/KEY8``."""
    import dataclasses

    from ltbench.interop.networks import with_networks
    from ltbench.runs.layout import SPEC, sample_folder
    from ltbench.study.resolve import resolve_study
    from ltbench.sweep.study_run import study_tasks

    study = resolve_study(study_file, data_root=data_root)
    names = set()
    for folder in roots:
        root = folder.parent if (folder / SPEC).is_file() else folder  # networks and trials lie beside a run
        runs, _ = with_networks(study.runs, root, data_root, keep=False)
        tasks = study_tasks(dataclasses.replace(study, runs=runs), root)
        names |= {sample_folder(task.stage.spec).as_posix() for task in tasks}
    return names


@app.command(rich_help_panel=EXCHANGE)
def pack(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs, or run folders.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The bundle: a folder, or a file that ends in .zip.")
    ],
    study: Annotated[list[Path] | None, typer.Option("--study", help="A study file to put in.")] = None,
    images: Seeds = None,
    weights: Annotated[str | None, typer.Option(help="Training seeds whose weights are kept.")] = None,
    sheets: Annotated[
        bool,
        typer.Option(
            "--sheets/--no-sheets",
            help="Keep the pictures: contact sheets, and pairs of generated and nearest training images.",
        ),
    ] = True,
    only: Annotated[
        Path | None,
        typer.Option(
            help="Take only the trainings and sample sets of this study file, of all that the folders hold."
        ),
    ] = None,
    compression: Annotated[
        str,
        typer.Option(help="gz, or xz: two thirds of the bytes, ten times the time to write."),
    ] = "gz",
    data_root: Annotated[
        Path | None,
        typer.Option(
            "--data-root",
            help="Where data sets are, by which --only knows prepared folders; default $LTBENCH_DATA or ./data.",
        ),
    ] = None,
) -> None:
    """Pack finished runs into one small bundle that travels: specs, every number, logs, sheets."""
    from ltbench.cli.console import make_console
    from ltbench.runs.pack import pack as write

    studies = [*(study or []), *([] if only is None else [only])]
    for path in studies:
        if not path.is_file():
            raise UsageError(f"no study file at {path}")
    names = None if only is None else _sample_sets(only, runs, data_root)
    packed = write(
        runs,
        out,
        studies=studies,
        keep_arrays=_seeds(images, "--images"),
        keep_weights=_seeds(weights, "--weights"),
        sheets=sheets,
        only=names,
        compression=compression,
    )
    size = sum(map(len, packed.contents.values())) / 1e6
    about = packed.index
    make_console().print(
        f"{about['trainings']} trainings, {about['numbers']} numbers, {size:.1f} MB: {out}", markup=False
    )


@app.command(rich_help_panel=EXCHANGE)
def unpack(
    bundle: Annotated[Path, typer.Argument(help="A bundle.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the runs.")],
) -> None:
    """Unpack a bundle into run folders; a file that is there with another content is never written over."""
    from ltbench.cli.console import make_console
    from ltbench.runs import bundle as bundles

    folders = bundles.unpack(bundles.read_bundle(bundle), out)
    make_console().print(f"{len(folders)} trainings: {out}", markup=False)


@app.command(rich_help_panel=EXCHANGE)
def verify(
    bundle: Annotated[Path, typer.Argument(help="A bundle, or a folder of runs.")],
    data_root: Annotated[
        Path | None, typer.Option("--data-root", help="Where data sets are; default $LTBENCH_DATA or ./data.")
    ] = None,
    device: Annotated[str | None, typer.Option("--device", help="cpu, cuda, cuda:1.")] = "cpu",
    redraw: Annotated[
        bool, typer.Option("--redraw", help="Draw the samples again where weights are stored: minutes a set.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Check a stranger's results: keys, splits, and every number whose images are stored. Executes nothing from it."""
    from ltbench.cli.console import make_console, waiting
    from ltbench.environment import usable_device
    from ltbench.interop.verify import summary
    from ltbench.interop.verify import verify as check
    from ltbench.runs.bundle import is_bundle, read_bundle
    from ltbench.runs.bundle import unpack as write
    from ltbench.text import one_line

    name = usable_device(device)
    console = make_console()
    progress = contextlib.nullcontext() if as_json else waiting(f"verifying {bundle}")
    with scratch_folder() as scratch, progress:
        root = bundle
        if is_bundle(bundle):
            root = scratch / "runs"
            write(read_bundle(bundle), root)
        elif not bundle.is_dir():
            raise UsageError(f"no bundle or folder at {bundle}: give what `ltbench pack` wrote")
        verification = check(root, data_root=data_root, device=name, redraw=redraw)
    if as_json:
        typer.echo(json.dumps(summary(verification), indent=2))
    else:
        for status, count in verification.counts.items():
            console.print(f"{count:8d} {status}", markup=False)
        for title, sentences in (
            ("contradicted", verification.problems),
            ("not checked", verification.notes),
        ):
            for sentence in sentences[:20]:
                console.print(f"{title}: {one_line(sentence)}", markup=False)
            if len(sentences) > 20:
                console.print(f"{title}: {len(sentences) - 20} more; --json lists all", markup=False)
        wrong = (
            verification.rows[verification.rows["status"] == "contradicted"]
            if len(verification.rows)
            else verification.rows
        )
        for row in wrong.head(10).itertuples():
            place = f"{row.scope} {row.class_or_group}".strip()
            console.print(
                f"contradicted: {row.run} {row.metric} {place}: says {row.value:.6g}, is {row.again:.6g} here",
                markup=False,
            )
    if not verification.holds:
        sys.exit(1)


@app.command(rich_help_panel=EXCHANGE)
def merge(
    first: Annotated[Path, typer.Argument(help="A bundle, or a folder of runs.")],
    second: Annotated[Path, typer.Argument(help="Another.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The bundle to write.")],
    keep: Annotated[
        str | None,
        typer.Option(help="For whom a conflict is settled: first or second; default: stop at conflicts."),
    ] = None,
) -> None:
    """Merge two laboratories' results: what both have counts once, what they disagree on is named."""
    from ltbench.cli.console import make_console
    from ltbench.runs.merge import merge_runs
    from ltbench.runs.pack import pack as write
    from ltbench.runs.places import places

    if keep not in (None, "first", "second"):
        raise UsageError(f"--keep takes first or second, not {keep!r}")
    with scratch_folder() as scratch:
        target = scratch / "merged"
        merged = merge_runs([first, second], target, keep=keep)  # type: ignore[arg-type]  # one of the two
        if merged.conflicts and keep is None:
            shown = "; ".join(merged.conflicts[:5]) + (" ..." if len(merged.conflicts) > 5 else "")
            raise DataCorrupt(
                f"{len(merged.conflicts)} results differ: {shown}: settle them with --keep first or --keep second"
            )
        roots = (*places(first), *places(second))
        studies = [path for root in roots for path in sorted(root.glob("*.toml")) if path.is_file()]
        write([target], out, studies=studies, keep_arrays=None, keep_weights=None)
    make_console().print(
        f"{merged.trainings} trainings, {merged.sample_sets} sample sets, {merged.numbers} numbers "
        f"({merged.duplicates} in both, {len(merged.conflicts)} settled): {out}",
        markup=False,
    )


@app.command(rich_help_panel=READ)
def site(
    bundles: Annotated[list[Path], typer.Argument(help="Bundles, or folders of runs.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the page.")] = Path("site"),
    check: Annotated[
        bool,
        typer.Option(
            "--verify/--no-verify", help="Score stored images again, to say what each row is worth."
        ),
    ] = True,
    data_root: Annotated[
        Path | None, typer.Option("--data-root", help="Where data sets are; default $LTBENCH_DATA or ./data.")
    ] = None,
) -> None:
    """Write a static league page over many bundles: ranks with intervals, never across protocols."""
    from ltbench.cli.console import make_console, waiting
    from ltbench.interop.verify import verify as verified
    from ltbench.league.page import summary_line, write_site

    worth = (lambda root: verified(root, data_root=data_root).rows) if check else None
    with waiting("reading and verifying the bundles"):
        written = write_site(bundles, out, verify=worth)
    make_console().print(summary_line(written), markup=False)
