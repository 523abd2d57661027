"""Feature extractors behind one interface.

extractor = get_extractor("digits_cnn")
features = extractor(images).features                            # uint8 (N,C,H,W) -> float32 (N,d)
features = cached_features(extractor, images, folder).features   # computed once for a sample set
"""

from collections.abc import Callable
from pathlib import Path

import torch

from ltbench.errors import UsageError, nearest
from ltbench.extractors.base import Extractor, Features
from ltbench.extractors.cache import cached_features
from ltbench.extractors.cnn import SHIPPED, load_shipped

__all__ = ["Extractor", "Features", "auto_extractor", "cached_features", "get_extractor"]

Loader = Callable[[str, Path | None, torch.device | str], Extractor]

_LOADERS: dict[str, Loader] = dict.fromkeys(SHIPPED, load_shipped)


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
        An unknown name.
    DataMissing, DataCorrupt
        Its weights are absent, or are not what they should be.
    """
    if name not in _LOADERS:
        raise UsageError(f"unknown extractor {name!r}{nearest(name, _LOADERS)}")
    return _LOADERS[name](name, weights, device)


def auto_extractor(dataset: str) -> tuple[str, ...]:
    """Return the extractors meant by ``auto`` for a data set: its shipped CNN, or else Inception."""
    return tuple(name for name, design in SHIPPED.items() if design.dataset == dataset) or ("inception",)
