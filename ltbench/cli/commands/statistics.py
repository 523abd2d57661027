"""``ltbench statistics write | score``: reference statistics files in and out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ltbench.cli import complete
from ltbench.cli.console import make_console
from ltbench.cli.options import DataRoot, Device

app = typer.Typer(
    help="Mean and covariance of a reference (.npz of mu, sigma: clean-fid, pytorch-fid, ADM), out and in.",
    no_args_is_help=True,
)
ExtractorName = Annotated[
    str,
    typer.Option(
        "--extractor",
        help="Whose features the file is of; `ltbench extractor list` lists them.",
        autocompletion=complete.extractor,
    ),
]


@app.command()
def write(
    dataset: Annotated[str, typer.Option("--dataset", "-d", help="Whose balanced reference is written.")],
    out: Annotated[Path, typer.Option("--out", help="The .npz file.")],
    extractor: ExtractorName = "inception",
    data_root: DataRoot = None,
    device: Device = None,
) -> None:
    """Write a data set's reference as mu and sigma, for other people's tools."""
    from ltbench.data import load_dataset
    from ltbench.environment import usable_device
    from ltbench.extractors.registry import get_extractor
    from ltbench.interop.statistics import write_dataset_statistics
    from ltbench.study.resolve import resolve_cell

    console = make_console()
    network = get_extractor(extractor, device=usable_device(device))
    data = load_dataset(resolve_cell(dataset, data_root=data_root), data_root)
    n = write_dataset_statistics(data, network, out, out.parent / ".cache" / "features")
    console.print(f"{out}: mean and covariance of {n:,} images of {dataset} on {network.name}")


@app.command()
def score(
    file: Annotated[Path, typer.Argument(help="The .npz of mu and sigma.")],
    runs: Annotated[
        list[Path], typer.Argument(help="Training folders, sample folders, or a folder of runs.")
    ],
    extractor: ExtractorName = "inception",
    data_root: DataRoot = None,
    device: Device = None,
) -> None:
    """Add the Frechet distance of finished sample sets to a statistics file; nothing else can be had from one."""
    import pandas as pd

    from ltbench.data.dataset import cached_dataset
    from ltbench.diffusion.guidance import evaluations
    from ltbench.environment import usable_device
    from ltbench.extractors.registry import get_extractor
    from ltbench.interop.statistics import LIMITS, read_statistics, statistics_row
    from ltbench.runs.layout import CACHE
    from ltbench.runs.run import sample_sets
    from ltbench.runs.score_columns import run_columns
    from ltbench.runs.scores import merge_scores

    console = make_console()
    reference, sets = read_statistics(file), [samples for folder in runs for samples in sample_sets(folder)]
    network = get_extractor(extractor, device=usable_device(device))
    for samples in sets:
        dataset = cached_dataset(samples.spec.data, data_root)
        images, _ = samples.arrays()
        nfe = evaluations(samples.spec.sample, dataset.prior).nfe
        row = statistics_row(reference, dataset, images, network, samples.root / CACHE / "features")
        rows = pd.DataFrame([run_columns(samples.spec, nfe) | row]).assign(**samples.stated())
        merge_scores(samples.scores_file, rows)
        console.print(f"{samples.scores_file}: {network.title} {row['value']:.4g} to {reference.name}")
    console.print(LIMITS)
