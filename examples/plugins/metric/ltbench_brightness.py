"""Brightness gap: real and generated pixels to the difference of their mean brightness, in grey levels."""

import numpy as np

from ltbench.metrics.base import Metric, Output


def brightness_gap(reference: np.ndarray, generated: np.ndarray) -> float:
    """Return |mean(generated) - mean(reference)| of images (N,C,H,W) uint8."""
    return abs(float(np.mean(generated)) - float(np.mean(reference)))


BRIGHTNESS = Metric(
    name="brightness",
    needs="images",
    inputs=("reference", "generated"),
    function=brightness_gap,
    outputs=(Output("brightness_gap", "lower", title="Brightness gap", decimals=2),),
    description="difference of mean brightness, grey levels",
    source="an example",
    default=False,
)
