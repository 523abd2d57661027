"""Official checkpoints, from the authors' files to runs' weights (`export` is the other way).

An official file says what its network is and how long it was trained, but neither by which method nor on
which data; those are asked for. The run's key holds the file's SHA-256 (``train.imported``), so that it is
never taken for a training of ours.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ltbench.data import SOURCES, Dataset
from ltbench.data.facts import DatasetFacts
from ltbench.diffusion.unet import SIZES, UNetConfig
from ltbench.errors import UsageError
from ltbench.files import ensure_writable, sha256, write_text
from ltbench.interop.checkpoint_content import read_content
from ltbench.interop.diffusers_folder import CONFIG, load_diffusers, weights_file
from ltbench.interop.official import load_official
from ltbench.method.registry import create
from ltbench.runs.layout import kept_steps, weights_path
from ltbench.runs.provenance import write_provenance
from ltbench.runs.spec_files import open_folder
from ltbench.runs.weights import add_initial_weights, is_weights_file, save_weights
from ltbench.specs import RunSpec, train_key
from ltbench.study.file import Study
from ltbench.temporary import scratch_folder
from ltbench.training.model import build_model, load_state, method_tensors, state_of

Head = Mapping[str, Tensor]


@dataclass(frozen=True)
class OfficialCheckpoint:
    """An official file, read.

    Attributes
    ----------
    path, sha256
        The file.
    config
        The network's architecture.
    step
        Training step, None where the file does not say.
    weights
        ``ema`` and ``raw``, as far as the file has them -> the denoiser's state.
    heads
        Of the same names -> a projection head's ``weight`` and ``bias``; empty without one.
    size_known
        False: the file does not say how large its images are, and ``config`` takes the papers' 32 pixels.
    """

    path: Path
    sha256: str
    config: UNetConfig
    step: int | None
    weights: dict[str, dict[str, Tensor]]
    heads: dict[str, Head]
    size_known: bool = True


# -- in ---------------------------------------------------------------------------------------------


def read_official(path: Path) -> OfficialCheckpoint:
    """Read an official checkpoint's averaged and last weights, or what it has of them, or a folder for diffusers.

    Raises
    ------
    CheckpointError
        As `load_official` and `load_diffusers`.
    """
    if path.is_dir():
        denoiser = load_diffusers(path)
        state = {f"denoiser.{key}": value for key, value in denoiser.state_dict().items()}
        return OfficialCheckpoint(path, sha256(weights_file(path)), denoiser.config, None, {"ema": state}, {})
    weights, heads, content = {}, {}, read_content(path)
    for name, which in (("ema", "ema"), ("raw", "net")):
        if f"{which}_model" not in content:
            continue
        denoiser, extras = load_official(path, which)  # type: ignore[arg-type]
        weights[name] = {f"denoiser.{key}": value for key, value in denoiser.state_dict().items()}
        if extras["mean_proj"]:
            heads[name] = extras["mean_proj"]
    step = _whole(extras["step"]) or _step_in_name(path)
    return OfficialCheckpoint(path, sha256(path), denoiser.config, step, weights, heads, extras["size_known"])


def _whole(step: Any) -> int | None:
    """Return a step as trainers write it (a number, a tensor of one, text) as an int; None for what is none."""
    try:
        number = float(step)
    except (TypeError, ValueError, RuntimeError):
        return None
    return int(number) if number >= 1 and number.is_integer() else None


def _step_in_name(path: Path) -> int | None:
    match = re.fullmatch(r"ckpt_(\d+)", path.stem)
    return int(match.group(1)) if match else None


def model_settings(config: UNetConfig) -> dict[str, str]:
    """Return the ``model.*`` settings, as on the command line, that build an architecture."""
    network = (config.channels, config.attention, config.res_blocks, config.norm_groups)
    named = [
        name
        for name, size in SIZES.items()
        if (size.channels, size.attention, size.res_blocks, size.norm_groups) == network
    ]
    if named:
        same_size = [name for name in named if SIZES[name].image_size == config.image_size]
        return {"model.size": (same_size or named)[0]}
    return {
        "model.size": "ddpm32",  # for its norm_groups, which every official network has
        "model.widths": ",".join(map(str, config.channels)),
        "model.attention": ",".join(map(str, config.attention)),
        "model.res_blocks": str(config.res_blocks),
    }


def released_variants(method: str) -> dict[str, str]:
    """Return the ``--set`` entries for the formulas of the released code, which wrote the checkpoint.

    With which of its flags is not in the file: ``released_formula`` is preferred to the flags' defaults.
    """
    parts = [part for name in method.split(",") for _, part in create(name.strip()).parts]
    entries: dict[str, str] = {}
    for part in parts:
        known = [name for name in ("released_formula", "released") if name in part.VARIANTS]
        if known:
            entries[f"{part.name}.variant"] = known[0]
    return entries


def guess_dataset(config: UNetConfig) -> str:
    """Return the one data set with the network's classes, channels and size.

    Raises
    ------
    UsageError
        None or several have them.
    """
    shape = (config.num_classes, config.image_channels, config.image_size)
    fitting = [s.name for s in SOURCES.all().values() if (s.num_classes, s.channels, s.default_size) == shape]
    if len(fitting) != 1:
        raise UsageError(
            f"the checkpoint's network makes {shape[1]} x {shape[2]} x {shape[2]} images of {shape[0]} classes, which "
            f"is {' or '.join(fitting) or 'no data set known here'}: say what it was trained on with --dataset"
        )
    return fitting[0]


def import_checkpoint(
    checkpoint: OfficialCheckpoint, spec: RunSpec, facts: Dataset | DatasetFacts, out: Path
) -> Path:
    """Write a trained run with a checkpoint's weights; return its folder.

    Parameters
    ----------
    checkpoint
        The file's content.
    spec
        The run it becomes; its ``train.imported`` is the file's hash.
    facts
        The data cell, or its `DatasetFacts`.
    out
        Folder of the runs; the run's own is made below it.

    Raises
    ------
    UsageError
        Network and data cell differ, or the method's trained parts and the file's.
    """
    config = checkpoint.config
    stored = (config.num_classes, config.image_channels, config.image_size)
    expected = (facts.num_classes, facts.shape[0], facts.shape[1])
    if stored != expected:
        raise UsageError(
            f"{checkpoint.path} makes {stored[1]} x {stored[2]} x {stored[2]} images of {stored[0]} classes, but "
            f"{spec.data.dataset} has {expected[1]} x {expected[2]} x {expected[2]} of {expected[0]} classes: give its "
            "own --dataset, or set data.image_size"
        )
    model = build_model(spec, facts)
    parts = {
        name: checkpoint.weights[name] | _attached(model, checkpoint.heads.get(name), checkpoint, spec)
        for name in checkpoint.weights
    }
    for state in parts.values():
        load_state(model, state)
    key, step = train_key(spec), spec.train.steps
    folder = open_folder(spec, out)
    write_provenance(
        folder,
        {
            "origin": "external",
            "imported": {"from": str(checkpoint.path.resolve()), "sha256": checkpoint.sha256},
            "stages": [],
        },
    )
    write_text(folder / "study.toml", study_text(spec, checkpoint.path))
    ema, raw = parts.get("ema", {}), parts.get("raw", {})
    save_weights(weights_path(folder, step), ema, raw, key, step, lambda: None)
    return folder


def start_from(study: Study, path: Path, out: Path) -> Study:
    """Return the study with every training begun from the weights of a file, whose hash is then in its key.

    Parameters
    ----------
    study
        What to run.
    path
        As `add_initial`.
    out
        Folder of the runs, where the weights are kept.

    Raises
    ------
    UsageError, CheckpointError
        As `add_initial`.
    """
    ensure_writable(out)
    digest = add_initial(path, out)
    runs = tuple(
        run.model_copy(update={"train": run.train.model_copy(update={"init_weights": digest})})
        for run in study.runs
    )
    return dataclasses.replace(study, runs=runs)


def add_initial(path: Path, out: Path) -> str:
    """Keep weights to start trainings from below `out`; return the hash for ``train.init_weights``.

    Parameters
    ----------
    path
        A run's folder (its last averaged weights), one of its weights files, or what `read_official` reads: an official
        checkpoint (its averaged weights), also as safetensors, or a folder for diffusers.
    out
        Folder of the runs.

    Raises
    ------
    UsageError, CheckpointError
        There is no such file, or it holds no weights.
    """
    if not path.exists():
        raise UsageError(
            f"{path} does not exist: give a run's folder, a weights file, an official checkpoint or a diffusers folder"
        )
    if path.is_dir():
        if steps := kept_steps(path):
            return add_initial_weights(out, weights_path(path, steps[-1]))
        if not (path / CONFIG).is_file() and not (path / "unet" / CONFIG).is_file():
            raise UsageError(f"{path} has no weights yet: finish its training first")
    elif path.suffix == ".safetensors" and is_weights_file(path):
        return add_initial_weights(out, path)
    official = read_official(path)
    with scratch_folder() as folder:
        file = folder / "initial.safetensors"
        save_weights(
            file, next(iter(official.weights.values())), {}, official.sha256, official.step or 0, lambda: None
        )
        return add_initial_weights(out, file)


def _attached(
    model: nn.ModuleDict, head: Head | None, checkpoint: OfficialCheckpoint, spec: RunSpec
) -> dict[str, Tensor]:
    """Return the state of what the method attaches, from the file's projection head."""
    state, owned = state_of(model), method_tensors(model)
    attached = {name: value for name, value in state.items() if name in owned}
    if not attached and head is None:
        return {}
    method = spec.method.name
    if head is None:
        raise UsageError(
            f"{checkpoint.path} holds nothing of what {method} trains beside the U-Net: give the --method it was "
            "trained with"
        )
    inside = any(not name.startswith("methods.") for name in attached)
    if inside or sorted(name.rpartition(".")[2] for name in attached) != ["bias", "weight"]:
        raise UsageError(
            f"{checkpoint.path} holds a projection head, which {method} has no place for: only CORAL's code "
            "writes one, so give --method coral"
        )
    state = {name: head[name.rpartition(".")[2]] for name in attached}
    for name, value in attached.items():
        if state[name].shape != value.shape:
            owner = name.split(".")[1]
            raise UsageError(
                f"{checkpoint.path} has a head of width {len(head['bias'])}, but {method} makes one of width "
                f"{len(value)}: add --set {owner}.dim={len(head['bias'])}"
            )
    return state


def study_text(spec: RunSpec, path: Path) -> str:
    """Return the study file of one run: what differs from the defaults, as ``ltbench run --preset`` reads it."""
    lines = [
        f"title = {_toml(f'{spec.method.name} imported from {path.name}')}",
        f"train_seed = {spec.train_seed}",
        f"method = {_toml(spec.method.name)}",
    ]
    for section in ("data", "model", "train", "sample", "score"):
        differing = getattr(spec, section).model_dump(mode="json", exclude_defaults=True)
        if differing:
            lines += ["", f"[{section}]", *(f"{name} = {_toml(v)}" for name, v in differing.items())]
    if spec.method.hyperparameters:
        lines += ["", f"[for.{_toml(spec.method.name)}]"]
    for part, values in spec.method.hyperparameters.items():
        lines += [f'"{part}.{name}" = {_toml(value)}' for name, value in values.items()]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    # Text, numbers, true, false and lists are written alike, but TOML knows no halves of a pair and no bare DEL.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
