"""Pixels as features: images to their values in [-1, 1], flattened; no network, no weights, no classifier.

For data whose pixels are Gaussian by class (closed_form) a Frechet distance on them is exactly what it claims to
measure. On photographs it is not: use a network's features there.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import Tensor, nn

from ltbench.errors import UsageError
from ltbench.extractors.base import Extractor, ExtractorRow

NAME = "pixels"


class _Flatten(nn.Module):
    def forward(self, images: Tensor) -> tuple[Tensor, None]:
        return (images.float() / 127.5 - 1).flatten(1), None


def describe(name: str = NAME) -> ExtractorRow:
    """Return the extractor's line of a listing: it needs no file."""
    return ExtractorRow(name, f"FD ({name})", True, Path(__file__), (), "")


def load_pixels(name: str, weights: Path | None = None, device: torch.device | str = "cpu") -> Extractor:
    """Return the extractor; it takes square images of at most 16 pixels a side."""
    if weights is not None:
        raise UsageError("pixels has no weights file: leave it out")
    digest = hashlib.sha256(NAME.encode()).hexdigest()
    return Extractor(
        name,
        _Flatten(),
        weights_hash=digest,
        preprocessing="flatten-1",
        sizes=(1, 16),
        batch_size=1024,
        device=device,
    )
