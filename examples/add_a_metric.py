"""Write a metric as a package would offer it through the entry-point group ``ltbench.metrics``."""

import numpy as np

import ltbench as lt
from ltbench.metrics.base import Metric, Output


def contrast_ratio(reference: np.ndarray, generated: np.ndarray) -> float:
    """Return the mean contrast of generated images over that of real ones; 1 is as real, below 1 is flat.

    Parameters
    ----------
    reference, generated
        (N,C,H,W) uint8.
    """

    def contrast(images: np.ndarray) -> float:
        return float(images.reshape(len(images), -1).std(axis=1).mean())

    return contrast(generated) / contrast(reference)


CONTRAST = Metric(
    "contrast",
    "images",
    ("reference", "generated"),
    contrast_ratio,
    (Output("contrast_ratio", None),),
    "mean standard deviation within an image, generated over real",
    "this example",
)


def main() -> None:
    real = lt.load_dataset("digits_lt", imbalance_ratio=0.1).heldout.images
    half = len(real) // 2
    flat = (real[:half] * 0.5).astype(np.uint8)
    for name, images in (("real", real[:half]), ("half the contrast", flat)):
        print(f"{CONTRAST.definition} of {name}: {CONTRAST(reference=real[half:], generated=images)}")


if __name__ == "__main__":
    main()
