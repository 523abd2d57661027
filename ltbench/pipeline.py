"""The stages of one run, from a spec to files in its folder: train -> sample -> score, and probe.

Each stage is skipped when its artifact exists. What lies where is said in `ltbench.runs.layout`.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from pydantic import ValidationError

from ltbench.environment import explain_failures
from ltbench.errors import CheckpointError
from ltbench.runs.layout import (
    CHECKPOINT,
    PROBES,
    folder_name,
    probe_path,
    sample_folder,
    weights_path,
)
from ltbench.runs.places import places
from ltbench.runs.run import SampleSet
from ltbench.runs.samples import chunk_path, has_chunks, has_samples, join_chunks, write_chunk
from ltbench.runs.scores import scored_requests
from ltbench.runs.spec_files import open_folder, open_samples
from ltbench.runs.tracking import tracking
from ltbench.specs import RunSpec, ScoreSpec, stage_key

if TYPE_CHECKING:  # these import torch, which a listing or a driver need not wait for
    from torch import nn

    from ltbench.data import Dataset
    from ltbench.diffusion.unet import Denoiser
    from ltbench.environment import Environment

Kind = Literal["train", "sample", "score", "probe"]


@dataclass(frozen=True)
class Stage:
    """One unit of work: what a worker claims.

    Attributes
    ----------
    kind
        Train, sample, score or probe.
    spec
        The run it belongs to.
    key
        Full key of its product; stages with equal keys make the same thing.
    folder
        The training's folder, relative to the output root.
    """

    kind: Kind
    spec: RunSpec
    key: str
    folder: Path

    @functools.cached_property
    def sample_folder(self) -> Path:
        """The sample set's folder, relative to the output root."""
        return sample_folder(self.spec)


def stages(spec: RunSpec) -> tuple[Stage, ...]:
    """Return a run's stages in order; each needs the ones before it."""
    kinds: list[Kind] = ["train", "sample", "score"]
    if spec.score.probes:
        kinds.append("probe")
    folder = Path(folder_name(spec))
    return tuple(Stage(kind, spec, stage_key(spec, kind), folder) for kind in kinds)


def is_done(stage: Stage, root: Path) -> bool:
    """Tell whether the stage's artifact exists below `root`, or in a bundle that `root` is or holds."""
    return any(_DONE[stage.kind](stage, place) for place in places(root))


def run_stage(stage: Stage, root: Path, env: Environment) -> None:
    """Do one stage unless it is done.

    Parameters
    ----------
    stage
        What to do; the stages before it must be done.
    root
        The output folder.
    env
        Device, threads, data root and the hooks of who runs it.

    Raises
    ------
    CheckpointError
        The folder belongs to another spec.
    Interrupted
        A soft stop was asked for; what is done so far is saved.
    OutOfMemory
        Says which setting to lower.
    """
    if is_done(stage, root):
        return
    open_folder(stage.spec, root, env.guard)
    with explain_failures(stage.kind, stage.spec, env):
        _RUN[stage.kind](stage, root, env)


def _dataset(stage: Stage, env: Environment) -> Dataset:
    from ltbench.data.dataset import cached_dataset

    return cached_dataset(stage.spec.data, env.data_root)


# -- train ------------------------------------------------------------------------------------------


def _train_done(stage: Stage, root: Path) -> bool:
    return weights_path(root / stage.folder, stage.spec.train.steps).exists()


def _train(stage: Stage, root: Path, env: Environment) -> None:
    from ltbench.runs.provenance import StageClock
    from ltbench.training.flops import training_flops

    if stage.spec.train.imported is not None:
        raise CheckpointError(
            f"{root / stage.folder} lacks the imported weights of step {stage.spec.train.steps}: run `ltbench import` "
            "again, which is how this training came about"
        )
    clock, folder, dataset = StageClock(), root / stage.folder, _dataset(stage, env)
    with clock.recording(folder, "train", env.device, env.guard) as sitting:
        sitting.more |= {
            "steps": stage.spec.train.steps,
            "manifest": dataset.manifest_hash,
            **_rounding(env),
            "flops": training_flops(stage.spec, dataset),
            "processes": int(os.environ.get("WORLD_SIZE", "1")),
            "anew": not (folder / CHECKPOINT).exists(),
            **dataset.user_names(),
        }

        def keep(step: int) -> None:
            sitting.more["reached"] = step
            sitting.keep()

        env = replace(env, keep=keep)
        with tracking(env.track, root, stage.folder.name, stage.spec) as tracker:
            train_along(stage, root, env if tracker is None else replace(env, log=tracker.row))


def train_along(stage: Stage, root: Path, env: Environment) -> None:
    """Train; under torchrun, take part in a training that process 0 leads and records."""
    from ltbench.runs.weights import load_initial_weights
    from ltbench.training.trainer import train

    initial = load_initial_weights(root, stage.spec.train.init_weights)
    train(stage.spec, _dataset(stage, env), root / stage.folder, env, init=initial)


def _rounding(env: Environment) -> dict[str, bool]:
    """Return what of the environment may have changed rounding, for the record."""
    return {
        "compile": env.compile or env.cuda_graphs,
        "channels_last": env.channels_last,
        "cuda_graphs": env.cuda_graphs,
    }


# -- sample -----------------------------------------------------------------------------------------


def _sample_done(stage: Stage, root: Path) -> bool:
    return has_samples(root / stage.sample_folder)


def load_model(spec: RunSpec, root: Path, dataset: Dataset, device: str, which: str = "ema") -> nn.ModuleDict:
    """Return the trained network of a run below `root`, as `ltbench.training.model.load_model`."""
    from ltbench.training import model

    return model.load_model(spec, root / folder_name(spec), dataset, device, which)


def _sample(stage: Stage, root: Path, env: Environment) -> None:
    """Generate the images chunk by chunk; finished chunks survive an interruption."""
    import torch

    from ltbench.diffusion.guidance import evaluations
    from ltbench.diffusion.samplers import guide, sample
    from ltbench.environment import speed_up
    from ltbench.runs.provenance import StageClock
    from ltbench.runs.weights import tensors_sha256
    from ltbench.training.guiding import load_other
    from ltbench.training.model import leave_out, state_of

    clock, spec, dataset = StageClock(), stage.spec.sample, _dataset(stage, env)
    env = replace(env, recompute=False)  # no backward pass needs anything
    other = load_other(stage.spec, root, dataset, env.device)
    folder = open_samples(stage.spec, root, evaluations(spec, dataset.prior).nfe, env.guard)
    model = load_model(stage.spec, root, dataset, env.device, spec.weights)
    leave_out(stage.spec, model)
    digest = tensors_sha256(state_of(model))
    denoiser = guide(
        speed_up(model["denoiser"], env),
        spec,
        dataset.prior,
        None if other is None else speed_up(other, env),
    )
    labels = np.repeat(np.arange(dataset.num_classes), spec.per_class)
    size = env.sample_batch
    chunks = [np.arange(i, min(i + size, len(labels))) for i in range(0, len(labels), size)]
    with clock.recording(folder, "sample", env.device, env.guard) as sitting:
        sitting.more |= {"images": len(labels), "sample_batch": size, **_rounding(env)}
        sitting.more |= {"anew": not has_chunks(folder, size), "weights": digest}
        for number, rows in enumerate(chunks):
            path = chunk_path(folder, size, number)
            if not path.exists():
                images = sample(
                    denoiser,
                    torch.from_numpy(labels[rows]),
                    sampler=spec,
                    indices=torch.from_numpy(rows),
                    batch_size=size,
                    device=env.device,
                    stop=env.stop,
                )
                write_chunk(path, images.numpy(), sitting.keep)
            env.progress({"stage": "sample", "step": int(rows[-1]) + 1, "total": len(labels)})
        join_chunks(folder, size, len(chunks), labels, sitting.keep)
    with tracking(env.track, root, stage.folder.name, stage.spec) as tracker:
        if tracker is not None:
            tracker.samples(folder)


# -- score and probe --------------------------------------------------------------------------------


def _score_done(stage: Stage, root: Path) -> bool:
    recorded = scored_requests(root / stage.sample_folder)
    return stage.key in recorded or _answered(stage, recorded)


def _answered(stage: Stage, recorded: Mapping[str, Any]) -> bool:
    """Tell whether requests that differ from a stage's in their metrics alone have all of its metrics together."""
    asked, measured = stage.spec.score, set[str]()
    for content in recorded.values():
        try:
            request = ScoreSpec.model_validate(content)
        except ValidationError:  # a later version's, which may mean something else by it
            continue
        alike = request.model_copy(update={"metrics": asked.metrics})
        if stage_key(stage.spec.model_copy(update={"score": alike}), "score") == stage.key:
            measured |= set(request.metrics)
    return set(asked.metrics) <= measured


def _score(stage: Stage, root: Path, env: Environment) -> None:
    from ltbench.extractors.torchscript import require_trust
    from ltbench.runs.provenance import StageClock
    from ltbench.scoring.evaluate import score_stored

    require_trust(stage.spec.score.extractors)
    clock, folder = StageClock(), root / stage.sample_folder
    samples, request = SampleSet(folder, stage.spec), stage.spec.score
    with clock.recording(folder, "score", env.device, env.guard) as sitting:
        table = score_stored(
            samples, request, _dataset(stage, env), env.device, recompute=True, guard=sitting.keep
        )
        sitting.more["numbers"] = len(table)
    with tracking(env.track, root, stage.folder.name, stage.spec) as tracker:
        if tracker is not None:
            tracker.scores(table)


def _probe_done(stage: Stage, root: Path) -> bool:
    return probe_path(root / stage.folder, stage.spec.train.steps).exists()


def _probe(stage: Stage, root: Path, env: Environment) -> None:
    """Probe the last step and every snapshot that is kept; the last step's file means that the stage is done."""
    from ltbench.runs.provenance import StageClock
    from ltbench.scoring.bottleneck import probe

    clock, dataset, folder = StageClock(), _dataset(stage, env), root / stage.folder
    settings = stage.spec.train
    with clock.recording(folder / PROBES, "probe", env.device, env.guard) as sitting:
        env = replace(env, guard=sitting.keep)
        for step in sorted({*settings.snapshots, settings.steps}):
            path = probe_path(folder, step)
            if step > settings.steps or path.exists():
                continue
            if step < settings.steps and not weights_path(folder, step).exists():
                continue
            train = settings.model_copy(update={"steps": step})
            at_step = stage.spec.model_copy(update={"train": train})
            model = load_model(at_step, root, dataset, env.device)
            probe(cast("Denoiser", model["denoiser"]), dataset, at_step, path.with_suffix(""), env)


_DONE: dict[Kind, Callable[[Stage, Path], bool]] = {
    "train": _train_done,
    "sample": _sample_done,
    "score": _score_done,
    "probe": _probe_done,
}
_RUN: dict[Kind, Callable[[Stage, Path, Environment], None]] = {
    "train": _train,
    "sample": _sample,
    "score": _score,
    "probe": _probe,
}
