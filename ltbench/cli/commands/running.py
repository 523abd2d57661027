"""Commands that do a study and score images: run, plan, evaluate, score."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ltbench.cli import complete, options
from ltbench.cli.options import (
    RUN,
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

app = typer.Typer()

# Flags of `run` alone.
InitFrom = Annotated[
    Path | None,
    typer.Option(
        "--init-from",
        help="Fine-tune: a run's folder, a weights file, an official checkpoint or a diffusers folder.",
        rich_help_panel=options.WHAT,
    ),
]
Slurm = Annotated[
    str | None,
    typer.Option(
        "--slurm",
        help="Submit to Slurm: partition=gpu,time=8h,gpus_per_node=1; `--slurm help` lists the keys.",
        rich_help_panel=options.WHERE,
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="With --slurm: print the batch script and submit nothing. Without: print the plan.",
        rich_help_panel=options.WHERE,
    ),
]
Track = Annotated[
    str,
    typer.Option(
        "--track",
        help="Show runs in tensorboard, wandb, mlflow, ...; changes no key and no number.",
        autocompletion=complete.trackers,
        rich_help_panel=options.WHERE,
    ),
]
Yes = Annotated[
    bool,
    typer.Option(
        "--yes",
        "-y",
        help="Start plans of over 24 hours without asking.",
        rich_help_panel=options.WHERE,
    ),
]
SampleBatch = Annotated[
    int,
    typer.Option(
        "--sample-batch",
        min=1,
        help="Images sampled at a time; rounding only.",
        rich_help_panel=options.SPEED,
    ),
]
Compile = Annotated[
    bool,
    typer.Option("--compile", help="torch.compile the U-Net; rounding only.", rich_help_panel=options.SPEED),
]
ChannelsLast = Annotated[
    bool,
    typer.Option(
        "--channels-last",
        help="Faster on tensor cores; rounding, and other dropout masks.",
        rich_help_panel=options.SPEED,
    ),
]
CudaGraphs = Annotated[
    bool,
    typer.Option(
        "--cuda-graphs",
        help="Compile, and start a GPU's kernels by the graph.",
        rich_help_panel=options.SPEED,
    ),
]
LessMemory = Annotated[
    bool,
    typer.Option(
        "--recompute",
        help="Train in less memory: gradient checkpointing.",
        rich_help_panel=options.SPEED,
    ),
]

# Flags of `plan` alone.
On = Annotated[
    str | None,
    typer.Option(
        "--on",
        help="Hours on a card too: h100, a100, rtx4090, t4, ... or its sustained TFLOP/s; `--on list`.",
        autocompletion=complete.cards,
        rich_help_panel=options.WHERE,
    ),
]

# Flags of `evaluate` alone.
Runs = Annotated[
    list[Path],
    typer.Argument(
        help="Training folders, sample folders, or a folder of runs.", autocompletion=complete.run_folders
    ),
]
Replace = Annotated[bool, typer.Option("--recompute", help="Replace numbers that are there.")]

# Flags of `score` alone.
Samples = Annotated[
    Path,
    typer.Argument(
        help=".npy, .npz or .safetensors of images, a folder of class folders, or one of images without labels."
    ),
]
ComparedWith = Annotated[
    str,
    typer.Option("--dataset", "-d", help="What they are compared with.", autocompletion=complete.dataset),
]
Labels = Annotated[
    Path | None,
    typer.Option(
        "--labels",
        help="Labels, where SAMPLES has none: .npy, or one a line; without them, overall scores only.",
    ),
]
MethodName = Annotated[
    str | None, typer.Option("--name", help="The method's name in tables; default: the file's.")
]
ValueRange = Annotated[
    str | None, typer.Option("--range", help="uint8, 0..1 or -1..1, where the values do not tell.")
]
TrainedRatio = Annotated[
    str | None, typer.Option("--imbalance-ratio", "-r", help="Of the set the method was trained on.")
]
DataSets = Annotated[list[str] | None, typer.Option("--set", help="data.KEY=VALUE: data.image_size=28.")]
Variant = Annotated[str, typer.Option("--variant", help="The method's variant, for tables.")]
SamplerName = Annotated[str, typer.Option("--sampler", help="How they were sampled, for tables.")]
Nfe = Annotated[int | None, typer.Option("--nfe", help="Network evaluations an image.")]
Guidance = Annotated[float | None, typer.Option("--guidance", help="Guidance scale omega.")]
Step = Annotated[int | None, typer.Option("--step", help="Training step.")]
TrainSeed = Annotated[int, typer.Option("--train-seed", help="Tells trainings apart.")]
SampleSeed = Annotated[int, typer.Option("--sample-seed", help="Tells samplings apart.")]


@app.command(
    epilog="For example: ltbench run -m ddpm,coral -d fashion_mnist_lt -r 0.01 --seeds 0..2",
    rich_help_panel=RUN,
)
@with_study_flags
def run(
    flags: dict[str, str | None],
    study: options.PresetName = None,
    preset: Preset = None,
    sets: Sets = None,
    init_from: InitFrom = None,
    out: Out = Path("runs"),
    data_root: DataRoot = None,
    device: Device = None,
    workers: Workers = "auto",
    slurm: Slurm = None,
    dry_run: DryRun = False,
    track: Track = "",
    yes: Yes = False,
    sample_batch: SampleBatch = 250,
    compile_network: Compile = False,
    channels_last: ChannelsLast = False,
    cuda_graphs: CudaGraphs = False,
    recompute: LessMemory = False,
    trust: Trust = None,
) -> None:
    """Train, sample and score a grid of runs; what is done is skipped. Without arguments: the demo."""
    from ltbench.cli.sweep import show_slurm_keys, slurm_options

    preset = options.one_of(study, preset)
    if slurm == "help":
        show_slurm_keys()
        return
    # Read first: a typo is told before anything is measured.
    slurm_request = None if slurm is None else slurm_options(slurm, device, workers)
    from ltbench.cli.study import run_study, show_plan, show_slurm_script, trust_named

    if dry_run and slurm_request is not None:
        show_slurm_script(preset, sets or [], flags, out, data_root, slurm_request)
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
    study: options.PresetName = None,
    preset: Preset = None,
    sets: Sets = None,
    on: On = None,
    out: Out = Path("runs"),
    data_root: DataRoot = None,
    device: Device = None,
    workers: Workers = "auto",
) -> None:
    """Print a study's grid, FLOPs, images, disk and estimated time; run nothing. Takes the flags of `run`."""
    preset = options.one_of(study, preset)
    if on == "list":
        from ltbench.cli.cards import show_cards

        show_cards()
        return
    from ltbench.cli.study import show_plan

    show_plan(preset, sets or [], flags, out, data_root, device, workers, on)


@app.command(rich_help_panel=RUN)
def evaluate(
    runs: Runs,
    metrics: Metrics = "default",
    extractors: Extractors = "auto",
    groups: Groups = "auto",
    resize: Resize = "own",
    reference: Reference = "balanced",
    bootstrap: Bootstrap = None,
    recompute: Replace = False,
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
    samples: Samples,
    dataset: ComparedWith,
    labels: Labels = None,
    name: MethodName = None,
    value_range: ValueRange = None,
    imbalance_ratio: TrainedRatio = None,
    sets: DataSets = None,
    variant: Variant = "",
    sampler: SamplerName = "",
    nfe: Nfe = None,
    guidance: Guidance = None,
    step: Step = None,
    train_seed: TrainSeed = 0,
    sample_seed: SampleSeed = 0,
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
    from ltbench.cli.exchange import score_external
    from ltbench.cli.results import score_request
    from ltbench.cli.study import trust_named
    from ltbench.study.resolve import resolve_cell

    trust_named([extractors])
    request = score_request(metrics, extractors, groups, reference, bootstrap, resize)
    data = resolve_cell(dataset, sets or [], {"imbalance_ratio": imbalance_ratio}, data_root)
    claims = {
        "name": name,
        "variant": variant,
        "sampler": sampler,
        "nfe": nfe,
        "guidance": guidance,
        "step": step,
        "train_seed": train_seed,
        "sample_seed": sample_seed,
    }
    score_external(samples, data, claims, labels, value_range, request, out, data_root, device)
