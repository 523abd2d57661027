"""Thumbnails as features: images (N,C,H,W) uint8 to their 4x4 grey thumbnail, (N,16) float32. Has no weights."""

import torch
from torch import Tensor, nn

from ltbench.extractors.base import Extractor, ExtractorRow, ExtractorSource


class Thumbnail(nn.Module):
    """Grey levels, averaged to 4x4."""

    def forward(self, images: Tensor) -> tuple[Tensor, None]:
        """Return the features (B,16) and no logits."""
        grey = images.float().mean(1, keepdim=True) / 255
        return nn.functional.adaptive_avg_pool2d(grey, 4).flatten(1), None


def load(name, weights=None, device: torch.device | str = "cpu") -> Extractor:
    """Return the extractor; there is nothing to read."""
    return Extractor(name, Thumbnail(), weights_hash="none", preprocessing="thumbnail/1", device=device)


def describe(name: str) -> ExtractorRow:
    """Say that nothing has to be got."""
    return ExtractorRow(name, f"FD ({name})", True, None, (), "nothing to get")


THUMBNAIL = ExtractorSource("thumbnail", load, describe)
