"""What `ltbench score`, `import` and `export` print: from other people's files to runs, and from runs to theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ltbench.cli.console import make_console
from ltbench.cli.results import evaluate_runs, show_numbers
from ltbench.specs import DataSpec, ScoreSpec
from ltbench.text import command

console = make_console()

# -- samples made elsewhere -------------------------------------------------------------------------


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
    from ltbench.data.dataset import cached_dataset
    from ltbench.extractors.registry import check_name, resolve_extractors
    from ltbench.files import ensure_writable
    from ltbench.interop.external import ExternalClaims, default_name, write_sample_set
    from ltbench.interop.samples import read_samples
    from ltbench.metrics.registry import requested_metrics
    from ltbench.runs.layout import SCORES
    from ltbench.runs.scores import read_scores

    stated = ExternalClaims(**{**claims, "name": claims["name"] or default_name(samples)})
    requested_metrics(request.metrics)  # what is no name leaves no sample set behind
    for name in resolve_extractors(request.extractors, data.dataset, request.resize):
        check_name(name)
    ensure_writable(out)
    dataset = cached_dataset(data, data_root)
    read = read_samples(samples, dataset, labels, value_range)
    console.print(f"{samples}: {len(read.labels):,} images read as {read.recognised}", soft_wrap=True)
    folder = write_sample_set(read, dataset, stated, samples, out)
    evaluate_runs([folder], request, False, data_root, device)
    show_numbers(read_scores(folder / SCORES), stated.name)
    console.print(f"{stated.name} (external) is in `{command('ltbench', 'report', out)}`", soft_wrap=True)


# -- trained networks -------------------------------------------------------------------------------


def show_import(
    path: Path,
    method: str,
    out: Path,
    dataset: str | None,
    step: int | None,
    flags: Mapping[str, str | None],
    sets: Sequence[str],
    data_root: Path | None,
) -> None:
    """Turn an official checkpoint into a trained run and say how to sample and score it."""
    from ltbench.interop.import_run import import_run

    folder, spec = import_run(
        path, method, out, dataset=dataset, step=step, flags=flags, sets=sets, data_root=data_root
    )
    console.print(f"{folder}: {method} on {spec.data.dataset}, step {spec.train.steps:,}", soft_wrap=True)
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
