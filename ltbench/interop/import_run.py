"""An official checkpoint as a run: from the file and what it does not say to a trained run's folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from ltbench.data import get_source, resolve_data
from ltbench.errors import UsageError
from ltbench.files import ensure_writable
from ltbench.interop.checkpoints import (
    OfficialCheckpoint,
    guess_dataset,
    import_checkpoint,
    model_settings,
    read_official,
    released_variants,
)
from ltbench.specs import RunSpec
from ltbench.study.checks import validate
from ltbench.study.file import asked, load_study
from ltbench.study.resolve import as_asked, resolve_cell


def import_run(
    path: Path,
    method: str,
    out: Path,
    *,
    dataset: str | None = None,
    step: int | None = None,
    flags: Mapping[str, str | None] | None = None,
    sets: Sequence[str] = (),
    data_root: Path | None = None,
) -> tuple[Path, RunSpec]:
    """Turn an official checkpoint into a trained run.

    Parameters
    ----------
    path
        The authors' file, bare weights, or a folder for diffusers.
    method
        What it was trained by, which the file does not say.
    out
        Folder of the runs.
    dataset
        What it was trained on; default: the one data set with the network's classes, channels and size.
    step
        How long it was trained; default: as the file says.
    flags
        Further flags of ``ltbench run`` that the file does not tell, as ``imbalance_ratio`` and ``seeds``.
    sets
        ``KEY=VALUE`` entries, as given to ``--set``.
    data_root
        Folder of the data sets; None: the default one.

    Returns
    -------
    (pathlib.Path, RunSpec)
        The run's folder, and its spec.

    Raises
    ------
    UsageError
        Something that the file does not say is not given, or what is given contradicts the file.
    CheckpointError
        The file cannot be read.
    """
    flags = {"imbalance_ratio": None} | dict(flags or {})
    variants = released_variants(method)  # first: a misspelt method is not worth reading a file for
    checkpoint = read_official(path)
    source = get_source(dataset or guess_dataset(checkpoint.config))
    if not checkpoint.size_known:  # as of bare weights, which fit any size
        sizes = asked("data.image_size", sets, flags)
        checkpoint = _of_size(checkpoint, sizes[-1] if sizes and sizes[-1] else source.default_size)
    ratio_given = bool(asked("data.imbalance_ratio", sets, flags))
    has_own_counts = source.default_profile == "asis"
    if not has_own_counts and not ratio_given:
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
    if "ema" not in checkpoint.weights:  # it has no averaged weights to sample
        known["sample.weights"] = "raw"
    cell = dataset or source.name  # of several prepared folders the one that is named: folder_lt:NAME
    if has_own_counts and not ratio_given:  # the ratio as the presets state it, so that cells are the same
        size = [f"data.image_size={checkpoint.config.image_size}"]
        known["data.imbalance_ratio"] = str(resolve_cell(cell, size, {}, data_root).imbalance_ratio)
    if checkpoint.config.image_size != source.default_size:
        known["data.image_size"] = str(checkpoint.config.image_size)
    settings = [*(f"{key}={value}" for key, value in known.items()), *sets]
    runs = load_study(None, settings, {"methods": method, "dataset": cell, **flags}).runs
    if len(runs) > 1:
        raise UsageError(f"{len(runs)} runs are asked for, but {path} is one: give one value a setting")
    data = as_asked(runs[0].data, sets, flags)  # a ratio that was given cuts a set with counts of its own
    spec = runs[0].model_copy(update={"data": resolve_data(data, data_root)})
    ensure_writable(out)
    facts = validate(spec, data_root, need_files=False)
    return import_checkpoint(checkpoint, spec, facts, out), spec


def _of_size(checkpoint: OfficialCheckpoint, size: int) -> OfficialCheckpoint:
    config = dataclasses.replace(checkpoint.config, image_size=size)
    return dataclasses.replace(checkpoint, config=config)
