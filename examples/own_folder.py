"""Prepare a long-tailed folder of class folders, and see what is trained on and what is kept for scoring."""

import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

import ltbench as lt


def draw(folder: Path) -> None:
    """Write 90, 60 and 40 pictures of three classes, told apart by colour."""
    stream = np.random.default_rng(0)
    for name, colour, count in (
        ("blue", (60, 60, 200), 90),
        ("green", (60, 180, 60), 60),
        ("red", (200, 60, 60), 40),
    ):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            image = stream.normal(colour, 25, (16, 16, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(image).save(folder / name / f"{i:03d}.png")


def main() -> None:
    draw(Path("pictures"))
    command = [sys.executable, "-m", "ltbench", "data", "prepare", "folder_lt", "--source", "pictures"]
    subprocess.run([*command, "--image-size", "16"], check=True)
    data = lt.load_dataset("folder_lt:pictures", image_size=16)
    for name, images in (("train", data.train), ("reference", data.reference), ("held out", data.heldout)):
        counts = np.bincount(images.labels, minlength=len(data.class_names))
        print(f"{name:10}", dict(zip(data.class_names, map(int, counts), strict=True)))


if __name__ == "__main__":
    main()
