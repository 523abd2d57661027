"""Feature extractors behind one interface.

extractor = get_extractor("digits_cnn")
features = extractor(images).features                            # uint8 (N,C,H,W) -> float32 (N,d)
features = cached_features(extractor, images, folder).features   # computed once for a sample set
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from ltbench.errors import DataMissing, UsageError, nearest
from ltbench.extractors import fidelity, inception, torchscript
from ltbench.extractors.base import Extractor, Features
from ltbench.extractors.cache import cached_features
from ltbench.extractors.cnn import SHIPPED, load_shipped, shipped_files
from ltbench.extractors.weights import WeightsFile, how_to_get, look, places

__all__ = [
    "Extractor",
    "ExtractorRow",
    "Features",
    "auto_extractors",
    "cached_features",
    "get_extractor",
    "known_extractors",
]

_LOADERS: dict[str, Callable[[str, Path | None, torch.device | str], Extractor]] = {
    **dict.fromkeys(SHIPPED, load_shipped),
    **dict.fromkeys(inception.WEIGHTS, inception.load_inception),
    **dict.fromkeys(fidelity.NAMES, fidelity.load_fidelity),
}


def get_extractor(name: str, *, weights: Path | None = None, device: torch.device | str = "cpu") -> Extractor:
    """Return the extractor called `name`.

    Parameters
    ----------
    name
        See `known_extractors`; ``torchscript:PATH`` is a network of the user's own.
    weights
        A weights file to use instead of the shipped or cached one.
    device
        Where it runs.

    Raises
    ------
    UsageError
        An unknown name, or a user's file that is no TorchScript archive.
    DataMissing, DataCorrupt
        Its weights are absent, or are not what they should be.
    """
    check_name(name)
    if name.startswith(torchscript.PREFIX):
        return torchscript.load_user(name, weights, device)
    return _LOADERS[name](name, weights, device)


def check_name(name: str) -> None:
    """Raise `UsageError` unless `get_extractor` knows the name; loads nothing."""
    if name not in _LOADERS and not name.startswith(torchscript.PREFIX):
        raise UsageError(
            f"unknown extractor {name!r}{nearest(name, [*_LOADERS, torchscript.PREFIX + 'PATH'])}"
        )


def auto_extractors(dataset: str) -> tuple[str, ...]:
    """Return the extractors meant by ``auto`` for a data set: its shipped CNN, or else Inception."""
    return tuple(name for name, design in SHIPPED.items() if design.dataset == dataset) or ("inception",)


@dataclass(frozen=True)
class ExtractorRow:
    """One line of `ltbench doctor`.

    Attributes
    ----------
    name, title : as in `Extractor`.
    found : whether its weights are there (they are read and checked only when it is used).
    at : the file, or None.
    looked : every folder looked in.
    advice : how to get the weights.
    """

    name: str
    title: str
    found: bool
    at: Path | None
    looked: tuple[Path, ...]
    advice: str


def known_extractors() -> list[ExtractorRow]:
    """List every extractor that has a name, with whether and where its weights lie."""
    rows = []
    for name in SHIPPED:
        path = shipped_files(name)[0]
        advice = f"python -m ltbench.extractors.train {name}"
        rows.append(ExtractorRow(name, f"FD ({name})", path.is_file(), path, (path.parent,), advice))
    for name in (*inception.WEIGHTS, *fidelity.NAMES):
        title = inception.TITLES.get(name, f"FD ({name})")
        try:
            file: WeightsFile = inception.WEIGHTS.get(name) or fidelity.weights_file(name)
        except DataMissing as error:
            rows.append(ExtractorRow(name, title, False, None, places(), str(error)))
            continue
        at = look(file)
        rows.append(ExtractorRow(name, title, at is not None, at, places(), how_to_get(file)))
    return rows
