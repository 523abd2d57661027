"""A data set in CIFAR-10's file format made of noise and coloured blocks, and an extractor that needs no weights.

`write_plugin` makes a package of it: ltbench finds the data set ``generated_lt`` in every process that has its folder on
PYTHONPATH. Files are read and checked as CIFAR-10's are, by torchvision and against the MD5s that were written.
"""

import hashlib
import pickle
from pathlib import Path

import numpy as np

FOLDER = "cifar-10-batches-py"
PLUGIN = """
import dataclasses
import json
from pathlib import Path

from torchvision.datasets import CIFAR10 as Files

from ltbench.data.sources.cifar import CIFAR10, Cifar

DIGESTS = json.loads(Path(__file__).with_name("digests.json").read_text())


class Written(Files):
    train_list = [[name, DIGESTS[name]] for name in sorted(DIGESTS) if name.startswith("data_batch")]
    test_list = [["test_batch", DIGESTS["test_batch"]]]
    meta = {"filename": "batches.meta", "key": "label_names", "md5": DIGESTS["batches.meta"]}


class Generated(Cifar):
    def dataset_class(self):
        return Written


fields = {f.name: getattr(CIFAR10, f.name) for f in dataclasses.fields(CIFAR10)}
SOURCE = Generated(**{**fields, "name": "generated_lt", "title": "noise in CIFAR-10's format", "pool": POOL})
"""


def _images(labels: np.ndarray, stream: np.random.Generator) -> np.ndarray:
    """(N, 3072) uint8: noise around a colour of each class, so that there is something to learn."""
    colours = np.random.default_rng(7).integers(40, 216, (10, 3, 1))
    noise = stream.normal(0, 25, (len(labels), 3, 1024))
    return (colours[labels] + noise).clip(0, 255).astype(np.uint8).reshape(len(labels), -1)


def write_files(root: Path, per_class: int) -> dict[str, str]:
    """Write the five batches, the test batch and the names under root/FOLDER; return each file's MD5."""
    folder = root / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    stream, digests = np.random.default_rng(0), {}
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    for name in names:
        labels = np.repeat(np.arange(10), per_class // 5)
        content = {b"data": _images(labels, stream), b"labels": labels.tolist()}
        digests[name] = _dump(folder / name, {key.decode(): value for key, value in content.items()})
    classes = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    digests["batches.meta"] = _dump(folder / "batches.meta", {"label_names": classes})
    return digests


def _dump(path: Path, content: dict) -> str:
    data = pickle.dumps(content, protocol=2)
    path.write_bytes(data)
    return hashlib.md5(data).hexdigest()


def write_plugin(folder: Path, digests: dict[str, str], per_class: int) -> None:
    """Write the package that tells ltbench of the data set."""
    import json

    info = folder / "generated_cifar-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (folder / "digests.json").write_text(json.dumps(digests))
    (folder / "generated_cifar.py").write_text(PLUGIN.replace("POOL", repr((per_class,) * 10)))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: generated-cifar\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[ltbench.datasets]\ngenerated_lt = generated_cifar:SOURCE\n")


def write_extractor(path: Path) -> None:
    """Write a TorchScript network of fixed random weights: uint8 (N,3,H,W) to features (N,64)."""
    import torch
    from torch import nn

    class Features(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(
                nn.Conv2d(3, 32, 5, 2), nn.ReLU(), nn.Conv2d(32, 64, 5, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1)
            )

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.layers(images.float() / 127.5 - 1).flatten(1)

    torch.manual_seed(0)
    torch.jit.script(Features().eval()).save(str(path))
