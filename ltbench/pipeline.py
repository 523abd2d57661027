"""The stages of one run, each skipped when its artifact exists: train -> sample -> score, and probe.

On disk, below the folder given with --out:

    DATASET-rRATIO-METHOD-sSEED-KEY8/            one training
        spec.json  provenance.json  train.csv  checkpoint.pt  weights/step-NNNNNNNN.safetensors
        samples/KEY8/                            one sample set
            spec.json  images.npy  labels.npy  sheet.png  scores.csv  nearest.npz  confusion.csv
            scored.json  provenance.json
        probes/step-NNNNNNNN.csv                 the bottleneck's entanglement
"""

from __future__ import annotations

import functools
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ltbench.errors import CheckpointError, DataCorrupt
from ltbench.files import read_json, replacing, write_json
from ltbench.memory import explained
from ltbench.spec import RunSpec, folder_name, sample_key, stage_key, train_key, weights_name

Kind = Literal["train", "sample", "score", "probe"]


@dataclass(frozen=True)
class Stage:
    """One unit of work: what a worker claims.

    Attributes
    ----------
    kind : train, sample, score or probe.
    spec : the run it belongs to.
    key : full key of its product; stages with equal keys make the same thing.
    folder : the training's folder, relative to the output root.
    """

    kind: Kind
    spec: RunSpec
    key: str
    folder: Path

    @functools.cached_property
    def sample_folder(self) -> Path:
        """The sample set's folder, relative to the output root."""
        return self.folder / "samples" / sample_key(self.spec)[:8]


def stages(spec: RunSpec) -> tuple[Stage, ...]:
    """Return a run's stages in order; each needs the ones before it."""
    kinds: list[Kind] = ["train", "sample", "score"]
    if spec.score.probes:
        kinds.append("probe")
    folder = Path(folder_name(spec))
    return tuple(Stage(kind, spec, stage_key(spec, kind), folder) for kind in kinds)


def is_done(stage: Stage, root: Path) -> bool:
    """Tell whether the stage's artifact exists below `root`."""
    return _DONE[stage.kind](stage, root)


def run_stage(stage: Stage, root: Path, env: Any) -> None:
    """Do one stage unless it is done.

    Parameters
    ----------
    stage : what to do; the stages before it must be done.
    root : the output folder.
    env : an `ltbench.runtime.Environment`.

    Raises
    ------
    CheckpointError : the folder belongs to another spec.
    Interrupted : a soft stop was asked for; what is done so far is saved.
    OutOfMemory : says which setting to lower.
    """
    if is_done(stage, root):
        return
    open_folder(stage, root, env.guard)
    with explained(stage.kind, stage.spec, env):
        _RUN[stage.kind](stage, root, env)


def open_folder(stage: Stage, root: Path, guard: Callable[[], None]) -> None:
    """Create the training's folder, or check by its full key that it is this training's."""
    path = root / stage.folder / "spec.json"
    key = train_key(stage.spec)
    if path.exists():
        found = read_json(path).get("train_key")
        if found != key:
            raise CheckpointError(
                f"{path.parent} belongs to another spec (key {str(found)[:16]}, wanted {key[:16]}): use another --out"
            )
        return
    content = {
        "train_key": key,
        **stage.spec.model_dump(mode="json", include={"data", "model", "method", "train", "train_seed"}),
    }
    write_json(path, content, guard)


@functools.lru_cache(maxsize=2)
def cell_of(data_json: str, data_root: Path | None) -> Any:
    """Load a data cell once a process; `data_json` is `DataSpec.model_dump_json()`."""
    from ltbench.data import load_dataset
    from ltbench.spec import DataSpec

    return load_dataset(DataSpec.model_validate_json(data_json), data_root)


def _cell(stage: Stage, env: Any) -> Any:
    return cell_of(stage.spec.data.model_dump_json(), env.data_root)


# -- train ------------------------------------------------------------------------------------------


def _train_done(stage: Stage, root: Path) -> bool:
    return (root / stage.folder / weights_name(stage.spec.train.steps)).exists()


def _train(stage: Stage, root: Path, env: Any) -> None:
    from ltbench.training.flops import training_flops
    from ltbench.runs.provenance import StageClock
    from ltbench.training.trainer import train

    if stage.spec.train.imported is not None:
        raise CheckpointError(
            f"{root / stage.folder} lacks the imported weights of step {stage.spec.train.steps}: run `ltbench import` "
            "again, which is how this training came about"
        )
    clock, folder, cell = StageClock(), root / stage.folder, _cell(stage, env)
    with clock.recording(folder, "train", env.device) as entry:
        entry |= {"steps": stage.spec.train.steps, "manifest": cell.manifest_hash, **_how(env)}
        entry |= {
            "flops": training_flops(stage.spec, cell),
            "processes": int(os.environ.get("WORLD_SIZE", "1")),
            "anew": not (folder / "checkpoint.pt").exists(),
        }
        train(stage.spec, cell, folder, env, init=_initial_weights(stage, root))


def train_along(stage: Stage, root: Path, env: Any) -> None:
    """Take part in a training that another process leads and records (torchrun); nothing is written."""
    from ltbench.training.trainer import train

    train(stage.spec, _cell(stage, env), root / stage.folder, env, init=_initial_weights(stage, root))


def _how(env: Any) -> dict[str, bool]:
    """Return what of the environment may have changed rounding, for the record."""
    return {"compile": env.compile, "channels_last": env.channels_last}


def _initial_weights(stage: Stage, root: Path) -> Any:
    """Read the weights that ``train.init_weights`` names by hash, from where `add_initial_weights` put them."""
    from ltbench.runs.weights import load_weights, weights_sha256

    digest = stage.spec.train.init_weights
    if digest is None:
        return None
    path = initial_weights_path(root, digest)
    weights = load_weights(path, "ema")
    if weights_sha256(path) != digest:
        raise CheckpointError(
            f"the initial weights {path} were changed since the run was planned: delete them"
        )
    return weights


def initial_weights_path(root: Path, digest: str) -> Path:
    """Return where weights to start from are kept below the output folder."""
    return root / ".init" / f"{digest}.safetensors"


def add_initial_weights(root: Path, source: Path) -> str:
    """Copy a weights file below `root`, named by its SHA-256, and return that hash for the spec."""
    from ltbench.runs.weights import load_weights, weights_sha256

    load_weights(source, "ema")
    digest = weights_sha256(source)
    target = initial_weights_path(root, digest)
    if not target.exists():
        with replacing(target) as temporary:
            shutil.copyfile(source, temporary)
    return digest


# -- sample -----------------------------------------------------------------------------------------


def _sample_done(stage: Stage, root: Path) -> bool:
    folder = root / stage.sample_folder
    return (folder / "images.npy").exists() and (folder / "labels.npy").exists()


def load_model(stage: Stage, root: Path, cell: Any, device: str, which: str = "ema") -> Any:
    """Rebuild the trained network (denoiser and the methods' parts) of a run at its last step."""
    from ltbench.runs.weights import load_weights, weights_path
    from ltbench.method.registry import create
    from ltbench.training.trainer import build_model

    path = weights_path(root / stage.folder, stage.spec.train.steps)
    weights = load_weights(path, which, train_key(stage.spec))
    model = build_model(stage.spec, cell, create(stage.spec.method.name, stage.spec.method.hyperparameters))
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(
            f"the weights {path} do not fit the model: delete that file and run again"
        ) from error
    return model.to(device).eval()


def _sample(stage: Stage, root: Path, env: Any) -> None:
    """Generate the images chunk by chunk; finished chunks survive an interruption."""
    import torch

    from ltbench.runs.weights import tensors_sha256
    from ltbench.diffusion.samplers import sample
    from ltbench.runs.provenance import StageClock
    from ltbench.environment import speed_up

    clock, spec, cell = StageClock(), stage.spec.sample, _cell(stage, env)
    folder = root / stage.sample_folder
    _open_sample_folder(stage, folder, env.guard)
    model = load_model(stage, root, cell, env.device, spec.weights)
    digest = tensors_sha256(model.state_dict())
    denoiser = speed_up(model["denoiser"], env)
    labels = np.repeat(np.arange(cell.num_classes), spec.per_class)
    chunks = [
        np.arange(i, min(i + env.sample_batch, len(labels))) for i in range(0, len(labels), env.sample_batch)
    ]
    with clock.recording(folder, "sample", env.device) as entry:
        entry |= {"images": len(labels), "sample_batch": env.sample_batch, **_how(env)}
        entry |= {"anew": not (folder / "partial").exists(), "weights": digest}
        for number, rows in enumerate(chunks):
            path = folder / "partial" / f"{env.sample_batch}-{number:06d}.npy"
            if not path.exists():
                images = sample(
                    denoiser,
                    torch.from_numpy(labels[rows]),
                    sampler=spec,
                    indices=torch.from_numpy(rows),
                    batch_size=env.sample_batch,
                    device=env.device,
                    stop=env.stop,
                )
                with replacing(path, env.guard) as temporary, open(temporary, "wb") as handle:
                    np.save(handle, images.numpy())
            env.progress({"stage": "sample", "step": int(rows[-1]) + 1, "total": len(labels)})
        _join_chunks(folder, len(chunks), labels, env)


def _open_sample_folder(stage: Stage, folder: Path, guard: Callable[[], None]) -> None:
    path, key = folder / "spec.json", sample_key(stage.spec)
    if path.exists() and read_json(path).get("sample_key") != key:
        raise CheckpointError(f"{folder} belongs to another spec: use another --out")
    content = {"sample_key": key, "train_key": train_key(stage.spec), "step": stage.spec.train.steps}
    write_json(
        path,
        content | {"sample": stage.spec.sample.model_dump(mode="json"), "nfe": stage.spec.sample.nfe},
        guard,
    )


def _join_chunks(folder: Path, count: int, labels: np.ndarray, env: Any) -> None:
    """Publish the chunks as one array and the sheet; images last because they mean that the stage is done."""
    partial = folder / "partial"
    parts = []
    for number in range(count):
        path = partial / f"{env.sample_batch}-{number:06d}.npy"
        try:
            parts.append(np.load(path, mmap_mode="r"))
        except (ValueError, EOFError, OSError) as error:
            raise DataCorrupt(f"{path} is truncated: delete it and run again") from error
    with replacing(folder / "labels.npy", env.guard) as temporary, open(temporary, "wb") as handle:
        np.save(handle, labels)
    with replacing(folder / "images.npy", env.guard) as temporary:
        with open(temporary, "wb") as handle:  # not through a memory map: on a full disk that is a bus error
            header = {"descr": "|u1", "fortran_order": False, "shape": (len(labels), *parts[0].shape[1:])}
            np.lib.format.write_array_header_1_0(handle, header)
            for part in parts:
                handle.write(part.tobytes())
        write_sheet(folder / "sheet.png", np.load(temporary, mmap_mode="r"), labels, env.guard)
    shutil.rmtree(partial, ignore_errors=True)


def write_sheet(path: Path, images: np.ndarray, labels: np.ndarray, guard: Callable[[], None]) -> None:
    """Write a contact sheet: a row a class, its first ten images, enlarged to about 32 pixels a side."""
    from PIL import Image

    columns = 10
    rows = []
    for k in np.unique(labels):
        chosen = np.asarray(images[np.flatnonzero(labels == k)[:columns]])
        blank = np.zeros((columns - len(chosen), *chosen.shape[1:]), np.uint8)
        rows.append(np.concatenate([*chosen, *blank], axis=-1))
    sheet = np.concatenate(rows, axis=-2).transpose(1, 2, 0)
    zoom = max(1, 32 // images.shape[-1])
    sheet = sheet.repeat(zoom, 0).repeat(zoom, 1)
    picture = Image.fromarray(sheet[..., 0] if sheet.shape[-1] == 1 else sheet)
    with replacing(path, guard) as temporary:
        picture.save(temporary, format="PNG")


def load_samples(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return a sample set's images (N,C,H,W) uint8, memory-mapped, and labels (N,).

    Raises
    ------
    DataCorrupt : a file is missing or truncated.
    """
    try:
        images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
        labels = np.load(folder / "labels.npy", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataCorrupt(
            f"the sample set {folder} is incomplete or truncated: delete that folder and run again"
        ) from error
    if len(images) != len(labels):
        raise DataCorrupt(
            f"the sample set {folder} has {len(images)} images but {len(labels)} labels: delete it and run again"
        )
    return images, labels


# -- score and probe --------------------------------------------------------------------------------


def _score_done(stage: Stage, root: Path) -> bool:
    return stage.key in _scored(root / stage.sample_folder)


def _scored(folder: Path) -> dict[str, Any]:
    """Return the requests whose numbers are in ``scores.csv``: none where that file was deleted."""
    if not (folder / "scores.csv").exists():
        return {}
    try:
        return dict(json.loads((folder / "scored.json").read_text(encoding="utf-8"))["requests"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _score(stage: Stage, root: Path, env: Any) -> None:
    from ltbench.scoring.nearest import write_evidence
    from ltbench.runs.provenance import StageClock
    from ltbench.runs.scores import merge_scores
    from ltbench.scoring.score import score_samples

    clock, cell, folder = StageClock(), _cell(stage, env), root / stage.sample_folder
    images, labels = load_samples(folder)
    requests = _scored(folder)
    table = score_samples(cell, images, labels, stage.spec, cache=root / ".cache", device=env.device)
    merge_scores(folder / "scores.csv", table, env.guard)
    cache, wanted = root / ".cache", stage.spec.score.extractors
    write_evidence(folder, cell, images, labels, cache, env.device, env.guard, wanted)
    requests[stage.key] = stage.spec.score.model_dump(mode="json")
    write_json(folder / "scored.json", {"requests": requests}, env.guard)
    clock.record(folder, "score", env.device, numbers=len(table))


def _probe_done(stage: Stage, root: Path) -> bool:
    return (root / stage.folder / "probes" / f"step-{stage.spec.train.steps:08d}.csv").exists()


def _probe(stage: Stage, root: Path, env: Any) -> None:
    """Probe the last step and every snapshot that is kept; the last step's file means that the stage is done."""
    from ltbench.runs.weights import weights_path
    from ltbench.scoring.bottleneck import probe
    from ltbench.runs.provenance import StageClock

    clock, cell = StageClock(), _cell(stage, env)
    folder = root / stage.folder / "probes"
    settings = stage.spec.train
    for step in sorted({*settings.snapshots, settings.steps}):
        path = folder / f"step-{step:08d}"
        if step > settings.steps or path.with_suffix(".csv").exists():
            continue
        if step < settings.steps and not weights_path(root / stage.folder, step).exists():
            continue
        train = settings.model_copy(update={"steps": step})
        at_step = replace(stage, spec=stage.spec.model_copy(update={"train": train}))
        model = load_model(at_step, root, cell, env.device)
        probe(model["denoiser"], cell, at_step.spec, path, env)
    clock.record(folder, "probe", env.device)


_DONE: dict[str, Callable[[Stage, Path], bool]] = {
    "train": _train_done,
    "sample": _sample_done,
    "score": _score_done,
    "probe": _probe_done,
}
_RUN: dict[str, Callable[[Stage, Path, Any], None]] = {
    "train": _train,
    "sample": _sample,
    "score": _score,
    "probe": _probe,
}
