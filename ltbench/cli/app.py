"""The command line: parse, call, print. Libraries are imported by the command that needs them, so `--help` is quick."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ltbench.errors import Interrupted, LtbenchError, UsageError


class _Commands(TyperGroup):
    """Ctrl-C outside the workers ends like a soft stop; typer would end without a word."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise Interrupted("stopped: what is done is kept; run the same command to go on") from error


app = typer.Typer(
    name="ltbench",
    cls=_Commands,
    help="The fair comparison of diffusion models trained on long-tailed data.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(help="Prepare and verify data sets that come as image folders.", no_args_is_help=True)
app.add_typer(data_app, name="data")

Out = Annotated[Path, typer.Option("--out", help="Folder that holds the runs.")]
DataRoot = Annotated[
    Path | None, typer.Option("--data-root", help="Where data sets are; default $LTBENCH_DATA or ./data.")
]
Sets = Annotated[
    list[str] | None, typer.Option("--set", help="KEY=VALUE[,VALUE...], any field: train.steps=2000.")
]
Device = Annotated[
    str | None, typer.Option("--device", help="cpu, cuda, cuda:1; default: a GPU where there is one.")
]


def _version(asked: bool) -> None:
    if asked:
        from ltbench.cli.version import version_text

        typer.echo(version_text())
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version, commit and libraries; what a bug report needs.")
    ] = False,
) -> None:
    pass


# -- running ----------------------------------------------------------------------------------------


@app.command()
def run(
    methods: Annotated[
        str | None, typer.Option("--methods", "-m", help="Comma-separated; compositions as coral+t2h.")
    ] = None,
    dataset: Annotated[str | None, typer.Option("--dataset", "-d", help="Comma-separated data sets.")] = None,
    imbalance_ratio: Annotated[
        str | None, typer.Option("--imbalance-ratio", "-r", help="Comma-separated, in (0, 1].")
    ] = None,
    seeds: Annotated[str | None, typer.Option("--seeds", "-s", help="Train seeds: 0,1,2 or 0..4.")] = None,
    class_order: Annotated[
        str | None, typer.Option("--class-order", help="identity, reversed, permuted:SEED.")
    ] = None,
    split_seed: Annotated[
        str | None, typer.Option("--split-seed", help="Seeds of the subset's selection.")
    ] = None,
    sample_seed: Annotated[str | None, typer.Option("--sample-seed", help="Sampling seeds.")] = None,
    guidance: Annotated[str | None, typer.Option("--guidance", help="Guidance scales omega.")] = None,
    sampler: Annotated[
        str | None, typer.Option("--sampler", help="ancestral, ddim, dpmsolver++, sde-dpmsolver++.")
    ] = None,
    preset: Annotated[
        str | None, typer.Option("--preset", "-p", help="A preset's name or a TOML file.")
    ] = None,
    sets: Sets = None,
    out: Out = Path("runs"),
    data_root: DataRoot = None,
    device: Device = None,
    workers: Annotated[
        str, typer.Option("--workers", help="auto (one a GPU, or one a core), or a number.")
    ] = "auto",
    slurm: Annotated[
        str | None, typer.Option("--slurm", help="Submit to Slurm: partition=gpu,time=8h,gpus_per_node=1,...")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Start plans of over 24 hours without asking.")
    ] = False,
    init_from: Annotated[
        Path | None,
        typer.Option(
            "--init-from", help="Fine-tune: a run's folder, a weights file or an official checkpoint."
        ),
    ] = None,
    sample_batch: Annotated[
        int, typer.Option("--sample-batch", min=1, help="Images sampled at a time; changes rounding only.")
    ] = 250,
    compile_network: Annotated[
        bool, typer.Option("--compile", help="torch.compile the U-Net; changes rounding only.")
    ] = False,
    channels_last: Annotated[
        bool, typer.Option("--channels-last", help="Faster on tensor cores; changes rounding only.")
    ] = False,
) -> None:
    """Train, sample and score a grid of runs; what is done is skipped. Without arguments: the demo."""
    from ltbench.cli.study import run_study

    flags = {
        "methods": methods,
        "dataset": dataset,
        "imbalance_ratio": imbalance_ratio,
        "seeds": seeds,
        "class_order": class_order,
        "split_seed": split_seed,
        "sample_seed": sample_seed,
        "guidance": guidance,
        "sampler": sampler,
    }
    speed = {"sample_batch": sample_batch, "compile": compile_network, "channels_last": channels_last}
    run_study(preset, sets or [], flags, out, data_root, device, workers, yes, slurm, init_from, **speed)


@app.command()
def plan(
    preset: Annotated[str, typer.Argument(help="A preset's name or a TOML file.")],
    sets: Sets = None,
    out: Out = Path("runs"),
    data_root: DataRoot = None,
    device: Device = None,
    workers: Annotated[str, typer.Option("--workers", help="auto, or a number.")] = "auto",
) -> None:
    """Print a study's grid, FLOPs, images, disk and estimated time; run nothing."""
    from ltbench.cli.study import show_plan

    show_plan(preset, sets or [], {}, out, data_root, device, workers)


@app.command()
def evaluate(
    runs: Annotated[
        list[Path], typer.Argument(help="Training folders, sample folders, or a folder of runs.")
    ],
    metrics: Annotated[
        str, typer.Option("--metrics", help="Comma-separated, `all`, or `default`; see `ltbench metrics`.")
    ] = "default",
    extractors: Annotated[
        str, typer.Option("--extractors", help="Comma-separated; auto: the data set's own.")
    ] = "auto",
    bootstrap: Annotated[
        int, typer.Option("--bootstrap", min=0, help="Bootstrap replicates over images.")
    ] = 0,
    recompute: Annotated[bool, typer.Option("--recompute", help="Replace numbers that are there.")] = False,
    data_root: DataRoot = None,
    device: Device = None,
) -> None:
    """Add or recompute metrics of finished runs; nothing is trained or sampled."""
    from ltbench.cli.study import evaluate_runs

    evaluate_runs(runs, metrics, extractors, bootstrap, recompute, data_root, device)


@app.command()
def score(
    samples: Annotated[
        Path, typer.Argument(help=".npy, .npz or .safetensors of images, or a folder of class folders.")
    ],
    dataset: Annotated[str, typer.Option("--dataset", "-d", help="What they are compared with.")],
    labels: Annotated[
        Path | None, typer.Option("--labels", help="Labels, where SAMPLES has none: .npy, or one a line.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="The method's name in tables; default: the file's.")
    ] = None,
    value_range: Annotated[
        str | None, typer.Option("--range", help="uint8, 0..1 or -1..1, where the values do not tell.")
    ] = None,
    imbalance_ratio: Annotated[
        float | None, typer.Option("--imbalance-ratio", "-r", help="Of the set the method was trained on.")
    ] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", help="data.KEY=VALUE: data.image_size=28.")
    ] = None,
    variant: Annotated[str, typer.Option("--variant", help="The method's variant, for tables.")] = "",
    sampler: Annotated[str, typer.Option("--sampler", help="How they were sampled, for tables.")] = "",
    nfe: Annotated[int | None, typer.Option("--nfe", help="Network evaluations an image.")] = None,
    guidance: Annotated[float | None, typer.Option("--guidance", help="Guidance scale omega.")] = None,
    step: Annotated[int | None, typer.Option("--step", help="Training step.")] = None,
    train_seed: Annotated[int, typer.Option("--train-seed", help="Tells trainings apart.")] = 0,
    sample_seed: Annotated[int, typer.Option("--sample-seed", help="Tells samplings apart.")] = 0,
    metrics: Annotated[str, typer.Option("--metrics", help="As for `ltbench evaluate`.")] = "default",
    extractors: Annotated[str, typer.Option("--extractors", help="As for `ltbench evaluate`.")] = "auto",
    bootstrap: Annotated[
        int, typer.Option("--bootstrap", min=0, help="Bootstrap replicates over images.")
    ] = 0,
    out: Out = Path("runs"),
    data_root: DataRoot = None,
    device: Device = None,
) -> None:
    """Score images made elsewhere; reports show them beside our runs, marked external."""
    from ltbench.cli.data import data_cell, score_external

    data = data_cell(dataset, sets or [], {"imbalance_ratio": imbalance_ratio}, data_root)
    claims = {
        "name": name or samples.stem,
        "variant": variant,
        "sampler": sampler,
        "nfe": nfe,
        "guidance": guidance,
        "step": step,
        "train_seed": train_seed,
        "sample_seed": sample_seed,
    }
    score_external(
        samples, data, claims, labels, value_range, metrics, extractors, bootstrap, out, data_root, device
    )


@app.command("import")
def import_(
    path: Annotated[Path, typer.Argument(help="A ckpt_STEP.pt of the authors' code.")],
    method: Annotated[
        str, typer.Option("--method", "-m", help="Which it was trained by; the file does not say.")
    ],
    dataset: Annotated[
        str | None, typer.Option("--dataset", "-d", help="Default: the one with its classes and size.")
    ] = None,
    imbalance_ratio: Annotated[
        float | None, typer.Option("--imbalance-ratio", "-r", help="Of the set it was trained on.")
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
    from ltbench.cli.data import import_run

    import_run(path, method, dataset, imbalance_ratio, train_seed, step, sets or [], out, data_root)


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="A training's folder.")],
    to: Annotated[Path, typer.Option("--to", help="Folder to write.")],
    step: Annotated[int | None, typer.Option("--step", help="Default: the last that is kept.")] = None,
    weights: Annotated[str, typer.Option("--weights", help="ema (averaged) or raw (the last).")] = "ema",
) -> None:
    """Write a run's network with a model card, for diffusers' UNet2DModel.from_pretrained."""
    from ltbench.cli.data import export_network

    export_network(run, to, step, weights)


# -- sweeps -----------------------------------------------------------------------------------------


@app.command()
def status(
    out: Out = Path("runs"),
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Keep showing it until all is done.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="List every stage.")] = False,
) -> None:
    """Show what is done, running, stale and failed of every sweep in a folder."""
    from ltbench.cli.sweep import show_status

    sys.exit(show_status(out, watch, everything))


@app.command()
def retry(
    failed: Annotated[bool, typer.Option("--failed", help="All stages that failed.")] = False,
    out: Out = Path("runs"),
    start: Annotated[
        bool, typer.Option("--start/--no-start", help="Do them here, or leave them to a running driver.")
    ] = True,
    workers: Annotated[
        str | None, typer.Option("--workers", help="auto or a number; default: as before.")
    ] = None,
) -> None:
    """Try failed stages again."""
    from ltbench.cli.sweep import console, retry_failed
    from ltbench.sweep.status import closing_lines, exit_code

    if not failed:
        raise UsageError("say which stages to try again: ltbench retry --failed")
    rows = retry_failed(out, start, workers)
    for line in closing_lines(rows, out):
        console.print(line, markup=False, soft_wrap=True)
    sys.exit(exit_code(rows) if start else 0)


@app.command()
def logs(
    run: Annotated[str, typer.Argument(help="A run's folder, or the last eight digits of its name.")],
    out: Out = Path("runs"),
    lines: Annotated[
        int | None, typer.Option("--lines", "-n", min=1, help="Last lines of each attempt.")
    ] = None,
) -> None:
    """Print what a run's stages printed, attempt by attempt, and how each ended."""
    from ltbench.cli.sweep import show_logs

    show_logs(run, out, lines)


@app.command()
def reproduce(
    run: Annotated[Path, typer.Argument(help="The folder of a finished run.")],
    out: Annotated[Path | None, typer.Option("--out", help="A fresh folder; default reproduced/RUN.")] = None,
    tolerance: Annotated[
        float, typer.Option("--tolerance", help="Relative, for overall scores on another class of machine.")
    ] = 0.05,
    data_root: DataRoot = None,
    device: Device = None,
) -> None:
    """Make a run again from its recorded spec and compare weights, images and scores."""
    from ltbench.cli.study import device_of
    from ltbench.cli.sweep import show_reproduction
    from ltbench.sweep.worker import Settings

    settings = Settings(None if data_root is None else str(data_root), device_of(device))
    sys.exit(0 if show_reproduction(run, out, settings, tolerance) else 1)


# -- reading ----------------------------------------------------------------------------------------


@app.command()
def report(
    roots: Annotated[list[Path] | None, typer.Argument(help="Folders of runs; default runs/.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Where the report goes; default ROOT/report.")
    ] = None,
    baseline: Annotated[
        str, typer.Option("--baseline", help="Method the others are compared with.")
    ] = "ddpm",
    paper: Annotated[
        bool, typer.Option("--paper", help="Also fill the papers' tables and show what is missing.")
    ] = False,
    study: Annotated[
        Path | None, typer.Option("--study", help="Study file whose [contrast] was declared beforehand.")
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Given two folders: which numbers moved beyond their spread.")
    ] = False,
) -> None:
    """Turn stored scores into tables (terminal, Markdown, CSV, LaTeX), figures (PNG, PDF) and one HTML page."""
    from ltbench.cli.study import compare_results, make_report

    folders = roots or [Path("runs")]
    if compare:
        if len(folders) != 2:
            raise UsageError("--compare takes two folders: ltbench report --compare A B")
        compare_results(folders[0], folders[1])
    else:
        make_report(folders, out, baseline, paper, study)


@app.command()
def datasets(
    imbalance_ratio: Annotated[
        str, typer.Option("--imbalance-ratio", "-r", help="Ratio the counts are shown at.")
    ] = "0.01",
    data_root: DataRoot = None,
) -> None:
    """List data sets, class counts at a ratio, and whether the files are there."""
    from ltbench.cli.lists import list_datasets

    list_datasets(imbalance_ratio, data_root)


@app.command()
def methods() -> None:
    """List methods with paper, hyper-parameters and defaults."""
    from ltbench.cli.lists import list_methods

    list_methods()


@app.command()
def metrics() -> None:
    """List metrics with definition, direction and source."""
    from ltbench.cli.lists import list_metrics

    list_metrics()


@app.command()
def presets() -> None:
    """List presets."""
    from ltbench.cli.lists import list_presets

    list_presets()


@app.command()
def doctor(
    golden: Annotated[
        bool, typer.Option("--golden", help="Compute published values where data and weights are present.")
    ] = False,
    out: Out = Path("runs"),
    data_root: DataRoot = None,
    device: Device = None,
) -> None:
    """Show versions, devices, data and weights: found, or missing and what to do."""
    from ltbench.cli.data import show_doctor

    if not show_doctor(golden, out, data_root, device):
        sys.exit(1)


# -- data sets --------------------------------------------------------------------------------------


@data_app.command()
def prepare(
    name: Annotated[str, typer.Argument(help="celeba5, imagenet_lt or folder_lt.")],
    source: Annotated[Path, typer.Option("--source", help="The folder or zip file with the images.")],
    image_size: Annotated[
        int | None, typer.Option("--image-size", help="Pixels a side; default: the data set's own.")
    ] = None,
    lists: Annotated[
        Path | None, typer.Option("--lists", help="Folder of official lists (imagenet_lt); default: SOURCE.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", help="Processes; default: one a core this process may use.")
    ] = None,
    data_root: DataRoot = None,
) -> None:
    """Turn image files into memory-mapped arrays once; stopped, the same command goes on from there."""
    from ltbench.cli.data import prepare_data

    prepare_data(name, source, data_root, image_size, lists, workers)


@data_app.command()
def verify(
    name: Annotated[str, typer.Argument(help="celeba5, imagenet_lt or folder_lt.")],
    data_root: DataRoot = None,
) -> None:
    """Read prepared images again and compare all of them with their manifest."""
    from ltbench.cli.data import verify_data

    verify_data(name, data_root)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; a user's mistake ends in one sentence and a non-zero exit."""
    try:
        app(arguments)
    except LtbenchError as error:
        _fail(error)


def _fail(error: LtbenchError) -> None:
    prefix = "" if error.exit_code == 130 else "error: "
    typer.echo(f"{prefix}{error}", err=True)
    sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
