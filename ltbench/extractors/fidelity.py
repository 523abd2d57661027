"""torch-fidelity's extractors by their names there: VGG16, CLIP, DINOv2, the TensorFlow-like Inception.

All resize as TensorFlow 1 did, but `clip_l14_336`, which is CMMD's.
`vgg16` gives the second fully connected layer after its ReLU: the
features of improved precision and recall (Kynkaanniemi et al., NeurIPS 2019).

DINOv2 has no network code in any package: its repository is read from torch hub's cache, where the user
has put it.
"""

import contextlib
import importlib.util
import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ltbench.errors import DataCorrupt, DataMissing
from ltbench.extractors.base import Extractor
from ltbench.extractors.inception import PYTORCH_WEIGHTS, three_channels
from ltbench.extractors.weights import WeightsFile, load_state_dict, locate, places

DINOV2 = {
    "dinov2-vit-s-14": ("vits14", "b938bf1bc15cd2ec0feacfe3a1bb553fe8ea9ca46a7e1d8d00217f29aef60cd9"),
    "dinov2-vit-b-14": ("vitb14", "0b8b82f85de91b424aded121c7e1dcc2b7bc6d0adeea651bf73a13307fad8c73"),
    "dinov2-vit-l-14": ("vitl14", "d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428"),
    "dinov2-vit-g-14": ("vitg14", ""),  # no hash is known
}
CLIP = (
    *("clip-rn50", "clip-rn101", "clip-rn50x4", "clip-rn50x16", "clip-rn50x64"),
    *("clip-vit-b-32", "clip-vit-b-16", "clip-vit-l-14", "clip-vit-l-14-336px"),
)
CMMD = "clip_l14_336"  # clip-vit-l-14-336px, resized as CMMD does
NAMES = ("vgg16", "inception-v3-compat", *CLIP, *DINOV2, CMMD)
DINOV2_CODE = "facebookresearch_dinov2_main"


def weights_file(name: str) -> WeightsFile:
    """Return the published weights of one of `NAMES`; `DataMissing` without torch-fidelity.

    Raises
    ------
    DataMissing
        torch-fidelity is not installed.
    """
    if importlib.util.find_spec("torch_fidelity") is None:
        raise DataMissing(f"{name} needs torch-fidelity: install it with `pip install torch-fidelity`")
    if name == "vgg16":
        return WeightsFile(
            ("vgg16-397923af.pth",),
            "https://download.pytorch.org/models/vgg16-397923af.pth",
            "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        )
    if name == "inception-v3-compat":
        return PYTORCH_WEIGHTS
    if name in DINOV2:
        code, digest = DINOV2[name]
        stem = f"dinov2_{code}"
        url = f"https://dl.fbaipublicfiles.com/dinov2/{stem}/{stem}_pretrain.pth"
        return WeightsFile((f"{stem}_pretrain.pth",), url, digest)
    from torch_fidelity.feature_extractor_clip import MODEL_METADATA, MODEL_URLS

    name = "clip-vit-l-14-336px" if name == CMMD else name
    digest, file = MODEL_METADATA[name]["hash"], MODEL_METADATA[name]["filename"]
    return WeightsFile((f"{name}-{digest}.pt", f"{file}.pt"), MODEL_URLS[name], digest)


class Fidelity(nn.Module):
    """One of torch-fidelity's extractors, built from weights already read safely."""

    def __init__(self, name: str, path: Path) -> None:
        super().__init__()
        from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY

        kind = FEATURE_EXTRACTORS_REGISTRY[name]
        self.layer = kind.get_default_feature_layer_for_metric("prc")
        layers = [self.layer]
        self.has_logits = "logits_unbiased" in kind.get_provided_features_list()
        if self.has_logits:
            layers.append("logits_unbiased")
        if name in CLIP:  # a TorchScript archive
            source: Any = str(path)
        else:  # torch-fidelity unpickles without restriction: it is given what we have read and written
            source = io.BytesIO()
            torch.save(load_state_dict(path), source)
            source.seek(0)
        self.inner = kind(name, layers, feature_extractor_weights_path=source)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return features (B,d) and, from Inception, unbiased logits, of images (B,1 or 3,H,W), uint8."""
        out = self.inner(three_channels(images))
        return out[0], out[1] if self.has_logits else None


class Normalise(nn.Module):
    """Subtracts a channel's mean and divides by its spread, which lie on the images' device: nothing waits for it."""

    mean: Tensor
    spread: Tensor

    def __init__(self, mean: Sequence[float], spread: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("spread", torch.tensor(spread).view(-1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return (x - mean) / spread of (B,C,H,W)."""
        result: Tensor = (x - self.mean) / self.spread
        return result


class ClipBicubic(nn.Module):
    """CLIP's projected image embeddings, images resized bicubically without a crop as CMMD does."""

    has_logits = False

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.inner = Fidelity("clip-vit-l-14-336px", path).inner
        self.normalise = Normalise([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711])

    def forward(self, images: Tensor) -> tuple[Tensor, None]:
        """Return features (B,768) of images (B,1 or 3,H,W), uint8."""
        side = self.inner.resolution
        x = F.interpolate(three_channels(images).float() / 255, (side, side), mode="bicubic")
        return self.inner.model.visual(self.normalise(x)).float(), None


class DinoV2(nn.Module):
    """DINOv2's class token, preprocessed as torch-fidelity does."""

    side = 224
    has_logits = False

    def __init__(self, name: str, path: Path) -> None:
        super().__init__()
        self.inner = torch.hub.load(
            str(_dinov2_code(name)), f"dinov2_{DINOV2[name][0]}", source="local", pretrained=False
        )
        self.inner.load_state_dict(load_state_dict(path))
        self.normalise = Normalise([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])

    def forward(self, images: Tensor) -> tuple[Tensor, None]:
        """Return features (B,d) of images (B,1 or 3,H,W), uint8."""
        from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

        x = interpolate_bilinear_2d_like_tensorflow1x(
            three_channels(images).float(), size=(self.side, self.side), align_corners=False
        )
        return self.inner(self.normalise(x / 255)), None


def _dinov2_code(name: str) -> Path:
    folders = [folder / DINOV2_CODE for folder in (*places(), Path(torch.hub.get_dir()))]
    checkout = next((folder for folder in folders if (folder / "hubconf.py").is_file()), None)
    if checkout is None:
        raise DataMissing(
            f"{name} needs DINOv2's code: get it with `git clone --depth 1 "
            f"https://github.com/facebookresearch/dinov2 {folders[-1]}`"
        )
    return checkout


def load_fidelity(name: str, weights: Path | None = None, device: torch.device | str = "cpu") -> Extractor:
    """Return one of torch-fidelity's extractors, its weights read from a file and never downloaded.

    Raises
    ------
    DataMissing, DataCorrupt
        The weights, or torch-fidelity, are absent; the file does not hold this network.
    """
    file = weights_file(name)
    path, digest = locate(name, file, weights)
    try:
        with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # chatter of torch.hub, torch.jit and xFormers
            network: Any
            if name in DINOV2:
                network = DinoV2(name, path)
            else:
                network = ClipBicubic(path) if name == CMMD else Fidelity(name, path)
    except (RuntimeError, KeyError, ValueError) as error:
        raise DataCorrupt(f"{path} does not hold the network of {file.names[0]}: get that file") from error
    return Extractor(
        name if file.is_published(digest) else f"{name}@{digest[:8]}",
        network,
        weights_hash=digest,
        preprocessing="bicubic 336/1" if name == CMMD else "torch-fidelity 0.4/1",
        has_logits=network.has_logits,
        device=device,
    )
