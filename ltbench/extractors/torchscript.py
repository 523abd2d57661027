"""A network of the user's own: ``torchscript:PATH``.

The archive's ``forward`` takes a uint8 batch (B,C,H,W) in 0..255 and does its own resizing and
normalisation; it returns the features (B,d), or the features and class scores (B,M) as a tuple.

Such a file is code: its ``forward`` may create and overwrite files, and no interpreter keeps it from that. So a
stage runs one only where a person named it, see `trust` and `require_trust`; its name in a plan, a study file or
somebody's results is not enough.
"""

import os
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import nn

from ltbench.errors import UsageError
from ltbench.extractors.base import Extractor
from ltbench.extractors.weights import file_hash, load_torchscript
from ltbench.files import user_path
from ltbench.text import as_name, command

PREFIX = "torchscript:"


TRUSTED = "LTBENCH_TRUST"
"""Environment variable: SHA-256 of the TorchScript files that may run, by commas; workers inherit it."""


def is_user_network(name: str) -> bool:
    """Say whether an extractor's name is a file of code."""
    return name.startswith(PREFIX)


def path_of(name: str) -> Path:
    """Return the file that ``torchscript:PATH`` (or a bare path) names.

    Raises
    ------
    UsageError
        No PATH is given.
    """
    path = name.removeprefix(PREFIX).strip()
    if not path:
        raise UsageError(f"{name!r} names no file: write {PREFIX}PATH, where PATH is a TorchScript archive")
    return user_path(path)


def trust(name: str) -> str:
    """Let this process and those it starts run a TorchScript file, as it is now; return its SHA-256.

    Raises
    ------
    DataMissing
        No such file.
    """
    digest = file_hash(path_of(name))
    known = [item for item in os.environ.get(TRUSTED, "").split(",") if item]
    os.environ[TRUSTED] = ",".join(dict.fromkeys([*known, digest]))
    return digest


def require_trust(names: Iterable[str]) -> None:
    """Refuse extractors that are files of code which no person named.

    Raises
    ------
    UsageError
        With the file's hash and how to allow it.
    DataMissing
        No such file.
    """
    known = os.environ.get(TRUSTED, "").split(",")
    for name in filter(is_user_network, names):
        digest = file_hash(path_of(name))
        if digest not in known:
            raise UsageError(
                f"{name} is code (SHA-256 {digest}) that a spec or a result names, and you did not: if you know where "
                f"it comes from, add {command('--trust', path_of(name))}"
            )


def load_user(name: str, weights: Path | None = None, device: torch.device | str = "cpu") -> Extractor:
    """Return the extractor ``torchscript:PATH``; it is called ``torchscript:STEM`` beside its numbers.

    Raises
    ------
    DataMissing
        No file at PATH.
    UsageError
        No TorchScript archive, or `weights` given besides PATH.
    """
    path = path_of(name)
    if weights is not None:
        raise UsageError(f"{name} holds its own weights: leave weights={weights} out")
    digest = file_hash(path)
    try:
        module = load_torchscript(path)
    except RuntimeError as error:
        raise UsageError(f"{path} is not a TorchScript archive: write it with torch.jit.save") from error
    returned = next(module.graph.outputs()).type()
    extractor = Extractor(
        as_name(path.stem, f"{PREFIX}{{}}"),
        nn.Sequential(module),  # a script module cannot switch off its own gradients
        weights_hash=digest,
        preprocessing="torchscript/1",
        has_logits=returned.kind() == "TupleType",
        device=device,
    )
    extractor.blamed = str(path)
    return extractor
