"""Weights files of other people's networks: from a name to a checked path. Nothing is downloaded."""

import hashlib
import logging
import os
import pickle
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ltbench.errors import DataCorrupt, DataMissing
from ltbench.files import user_folder, user_path

FOLDER_VARIABLE = "LTBENCH_WEIGHTS"
log = logging.getLogger("ltbench")


@dataclass(frozen=True)
class WeightsFile:
    """A published weights file.

    Attributes
    ----------
    names
        The file names it is known by, our own first.
    url
        Where it is published.
    sha256
        Of the file, or the first digits as far as they are published; empty where none is known.
    """

    names: tuple[str, ...]
    url: str
    sha256: str

    def is_published(self, digest: str) -> bool:
        """Tell whether a file of this sha256 is known to be the published one."""
        return bool(self.sha256) and digest.startswith(self.sha256)


def file_hash(path: Path) -> str:
    """Return the sha256 of a file (64 hex digits), or raise `DataMissing`.

    Raises
    ------
    DataMissing
        The file cannot be read.
    """
    try:
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise DataMissing(f"cannot read the weights {path} ({error.strerror}): give another file") from error


def places() -> tuple[Path, ...]:
    """Return the folders looked in: $LTBENCH_WEIGHTS, torch hub's cache, clean-fid's temporary folder."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    hub = _hub()
    usual = (*((hub / "checkpoints",) if hub else ()), Path(tempfile.gettempdir()))
    return (user_path(chosen), *usual) if chosen else usual


def _hub() -> Path | None:
    """Return torch hub's folder by torch's own rule, without importing it for a listing; None without a home."""
    if chosen := os.environ.get("TORCH_HOME"):
        return user_path(chosen) / "hub"
    cache = user_folder("XDG_CACHE_HOME", ".cache")
    return cache and cache / "torch" / "hub"


def look(file: WeightsFile) -> Path | None:
    """Return the first place that holds `file` under one of its names, or None."""
    files = (folder / name for folder in places() for name in file.names if (folder / name).is_file())
    return next(files, None)


def how_to_get(file: WeightsFile) -> str:
    """Return the command that puts `file` where it is looked for."""
    target = places()[0] / file.names[0]
    return f"curl -L --create-dirs -o {target} {file.url}"


def locate(extractor: str, file: WeightsFile, given: Path | None) -> tuple[Path, str]:
    """Return the path and sha256 of an extractor's weights.

    A file `given` by the user is taken as it is (its hash stands with every number); one that was found
    must be the published file; where no hash is known, it is read with a warning.

    Raises
    ------
    DataMissing
        No file; the message says what to get and where to put it.
    DataCorrupt
        A found file is not the published one.
    """
    if given is not None:
        return Path(given), file_hash(Path(given))
    path = look(file)
    if path is None:
        raise DataMissing(
            f"{extractor} needs {file.names[0]}, which is not in {' or '.join(map(str, places()))}: "
            f"get it with `{how_to_get(file)}`"
        )
    digest = file_hash(path)
    if not file.sha256:
        log.warning("%s is read unchecked (no hash is known): it is %s@%s", path, extractor, digest[:8])
    elif not file.is_published(digest):
        raise DataCorrupt(
            f"{path} is truncated or is not the published file (sha256 {digest[:8]}..., not "
            f"{file.sha256[:8]}...): delete it and get it again with `{how_to_get(file)}`"
        )
    return path, digest


def load_state_dict(path: Path) -> dict[str, Tensor]:
    """Read a state dict; the unpickler admits tensors only. `RuntimeError` where it is something else.

    Raises
    ------
    RuntimeError
        It is no state dict of tensors.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, EOFError, ValueError) as error:
        raise RuntimeError(f"{path} is not a state dict") from error
    if not isinstance(state, dict):
        raise RuntimeError(f"{path} is not a state dict")
    return state


def load_torchscript(path: Path) -> torch.jit.ScriptModule:
    """Read a TorchScript archive ; it is code, and calling it may do anything: who calls this has been told to."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated, but the format of published weights
        result: torch.jit.ScriptModule = torch.jit.load(str(path), map_location="cpu").eval()
        return result
