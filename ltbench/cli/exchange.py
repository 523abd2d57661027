"""What `ltbench score`, `import` and `export` print: from other people's files to runs, and from runs to theirs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ltbench.cli.console import make_console
from ltbench.cli.results import evaluate_runs, show_numbers
from ltbench.errors import UsageError
from ltbench.spec import DataSpec, ScoreSpec
from ltbench.text import command

console = make_console()

# -- samples made elsewhere -------------------------------------------------------------------------


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
    from ltbench.data.dataset import cached_dataset
    from ltbench.extractors.registry import check_name, resolve_extractors
    from ltbench.files import ensure_writable
    from ltbench.interop.samples import Claims, read_samples, write_sample_set
    from ltbench.metrics.registry import requested_metrics
    from ltbench.runs.layout import SCORES
    from ltbench.runs.scores import read_scores

    stated = Claims(**claims)
    requested_metrics(request.metrics)  # what is no name leaves no sample set behind
    for name in resolve_extractors(request.extractors, data.dataset, request.resize):
        check_name(name)
    ensure_writable(out)
    cell = cached_dataset(data, data_root)
    found = read_samples(samples, cell, labels, value_range)
    console.print(f"{samples}: {len(found.labels):,} images read as {found.recognised}", soft_wrap=True)
    folder = write_sample_set(found, cell, stated, samples, out)
    evaluate_runs([folder], request, False, data_root, device)
    show_numbers(read_scores(folder / SCORES), stated.name)
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
    from ltbench.study.resolve import resolve_cell

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
    cell = dataset or source.name  # of several prepared folders the one that is named: folder_lt:NAME
    size = [f"data.image_size={checkpoint.config.image_size}"]
    if source.default_profile == "asis":  # the ratio as the presets state it, so that cells are the same
        known["data.imbalance_ratio"] = str(resolve_cell(cell, size, {}, data_root).imbalance_ratio)
    if checkpoint.config.image_size != source.default_size:
        known["data.image_size"] = str(checkpoint.config.image_size)
    given = [f"{key}={value}" for key, value in known.items()]
    flags = {
        "methods": method,
        "dataset": cell,
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
