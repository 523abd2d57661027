"""Folders of small image files, as people bring them, and a recorder of progress."""

import numpy as np
from PIL import Image

import ltbench.data.dataset as data
from ltbench.data.prepare.prepare import prepare
from ltbench.specs import DataSpec


def write_image(path, seed, size=(23, 31), mode="RGB", format=None):
    """Write a smooth picture of any size and mode."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (4, 4) if mode == "L" else (4, 4, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize(size, Image.Resampling.BILINEAR).convert(mode)
    image.save(path, format, **({"quality": 90} if path.suffix.lower() in (".jpg", ".jpeg") else {}))


ODD = [((23, 31), "RGB"), ((64, 64), "L"), ((7, 90), "CMYK"), ((178, 218), "RGB"), ((1, 1), "RGB")]


def write_counted_classes(root, counts, start=0):
    """Write class folders a, b, c, ... of JPEGs in odd sizes and modes."""
    for k, n in enumerate(counts):
        for i in range(n):
            size, mode = ODD[(i + k) % len(ODD)]
            write_image(root / "abcdefgh"[k] / f"{i:04d}.jpg", start + 100 * k + i, size, mode)
    return root


class Progress(list):
    """Keeps every (done, total) that it is called with."""

    def __call__(self, done, total):
        self.append((done, total))


def write_noisy(path, value=0, seed=None, size=16):
    """Write a square picture of one brightness and a little noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed if seed is not None else abs(hash(str(path))) % 2**32)
    pixels = np.clip(value + noise.integers(0, 12, (size, size, 3)), 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(path)


def write_named_classes(root, names, n=6, size=16):
    """Write class folders of these names, class k at brightness 20k."""
    for k, name in enumerate(names):
        for i in range(n):
            write_noisy(root / name / f"{i}.png", 20 * k, 1000 * k + i, size)
    return root


def prepared(tmp_path, source, **options):
    """Return a prepared folder and the data set of it, all images as they come."""
    made = prepare("folder_lt", source, tmp_path / "data", image_size=16, workers=1, **options)
    spec = DataSpec(dataset="folder_lt", profile="asis", content=made.hash, image_size=16)
    return made, data.load_dataset(spec, tmp_path / "data")


def write_random(path, seed, size=64):
    """Write a square JPEG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    Image.fromarray(coarse).resize((size, size)).save(path, "JPEG")
