"""Small sets of samples as arrays, and the data sets they are for."""

from types import SimpleNamespace

import numpy as np
from safetensors.numpy import save_file

from ltbench.specs import DataSpec

NAMES = ("air plane", "Bird", "cat")
CELL = SimpleNamespace(
    shape=(3, 8, 8), num_classes=3, class_names=NAMES, spec=DataSpec(dataset="three", imbalance_ratio=0.5)
)
GREY = SimpleNamespace(**{**vars(CELL), "shape": (1, 8, 8)})
LABELS = np.array([0, 1, 2, 0, 1, 2])


def pixels(channels=3, seed=0, n=6):
    images = np.random.default_rng(seed).integers(0, 256, (n, channels, 8, 8), dtype=np.uint8)
    images[0, 0, 0, :2] = 0, 255
    return images


def saved(tmp_path, images, labels=LABELS, name="theirs.npz", **more):
    path = tmp_path / name
    arrays = {"images": images} | ({} if labels is None else {"labels": labels}) | more
    if name.endswith(".npy"):
        np.save(path, images)
    elif name.endswith(".safetensors"):
        save_file({key: np.ascontiguousarray(value) for key, value in arrays.items()}, path)
    else:
        np.savez(path, **arrays)
    return path
