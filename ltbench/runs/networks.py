"""Other runs' networks that images are guided away from: kept below the output folder by what their weights are.

A sample set that another run's network took part in must not depend on where that run lies, or whether it is still
there. So its weights are copied beside the runs with the spec that rebuilds the network, and the spec of the
sampling holds the SHA-256 of the averaged weights by name, type, shape and value.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError
from torch import Tensor

from ltbench.errors import CheckpointError, UsageError
from ltbench.files import read_object, replacing, write_json
from ltbench.runs.layout import NETWORKS, kept_steps, weights_path
from ltbench.runs.spec_files import read_trained
from ltbench.runs.weights import load_weights, tensors_sha256
from ltbench.specs import RunSpec, train_key


def network_path(root: Path, digest: str) -> Path:
    """Return where the weights of another run's network are kept below the output folder."""
    return root / NETWORKS / f"{digest}.safetensors"


def read_network(folder: Path, step: int | None = None) -> tuple[RunSpec, str]:
    """Return the spec of a run's network at a step (default: the last kept) and the hash of its averaged weights.

    Raises
    ------
    UsageError, CheckpointError : it is no training's folder, keeps no such step, or its weights are broken.
    """
    spec = read_trained(folder, "guide by")
    kept = kept_steps(folder)
    if not kept:
        raise UsageError(f"{folder} has no weights yet: finish its training first")
    chosen = kept[-1] if step is None else step
    if chosen not in kept:
        raise UsageError(f"{folder} keeps no weights of step {chosen}: there are {', '.join(map(str, kept))}")
    spec = spec.model_copy(update={"train": spec.train.model_copy(update={"steps": chosen})})
    return spec, tensors_sha256(load_weights(weights_path(folder, chosen), "ema", train_key(spec)))


def keep_network(root: Path, folder: Path, spec: RunSpec, digest: str) -> None:
    """Copy what `read_network` returned of a run's folder below `root`."""
    target = network_path(root, digest)
    if not target.exists():
        with replacing(target) as temporary:
            shutil.copyfile(weights_path(folder, spec.train.steps), temporary)
    write_json(target.with_suffix(".json"), spec.model_dump(mode="json"))


def copy_network(source: Path, root: Path, digest: str) -> None:
    """Copy a kept network from one output folder to another.

    Raises
    ------
    CheckpointError : the first does not hold it.
    """
    for suffix in (".json", ".safetensors"):
        path, target = (network_path(place, digest).with_suffix(suffix) for place in (source, root))
        if not path.exists():
            raise CheckpointError(_missing(path, digest))
        with replacing(target) as temporary:
            shutil.copyfile(path, temporary)


def network_spec(root: Path, digest: str) -> RunSpec:
    """Return the spec of a kept network.

    Raises
    ------
    CheckpointError : it is not there.
    """
    path = network_path(root, digest).with_suffix(".json")
    if not path.exists():
        raise CheckpointError(_missing(path, digest))
    try:
        return RunSpec.stored(read_object(path))
    except ValidationError as error:
        raise CheckpointError(
            f"{path} is no spec of this version of ltbench: delete it and run again"
        ) from error


def network_weights(root: Path, digest: str) -> Mapping[str, Tensor]:
    """Return the averaged weights of a kept network.

    Raises
    ------
    CheckpointError : they are not there, broken, or not what the hash says.
    """
    path = network_path(root, digest)
    if not path.exists():
        raise CheckpointError(_missing(path, digest))
    weights = load_weights(path, "ema")
    if tensors_sha256(weights) != digest:
        raise CheckpointError(
            f"the weights {path} were changed since they were kept: delete that file and run again"
        )
    return weights


def _missing(path: Path, digest: str) -> str:
    return (
        f"{path} is missing, the network that images are guided away from: put the file back, or run with "
        f"sample.bad_weights=FOLDER again, the run whose weights have the hash {digest[:8]}"
    )
