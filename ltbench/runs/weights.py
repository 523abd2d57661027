"""Checkpoints and weights: atomic, safe to load, and refused when they belong to another spec.

`checkpoint.pt` is the rolling state from which a training goes on; `weights/step-NNNNNNNN.safetensors`
holds a milestone's averaged (``ema.``) and last (``raw.``) weights, from which images are sampled.
"""

from __future__ import annotations

import errno
import hashlib
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ltbench.errors import CheckpointError, DiskFull
from ltbench.files import replacing, require_utf8, sha256
from ltbench.runs.digests import check_digest, recording
from ltbench.runs.layout import INITIAL


def _full_disk(error: BaseException) -> bool:
    """Tell whether a library's own exception hides a full disk (torch and safetensors wrap it in text)."""
    text = str(error).lower()
    number = getattr(error, "errno", None)
    return number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or any(
        words in text
        for words in (
            "no space left",
            "file too large",
            "iostream error",
            "file write failed",
            "unexpected pos",
        )
    )


def save_checkpoint(path: Path, state: dict[str, Any], guard: Callable[[], None] | None = None) -> None:
    """Write the rolling training state atomically; `guard` may withhold it.

    Raises
    ------
    DiskFull
        The disk is full; the old one stays.
    """
    with recording(path, guard) as temporary:
        try:
            torch.save(state, temporary)
        except RuntimeError as error:
            if _full_disk(error):
                raise DiskFull(
                    f"no space left to write {path}: free some space there and run again"
                ) from error
            raise


def load_checkpoint(path: Path, key: str) -> dict[str, Any] | None:
    """Read the rolling state into main memory, None where there is none.

    Raises
    ------
    CheckpointError
        The file is broken, or its training key is not `key`.
    """
    if not path.exists():
        return None
    try:
        state = dict(torch.load(path, map_location="cpu", weights_only=True))
        stored = state["key"]
    except MemoryError:
        raise
    except Exception as error:  # torch lets through whatever a damaged file makes its parsers raise
        raise CheckpointError(
            f"the checkpoint {path} is broken or not ltbench's: delete it to train from the start"
        ) from error
    if stored != key:
        raise CheckpointError(
            f"the checkpoint {path} belongs to another spec (key {str(stored)[:8]}, wanted {key[:8]}): "
            "use another --out, or delete that folder"
        )
    check_digest(path, "delete it to train from the start")
    return state


def save_weights(
    path: Path, ema: dict[str, Tensor], raw: dict[str, Tensor], key: str, step: int, guard: Callable[[], None]
) -> None:
    """Write a milestone's averaged and last weights as safetensors."""
    tensors = {f"ema.{name}": value.detach().contiguous() for name, value in ema.items()}
    # safetensors refuses tensors that share memory, as buffers and frozen parts do in both sets.
    tensors |= {
        f"raw.{name}": value.detach().clone(memory_format=torch.contiguous_format)
        for name, value in raw.items()
    }
    with recording(path, guard) as temporary:
        try:
            save_file(tensors, temporary, metadata={"train_key": key, "step": str(step)})
        except (SafetensorError, OSError) as error:
            if _full_disk(error):
                raise DiskFull(
                    f"no space left to write {path}: free some space there and run again"
                ) from error
            raise


def load_weights(path: Path, which: str, key: str | None = None) -> dict[str, Tensor]:
    """Read a milestone's ``ema`` or ``raw`` weights; with `key`, only if they belong to that training.

    Raises
    ------
    CheckpointError
        The file is missing, broken or another training's.
    """
    require_utf8(path)
    if not path.exists():
        raise CheckpointError(f"the weights {path} are missing: run the training stage again")
    prefix = f"{which}."
    try:
        with safe_open(path, framework="pt") as handle:
            stored = (handle.metadata() or {}).get("train_key")
            names = list(handle.keys())
            weights = {n[len(prefix) :]: handle.get_tensor(n) for n in names if n.startswith(prefix)}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"the weights {path} are broken: delete that file and run again") from error
    if key is not None and stored != key:
        raise CheckpointError(
            f"the weights {path} belong to another spec: use another --out, or delete that folder"
        )
    other = {"ema": "raw", "raw": "ema"}.get(which, "")
    if not weights and any(
        name.startswith(f"{other}.") for name in names
    ):  # an imported checkpoint's: no training makes them again
        raise CheckpointError(
            f"the weights {path} hold no {which!r} tensors, as the checkpoint that they come from: take the {other!r} ones, "
            f"with --set sample.weights={other} or, to export, --weights {other}"
        )
    if not weights:
        raise CheckpointError(f"the weights {path} hold no {which!r} tensors: delete that file and run again")
    check_digest(path, "delete it and run again")
    return weights


def is_weights_file(path: Path) -> bool:
    """Say whether a file is a milestone's weights, and not what others keep as safetensors too."""
    require_utf8(path)
    try:
        with safe_open(path, framework="pt") as handle:
            return any(name.startswith(("ema.denoiser.", "raw.denoiser.")) for name in handle.keys())  # noqa: SIM118
    except (SafetensorError, OSError):
        return False


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of tensors by name, type, shape and value: equal weights give equal hashes.

    A safetensors file's own hash does not: its header is written in no fixed order.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        value = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)} ".encode())
        digest.update(value.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


# -- weights to start from ----------------------------------------------------------------------------------


def initial_weights_path(root: Path, digest: str) -> Path:
    """Return where weights to start from are kept below the output folder."""
    return root / INITIAL / f"{digest}.safetensors"


def add_initial_weights(root: Path, source: Path) -> str:
    """Copy a weights file below `root`, named by its SHA-256, and return that hash for the spec.

    Raises
    ------
    CheckpointError
        It is no file of weights, or a tensor holds anything but finite real numbers.
    """
    for name, value in load_weights(source, "ema").items():
        if name.startswith("denoiser.") and not value.is_floating_point():
            kind = str(value.dtype).removeprefix("torch.")
            raise CheckpointError(
                f"{source} holds {kind} numbers in {name}: save it again as floating-point tensors"
            )
        if not bool(torch.isfinite(value).all()):
            raise CheckpointError(
                f"{source} holds NaN or infinite numbers in {name}: that training diverged, give an earlier file"
            )
    digest = sha256(source)
    target = initial_weights_path(root, digest)
    if not target.exists():
        with replacing(target) as temporary:
            shutil.copyfile(source, temporary)
    return digest


def load_initial_weights(root: Path, digest: str | None) -> dict[str, Tensor] | None:
    """Read the weights that ``train.init_weights`` names by hash, from where `add_initial_weights` put them.

    Raises
    ------
    CheckpointError
        They are missing, or not what the hash says.
    """
    if digest is None:
        return None
    path = initial_weights_path(root, digest)
    if not path.exists():
        raise CheckpointError(
            f"the weights that training starts from, {path}, are not there: name their file or run with --init-from, which "
            "keeps them and sets train.init_weights"
        )
    weights = load_weights(path, "ema")
    if sha256(path) != digest:
        raise CheckpointError(
            f"the initial weights {path} were changed since the run was planned: delete them"
        )
    return weights
