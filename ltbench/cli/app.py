"""The command line: parse, call, print. Libraries are imported by the command that needs them, so `--help` is quick."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ltbench.cli import bundles, complete, extractor, options, statistics
from ltbench.cli.console import Streams, fail
from ltbench.cli.options import (
    Bootstrap,
    DataRoot,
    Device,
    Extractors,
    Groups,
    Metrics,
    Out,
    Preset,
    Reference,
    Resize,
    Sets,
    Trust,
    Workers,
    with_study_flags,
)
from ltbench.errors import Interrupted, UsageError


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
RUN, FOLLOW, READ = "Run and score", "Follow a sweep", "Read results"
EXCHANGE, OWN, LISTS = "Exchange and check", "Bring your own", "Look up"
data_app = typer.Typer(help="Prepare and verify data sets that come as image folders.", no_args_is_help=True)
new_app = typer.Typer(help="Write the files of a package of yours.", no_args_is_help=True)


def _version(asked: bool) -> None:
    if asked:
        from ltbench.cli.version import version_text

        typer.echo(version_text())
        raise typer.Exit


@app.callback()
def _root(
    _asked: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_version,
            is_eager=True,
            help="Print the version, commit and libraries; what a bug report needs.",
        ),
    ] = False,
) -> None:
    from ltbench.plugins import check_one_checkout

    check_one_checkout()


# -- running ----------------------------------------------------------------------------------------


@app.command(
    epilog="For example: ltbench run -m ddpm,coral -d fashion_mnist_lt -r 0.01 --seeds 0..2",
    rich_help_panel=RUN,
)
@with_study_flags
def run(
    flags: dict[str, str | None],
    preset: Preset = None,
    sets: Sets = None,
    init_from: Annotated[
        Path | None,
        typer.Option(
            "--init-from",
            help="Fine-tune: a run's folder, a weights file or an official checkpoint.",
            rich_help_panel=options.WHAT,
        ),
    ] = None,
    out: Out = Path("runs"),
    data_root: DataRoot = None,
    device: Device = None,
    workers: Workers = "auto",
    slurm: Annotated[
        str | None,
        typer.Option(
            "--slurm",
            help="Submit to Slurm: partition=gpu,time=8h,gpus_per_node=1; `--slurm help` lists the keys.",
            rich_help_panel=options.WHERE,
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="With --slurm: print the batch script and submit nothing. Without: print the plan.",
            rich_help_panel=options.WHERE,
        ),
    ] = False,
    track: Annotated[
        str,
        typer.Option(
            "--track",
            help="Show runs in tensorboard, wandb, mlflow, ...; changes no key and no number.",
            autocompletion=complete.trackers,
            rich_help_panel=options.WHERE,
        ),
    ] = "",
    yes: Annotated[
        bool,
        typer.Option(
            "--yes",
            "-y",
            help="Start plans of over 24 hours without asking.",
            rich_help_panel=options.WHERE,
        ),
    ] = False,
    sample_batch: Annotated[
        int,
        typer.Option(
            "--sample-batch", min=1, help="Images sampled at a time.", rich_help_panel=options.SPEED
        ),
    ] = 250,
    compile_network: Annotated[
        bool, typer.Option("--compile", help="torch.compile the U-Net.", rich_help_panel=options.SPEED)
    ] = False,
    channels_last: Annotated[
        bool,
        typer.Option("--channels-last", help="Faster on tensor cores.", rich_help_panel=options.SPEED),
    ] = False,
    cuda_graphs: Annotated[
        bool,
        typer.Option(
            "--cuda-graphs",
            help="Compile, and start a GPU's kernels by the graph.",
            rich_help_panel=options.SPEED,
        ),
    ] = False,
    recompute: Annotated[
        bool,
        typer.Option(
            "--recompute",
            help="Train in less memory: gradient checkpointing.",
            rich_help_panel=options.SPEED,
        ),
    ] = False,
    trust: Trust = None,
) -> None:
    """Train, sample and score a grid of runs; what is done is skipped. Without arguments: the demo."""
    from ltbench.cli.sweep import show_slurm_keys, slurm_options

    wanted = (
        None if slurm in (None, "help") else slurm_options(slurm)
    )  # a typo is told before anything is measured
    if slurm == "help":
        show_slurm_keys()
        return
    from ltbench.cli.study import run_study, show_plan, show_slurm_script, trust_named

    if dry_run and wanted is not None:
        show_slurm_script(preset, sets or [], flags, out, data_root, wanted)
        return
    if dry_run:
        show_plan(preset, sets or [], flags, out, data_root, device, workers)
        return
    from ltbench.runs.tracking import check_trackers

    trackers = [name.strip() for name in track.split(",") if name.strip()]
    check_trackers(trackers)
    speed = {
        "sample_batch": sample_batch,
        "compile": compile_network,
        "channels_last": channels_last,
        "cuda_graphs": cuda_graphs,
        "recompute": recompute,
        "track": ",".join(trackers),
    }
    trust_named(sets or [], trust or [])
    run_study(preset, sets or [], flags, out, data_root, device, workers, yes, slurm, init_from, **speed)


@app.command(epilog="For example: ltbench plan -m ddpm,coral -d cifar10_lt --on h100", rich_help_panel=RUN)
@with_study_flags
def plan(
    flags: dict[str, str | None],
    study: Annotated[
        str | None,
        typer.Argument(
            metavar="[PRESET]", help="As --preset: a name or a TOML file.", autocompletion=complete.preset
        ),
    ] = None,
    preset: Preset = None,
    sets: Sets = None,
    on: Annotated[
        str | None,
        typer.Option(
            "--on",
            help="Hours on a card too: h100, a100, rtx4090, t4, ... or its sustained TFLOP/s; `--on list`.",
            autocompletion=complete.cards,
            rich_help_panel=options.WHERE,
        ),
    ] = None,
    out: Out = Path("runs"),
    data_root: DataRoot = None,
    device: Device = None,
    workers: Workers = "auto",
) -> None:
    """Print a study's grid, FLOPs, images, disk and estimated time; run nothing. Takes the flags of `run`."""
    if on == "list":
        from ltbench.cli.cards import show_cards

        show_cards()
        return
    from ltbench.cli.study import show_plan

    if study and preset:
        raise UsageError(f"a preset is given twice, {study} and --preset {preset}: leave one out")
    show_plan(study or preset, sets or [], flags, out, data_root, device, workers, on)


@app.command(rich_help_panel=RUN)
def evaluate(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Training folders, sample folders, or a folder of runs.", autocompletion=complete.run_folders
        ),
    ],
    metrics: Metrics = "default",
    extractors: Extractors = "auto",
    groups: Groups = "auto",
    resize: Resize = "own",
    reference: Reference = "balanced",
    bootstrap: Bootstrap = None,
    recompute: Annotated[bool, typer.Option("--recompute", help="Replace numbers that are there.")] = False,
    data_root: DataRoot = None,
    device: Device = None,
) -> None:
    """Add or recompute metrics of finished runs; nothing is trained or sampled."""
    from ltbench.cli.results import evaluate_runs, score_request
    from ltbench.cli.study import trust_named

    trust_named([extractors])
    request = score_request(metrics, extractors, groups, reference, bootstrap, resize)
    evaluate_runs(runs, request, recompute, data_root, device)


@app.command(rich_help_panel=RUN)
def score(
    samples: Annotated[
        Path,
        typer.Argument(
            help=".npy, .npz or .safetensors of images, a folder of class folders, or one of images without labels."
        ),
    ],
    dataset: Annotated[
        str,
        typer.Option("--dataset", "-d", help="What they are compared with.", autocompletion=complete.dataset),
    ],
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            help="Labels, where SAMPLES has none: .npy, or one a line; without them, overall scores only.",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="The method's name in tables; default: the file's.")
    ] = None,
    value_range: Annotated[
        str | None, typer.Option("--range", help="uint8, 0..1 or -1..1, where the values do not tell.")
    ] = None,
    imbalance_ratio: Annotated[
        str | None, typer.Option("--imbalance-ratio", "-r", help="Of the set the method was trained on.")
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
    metrics: Metrics = "default",
    extractors: Extractors = "auto",
    groups: Groups = "auto",
    resize: Resize = "own",
    reference: Reference = "balanced",
    bootstrap: Bootstrap = None,
    out: Out = Path("runs"),
    data_root: DataRoot = None,
    device: Device = None,
) -> None:
    """Score images made elsewhere; reports show them beside our runs, marked external."""
    from ltbench.cli.exchange import folder_safe, score_external
    from ltbench.cli.results import score_request
    from ltbench.cli.study import trust_named
    from ltbench.study.resolve import resolve_cell

    trust_named([extractors])
    request = score_request(metrics, extractors, groups, reference, bootstrap, resize)
    data = resolve_cell(dataset, sets or [], {"imbalance_ratio": imbalance_ratio}, data_root)
    claims = {
        "name": name or folder_safe(samples.stem),
        "variant": variant,
        "sampler": sampler,
        "nfe": nfe,
        "guidance": guidance,
        "step": step,
        "train_seed": train_seed,
        "sample_seed": sample_seed,
    }
    score_external(samples, data, claims, labels, value_range, request, out, data_root, device)


# -- sweeps -----------------------------------------------------------------------------------------


@app.command(rich_help_panel=FOLLOW)
def status(
    out: Out = Path("runs"),
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Keep showing it until all is done.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="List every stage.")] = False,
) -> None:
    """Show what is done, running, stale and failed of every sweep in a folder."""
    from ltbench.cli.sweep import show_status

    sys.exit(show_status(out, watch, everything))


@app.command(rich_help_panel=FOLLOW)
def retry(
    failed: Annotated[bool, typer.Option("--failed", help="All stages that failed.")] = False,
    out: Out = Path("runs"),
    start: Annotated[
        bool, typer.Option("--start/--no-start", help="Do them here, or leave them to a running driver.")
    ] = True,
    workers: Annotated[
        str | None, typer.Option("--workers", help="auto or a number; default: as before.")
    ] = None,
    trust: Trust = None,
) -> None:
    """Try failed stages again."""
    from ltbench.cli.study import trust_named
    from ltbench.cli.sweep import console, retry_failed
    from ltbench.sweep.status import closing_lines, exit_code

    if not failed:
        raise UsageError("say which stages to try again: ltbench retry --failed")
    trust_named([], trust or [])
    rows = retry_failed(out, start, workers)
    for line in closing_lines(rows, out):
        console.print(line, soft_wrap=True)
    sys.exit(exit_code(rows) if start else 0)


@app.command(rich_help_panel=FOLLOW)
def logs(
    run: Annotated[
        str,
        typer.Argument(
            help="A run's folder, or the last eight digits of its name.", autocompletion=complete.run_folders
        ),
    ],
    out: Out = Path("runs"),
    lines: Annotated[
        int | None, typer.Option("--lines", "-n", min=1, help="Last lines of each attempt.")
    ] = None,
) -> None:
    """Print what a run's stages printed, attempt by attempt, and how each ended."""
    from ltbench.cli.sweep import show_logs

    show_logs(run, out, lines)


# -- reading ----------------------------------------------------------------------------------------


@app.command(rich_help_panel=READ)
def report(
    roots: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders of runs; default runs/.", autocompletion=complete.run_folders),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Where the report goes; default ROOT/report.")
    ] = None,
    baseline: Annotated[
        str,
        typer.Option(
            "--baseline", help="Method the others are compared with.", autocompletion=complete.method
        ),
    ] = "ddpm",
    paper: Annotated[
        bool, typer.Option("--paper", help="Also fill the papers' tables and show what is missing.")
    ] = False,
    study: Annotated[
        Path | None, typer.Option("--study", help="Study file that declared a contrast beforehand.")
    ] = None,
    latex: Annotated[bool, typer.Option("--latex", help="Also write every table as LaTeX.")] = False,
    pdf: Annotated[bool, typer.Option("--pdf", help="Also write every drawn figure as PDF.")] = False,
    all_figures: Annotated[
        bool,
        typer.Option(
            "--all-figures", help="Draw every figure as a file, and the t-SNE where it is not kept yet."
        ),
    ] = False,
    checklist: Annotated[
        bool, typer.Option("--checklist", help="Show what reviewers ask, answered from the results.")
    ] = False,
    compare: Annotated[
        bool, typer.Option("--compare", help="Given two folders: which numbers moved beyond their spread.")
    ] = False,
) -> None:
    """Turn stored scores into one HTML page, Markdown and CSV; figures and LaTeX for a paper on request."""
    from ltbench.cli.results import compare_results, make_report

    folders = roots or [Path("runs")]
    if compare:
        if len(folders) != 2:
            raise UsageError("--compare takes two folders: ltbench report --compare A B")
        compare_results(folders[0], folders[1])
    else:
        make_report(
            folders,
            out,
            baseline,
            paper,
            study,
            latex=latex,
            pdf=pdf,
            all_figures=all_figures,
            checklist=checklist,
        )


# -- exchange, look-ups -----------------------------------------------------------------------------


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


@app.command(rich_help_panel=LISTS)
def datasets(
    imbalance_ratio: Annotated[
        str, typer.Option("--imbalance-ratio", "-r", help="Ratio the counts are shown at.")
    ] = "0.01",
    data_root: DataRoot = None,
) -> None:
    """List data sets, class counts at a ratio, and whether the files are there."""
    from ltbench.cli.lists import list_datasets

    list_datasets(imbalance_ratio, data_root)


@app.command(rich_help_panel=LISTS)
def methods() -> None:
    """List methods with paper, hyper-parameters and defaults."""
    from ltbench.cli.lists import list_methods

    list_methods()


@app.command(rich_help_panel=LISTS)
def metrics() -> None:
    """List metrics with definition, direction and source."""
    from ltbench.cli.lists import list_metrics

    list_metrics()


@app.command(rich_help_panel=LISTS)
def samplers() -> None:
    """List samplers with kind, orders and what must be known of each."""
    from ltbench.cli.lists import list_samplers

    list_samplers()


@app.command(rich_help_panel=LISTS)
def guidance() -> None:
    """List rules of guidance with their settings: how the scale omega is applied."""
    from ltbench.cli.lists import list_guidance

    list_guidance()


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


# -- data sets --------------------------------------------------------------------------------------


@data_app.command()
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


@data_app.command()
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


app.command(rich_help_panel=READ)(bundles.site)
for _command in (bundles.pack, bundles.unpack, bundles.verify, bundles.merge):
    app.command(rich_help_panel=EXCHANGE)(_command)
app.add_typer(statistics.app, name="statistics", rich_help_panel=EXCHANGE)
app.add_typer(data_app, name="data", rich_help_panel=OWN)
app.add_typer(extractor.app, name="extractor", rich_help_panel=OWN)
app.add_typer(new_app, name="new", rich_help_panel=OWN)


@new_app.command("method")
def new_method_(
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


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; a user's mistake ends in one sentence and a non-zero exit."""
    streams = Streams()
    streams.guard()
    try:
        app(arguments)
    except Exception as error:
        sys.exit(fail(error))
    finally:
        streams.close()


if __name__ == "__main__":
    main()
