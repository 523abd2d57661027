"""Small CNNs as extractors: the shipped ones for the digits and Fashion-MNIST, and the design of a user's own.

The shipped ones are trained by ``python -m ltbench.extractors.train NAME`` on the pool of their data set. Weights
and a record (held-out accuracy, command, seed, hashes) lie beside this file.

The features are the last hidden layer's batch-normalised values *before* its ReLU. A Frechet distance
compares means and covariances, as if features were Gaussian: after a ReLU they are half zeros, while
these are two-sided, each of unit variance over the pool, and the classifier still uses all of them
through the ReLU (a purely linear layer before a linear classifier would collapse to K - 1 directions).
So a distance of d/100 is a shift of a tenth of a standard deviation in each of the d features.
"""

from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ltbench.errors import DataCorrupt
from ltbench.extractors.base import Extractor
from ltbench.extractors.weights import file_hash
from ltbench.files import read_json

FEATURES = 64
PREPROCESSING = "area-resampled, [-1,1]/1"


@dataclass(frozen=True)
class Design:
    """Architecture of a small extractor.

    Attributes
    ----------
    dataset
        Whose labels it predicts.
    side
        Pixels a side of the network's input; other sizes are area-resampled to it.
    sizes
        (smallest, largest) side of the images it takes.
    widths
        Channels of the convolutions; each but the last is followed by 2x2 max pooling.
    num_classes
        K.
    channels
        Of the images, 1 or 3.
    """

    dataset: str
    side: int
    sizes: tuple[int, int]
    widths: tuple[int, ...]
    num_classes: int = 10
    channels: int = 1

    def network(self) -> "SmallCNN":
        """Return the network with fresh weights from the global generator."""
        return SmallCNN(self)


SHIPPED = {
    "digits_cnn": Design("digits_lt", side=8, sizes=(8, 8), widths=(32, 64)),
    "fashion_mnist_cnn": Design("fashion_mnist_lt", side=16, sizes=(8, 32), widths=(16, 64, 128)),
}


class SmallCNN(nn.Module):
    """3x3 convolutions with batch normalisation, one hidden layer (the features), a linear classifier."""

    def __init__(self, design: Design) -> None:
        super().__init__()
        self.side = design.side
        layers: list[nn.Module] = []
        channels, side = design.channels, design.side
        for width in design.widths:
            if layers:
                layers.append(nn.MaxPool2d(2))
                side //= 2
            layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        self.trunk = nn.Sequential(*layers, nn.Flatten())
        self.hidden = nn.Linear(channels * side * side, FEATURES, bias=False)
        self.standardise = nn.BatchNorm1d(FEATURES, affine=False)
        self.classifier = nn.Linear(FEATURES, design.num_classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (B,64) and logits (B,K) of images (B,C,H,W) in 0..255."""
        x = images.float()
        if x.shape[-1] != self.side:
            whole = x.cpu() if x.device.type == "mps" else x  # which averages areas of one size only
            x = F.interpolate(whole, size=(self.side, self.side), mode="area").to(x.device)
        x = (x / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        features = self.standardise(self.hidden(self.trunk(x)))
        return features, self.classifier(F.relu(features))


def shipped_files(name: str) -> tuple[Path, Path]:
    """Return the paths of a shipped extractor's weights and record."""
    folder = Path(__file__).parent
    return folder / f"{name}.safetensors", folder / f"{name}.json"


def load_shipped(name: str, weights: Path | None = None, device: torch.device | str = "cpu") -> Extractor:
    """Return a shipped extractor; `weights` replaces the shipped file by one from the training command.

    Raises
    ------
    DataCorrupt
        The file does not hold this network, or is not the one its record names.
    """
    shipped, record = shipped_files(name)
    path = Path(weights or shipped)
    mend = "train it again with" if weights else "install ltbench again, or train it with"
    mend = f"{mend} `python -m ltbench.extractors.train {name}`"
    digest = file_hash(path)
    if not weights and digest != read_json(record)["weights_sha256"]:
        raise DataCorrupt(f"{path} is not the file its record {record.name} describes: {mend}")
    return load_design(name, SHIPPED[name], path, mend, device)


def load_design(
    name: str, design: Design, path: Path, mend: str, device: torch.device | str = "cpu"
) -> Extractor:
    """Return the extractor of a design with the weights in a file.

    Raises
    ------
    DataMissing, DataCorrupt
        No such file, or it does not hold this network; `mend` says what to do then.
    """
    digest, network = file_hash(path), design.network()
    try:
        network.load_state_dict(safetensors.torch.load_file(path))
    except (safetensors.SafetensorError, RuntimeError) as error:
        raise DataCorrupt(f"{path} does not hold the weights of {name}: {mend}") from error
    return Extractor(
        name,
        network.to(memory_format=torch.channels_last),
        weights_hash=digest,
        preprocessing=PREPROCESSING,
        classifies=design.dataset,
        has_logits=True,
        channels=(design.channels,),
        sizes=design.sizes,
        batch_size=512,
        device=device,
    )
