"""A CIFAR of a few images in the authors' exact format, and the source that expects its MD5s."""

import hashlib
import pickle
import tarfile
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from ltbench.data.sources.cifar import Cifar

NOWHERE = "http://127.0.0.1:9"  # nothing listens on the discard port: like a machine without a network


@dataclass(frozen=True)
class TinyCifar(Cifar):
    """Expects the MD5s of a few images instead of the original's; everything else is the real source."""

    overrides: Any = field(default=None, hash=False)

    def dataset_class(self):
        return type("Tiny", (super().dataset_class(),), self.overrides)


def tiny_cifar(source, overrides):
    return TinyCifar(**{f.name: getattr(source, f.name) for f in fields(source)}, overrides=overrides)


def cifar_files(folder, source, per_class=5):
    """Write a tiny CIFAR in the exact pickle format; return the source that expects it."""
    cls = source.dataset_class()
    rng = np.random.default_rng(0)
    where = folder / cls.base_folder
    where.mkdir(parents=True)
    fine = source.num_classes > 10

    def write(name, content):
        (where / name).write_bytes(pickle.dumps(content, protocol=2))
        return [name, hashlib.md5((where / name).read_bytes()).hexdigest()]

    def batch(name, n):
        labels = rng.permutation(np.arange(n) % source.num_classes).tolist()
        pixels = rng.integers(0, 256, (n, 3072), dtype=np.uint8)
        return write(name, {"data": pixels, "fine_labels" if fine else "labels": labels})

    parts = len(cls.train_list)
    train = [batch(name, per_class * source.num_classes // parts) for name, _ in cls.train_list]
    test = [batch(name, source.num_classes) for name, _ in cls.test_list]
    key = cls.meta["key"]
    filename, md5 = write(cls.meta["filename"], {key: [f"class_{k}" for k in range(source.num_classes)]})
    with tarfile.open(folder / cls.filename, "w:gz") as tar:
        tar.add(where, cls.base_folder)
    overrides = {
        "train_list": train,
        "test_list": test,
        "meta": {"filename": filename, "key": key, "md5": md5},
        "tgz_md5": hashlib.md5((folder / cls.filename).read_bytes()).hexdigest(),
        "url": f"{NOWHERE}/{cls.filename}",
    }
    return replace(tiny_cifar(source, overrides), pool=(per_class,) * source.num_classes)
