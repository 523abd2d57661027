"""The two Inception extractors that a Frechet *Inception* distance may be computed on.

`inception`: clean-fid's ``legacy_pytorch`` route, the papers': bilinear resizing without antialiasing,
the PyTorch port of the 2015-12-05 network (Heusel et al., NeurIPS 2017; Seitzer, pytorch-fid). "FID".
`inception_clean`: clean-fid's ``clean`` route (Parmar, Zhang and Zhu, CVPR 2022): PIL's antialiased
bicubic resizing, NVIDIA's TorchScript port of the same network. "FID (clean)".

`inception_mixed_6`: an inner layer of the former, for sFID (Nash et al., ICML 2021), which keeps positions.

Features are the 2048 of the last pooling. Logits are the 1008 class scores without the classifier's
bias, as the Inception score has always been computed.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from ltbench.errors import DataCorrupt, DataMissing
from ltbench.extractors.base import Extractor
from ltbench.extractors.weights import WeightsFile, load_state_dict, load_torchscript, locate

PYTORCH_WEIGHTS = WeightsFile(
    ("pt_inception-2015-12-05-6726825d.pth", "weights-inception-2015-12-05-6726825d.pth"),
    "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
    "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
)
TORCHSCRIPT_WEIGHTS = WeightsFile(
    ("inception-2015-12-05.pt",),
    "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/inception-2015-12-05.pt",
    "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4",
)
WEIGHTS = {
    "inception": PYTORCH_WEIGHTS,
    "inception_clean": TORCHSCRIPT_WEIGHTS,
    "inception_mixed_6": PYTORCH_WEIGHTS,
}
SPATIAL_CHANNELS = 7  # of the inner layer that sFID compares: 17 x 17 x 7 = 2,023 numbers
_PREPROCESSING = {  # part of an extractor's hash
    "inception": "clean-fid legacy_pytorch/1",
    "inception_clean": "clean-fid clean/1",
    "inception_mixed_6": "clean-fid legacy_pytorch, mixed_6/1",
}
RESIZING = {"inception": "legacy", "inception_clean": "clean"}
TITLES = {"inception": "FID", "inception_clean": "FID (clean)"}
SIDE = 299


def three_channels(images: Tensor) -> Tensor:
    """Return (B,3,H,W); a grey image is repeated."""
    return images.expand(-1, 3, -1, -1)


def resize_legacy(images: Tensor) -> Tensor:
    """Resize (B,C,H,W) in 0..255 as clean-fid's ``legacy_pytorch``: bilinear, no antialiasing."""
    return F.interpolate(images.float(), (SIDE, SIDE), mode="bilinear", align_corners=False).clamp(0, 255)


def resize_clean(images: Tensor, side: int = SIDE) -> Tensor:
    """Resize (B,C,H,W) in 0..255 as clean-fid's ``clean``: PIL's bicubic, in floating point, clipped.

    PIL's resizing is linear in the pixels and separable, so its action on an identity matrix is all of
    it: two matrix products on the images' device replace a loop over images and channels on the CPU.
    """

    def matrix(old: int) -> Tensor:
        identity = Image.fromarray(np.eye(old, dtype=np.float32))
        resized = identity.resize((old, side), resample=Image.Resampling.BICUBIC)
        return torch.from_numpy(np.array(resized)).to(images.device)

    height, width = images.shape[-2:]
    return (matrix(height) @ images.float() @ matrix(width).T).clamp(0, 255)


def fid_inception() -> nn.Module:
    """Return torchvision's Inception-v3 with clean-fid's patched blocks and 1008 classes, untrained."""
    import torchvision
    from cleanfid import inception_pytorch as patched

    network = torchvision.models.inception_v3(
        weights=None, num_classes=1008, aux_logits=False, init_weights=False
    )
    network.Mixed_5b = patched.FIDInceptionA(192, pool_features=32)
    network.Mixed_5c = patched.FIDInceptionA(256, pool_features=64)
    network.Mixed_5d = patched.FIDInceptionA(288, pool_features=64)
    network.Mixed_6b = patched.FIDInceptionC(768, channels_7x7=128)
    network.Mixed_6c = patched.FIDInceptionC(768, channels_7x7=160)
    network.Mixed_6d = patched.FIDInceptionC(768, channels_7x7=160)
    network.Mixed_6e = patched.FIDInceptionC(768, channels_7x7=192)
    network.Mixed_7b = patched.FIDInceptionE_1(1280)
    network.Mixed_7c = patched.FIDInceptionE_2(2048)
    result: nn.Module = network
    return result


class InceptionPyTorch(nn.Module):
    """The PyTorch port, under ``legacy_pytorch`` resizing."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        super().__init__()
        trunk = fid_inception()
        trunk.load_state_dict(state)
        assert isinstance(trunk.fc, nn.Linear)
        self.classifier = trunk.fc
        trunk.fc = nn.Identity()
        self.trunk = trunk.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (B,2048) and unbiased logits (B,1008) of images (B,1 or 3,H,W) in 0..255."""
        x = resize_legacy(three_channels(images)).contiguous(memory_format=torch.channels_last)
        features = self.trunk(2 * (x / 255) - 1)
        return features, F.linear(features, self.classifier.weight)


class InceptionSpatial(nn.Module):
    """The PyTorch port up to TensorFlow's ``mixed_6/conv``: what sFID compares, under the same resizing."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        super().__init__()
        self.whole = InceptionPyTorch(state)
        self.kept: list[Tensor] = []
        block = self.whole.trunk.get_submodule("Mixed_6d.branch1x1")
        block.register_forward_hook(lambda _module, _inputs, out: self.kept.append(out))

    def forward(self, images: Tensor) -> tuple[Tensor, None]:
        """Return features (B,2023) of images (B,1 or 3,H,W) in 0..255."""
        self.kept.clear()
        self.whole(images)
        return self.kept.pop()[:, :SPATIAL_CHANNELS].flatten(1), None


class InceptionTorchScript(nn.Module):
    """NVIDIA's TorchScript Inception-v3, resized outside it under ``clean``."""

    def __init__(self, archive: torch.jit.ScriptModule) -> None:
        super().__init__()
        self.layers = archive.layers
        self.output = archive.output

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (B,2048) and unbiased logits (B,1008) of images (B,1 or 3,H,W) in 0..255."""
        x = resize_clean(three_channels(images))
        features = self.layers((x - 128) / 128).flatten(1)
        return features, F.linear(features, self.output.weight)


def load_inception(name: str, weights: Path | None = None, device: torch.device | str = "cpu") -> Extractor:
    """Return `inception`, `inception_clean` or, for sFID, `inception_mixed_6`.

    Only the published weights give an "FID": any other file's extractor is called NAME@HASH, so its
    numbers are an "FD (NAME@HASH)".

    Raises
    ------
    DataMissing, DataCorrupt
        The weights, or clean-fid, are absent; the file does not hold this network.
    """
    clean = name == "inception_clean"
    file = WEIGHTS[name]
    path, digest = locate(name, file, weights)
    try:
        network: nn.Module
        if clean:
            network = InceptionTorchScript(load_torchscript(path))
        elif name == "inception_mixed_6":
            network = InceptionSpatial(load_state_dict(path))
        else:
            network = InceptionPyTorch(load_state_dict(path))
    except ImportError as error:
        raise DataMissing(f"{name} needs clean-fid: install it with `pip install clean-fid`") from error
    except (RuntimeError, AttributeError) as error:
        raise DataCorrupt(f"{path} does not hold the network of {file.names[0]}: get that file") from error
    published = digest == file.sha256
    return Extractor(
        name if published else f"{name}@{digest[:8]}",
        network,
        weights_hash=digest,
        preprocessing=_PREPROCESSING[name],
        title=TITLES.get(name) if published else None,
        has_logits=name != "inception_mixed_6",
        device=device,
    )
