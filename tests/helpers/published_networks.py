"""Stand-ins for published networks and how near their features have to be."""

import itertools
import math

import numpy as np
import torch
from torch import nn


def images(count=2, height=32, width=32, channels=3, seed=0):
    shape = (count, channels, height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def spread(module):
    """Give random weights that keep activations of unit size through many layers."""
    generator = torch.Generator().manual_seed(0)
    for p in module.parameters():
        if p.ndim > 1:
            p.data.normal_(0, math.sqrt(2 / p[0].numel()), generator=generator)
    return module


def assert_close(ours, theirs, tolerance=1e-4):
    scale = np.abs(theirs).mean()
    assert scale > 1e-3
    assert theirs.std() > 0.01 * scale
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance * scale)


class SmallVGG(nn.Module):
    """torchvision's VGG16 with few channels: seven classifier layers, of which the first four are fc2."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 7, stride=32), nn.ReLU())
        sizes = (4 * 49, 32, 16, 10)
        fc = [nn.Linear(a, b) for a, b in itertools.pairwise(sizes)]
        self.classifier = nn.Sequential(fc[0], nn.ReLU(), nn.Dropout(), fc[1], nn.ReLU(), nn.Dropout(), fc[2])

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))
