"""Classification accuracy score: what a classifier learns from generated images, tested on real ones.

    CAS = accuracy on held-out real images of a classifier trained on generated images and their labels

It falls both when samples look wrong and when they miss part of a class, and its per-class accuracies say
where. The classifier is ours, small enough for a CPU (a third of a second a step at 32 px): three 3x3
convolutions (32, 64, 128 channels, batch norm, ReLU, 2x2 max pooling between), global average pooling, one
linear layer; Adam on a one-cycle schedule to 2e-3, 1000 steps of 128 images, no augmentation. Values compare
only with this same classifier; what it reaches when trained on real images is the ceiling.

Source: Ravuri & Vinyals, "Classification Accuracy Score for Conditional Generative Models", NeurIPS 2019
(there with a ResNet-50).
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ltbench.errors import UsageError
from ltbench.metrics.features import Array, as_labels, as_tensor, in_blocks
from ltbench.rng import derive, generator

_BATCH = 128
_PEAK_RATE = 2e-3


def _classifier(channels: int, num_classes: int, seed: int) -> nn.Module:
    layers: list[nn.Module] = []
    with torch.random.fork_rng(devices=[]):  # initialisers only know the global generator
        torch.manual_seed(derive(seed, "cas weights") & 0x7FFF_FFFF_FFFF_FFFF)
        for i, width in enumerate((32, 64, 128)):
            layers += [nn.MaxPool2d(2, ceil_mode=True)] if i else []
            layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes))


def _images(x: Array, name: str) -> Tensor:
    tensor = as_tensor(x, name, "images")
    if tensor.ndim != 4 or tensor.dtype != torch.uint8 or len(tensor) == 0:
        raise UsageError(
            f"{name} images must be uint8 (images, channels, height, width) and not empty,"
            f" got {tensor.dtype} {tuple(tensor.shape)}"
        )
    return tensor


def _scaled(images: Tensor) -> Tensor:
    return images.float().div_(127.5).sub_(1)


def classification_accuracy_score(
    generated: Array,
    generated_labels: Array,
    heldout: Array,
    heldout_labels: Array,
    num_classes: int,
    *,
    steps: int = 1000,
    seed: int = 0,
) -> dict[str, float | np.ndarray]:
    """Train on generated images, test on real ones.

    Parameters
    ----------
    generated
        (m, C, H, W) uint8; training runs on its device.
    generated_labels
        (m,) integers in 0..num_classes-1, what they were conditioned on.
    heldout
        (n, C, H, W) uint8 real images, in neither the training set nor the reference.
    heldout_labels
        (n,) integers.
    num_classes
        K.
    steps
        Optimiser steps of 128 images.
    seed
        Of initial weights and order.

    Returns
    -------
    dict
        ``accuracy``, the mean of ``class_accuracy`` over classes with held-out images, and
        ``class_accuracy``, (K,) float64, NaN for a class without.

    Raises
    ------
    UsageError
        Images that are not uint8 (N,C,H,W) of one shape, fewer than two to train on, or unfit labels.
    """
    train, test = _images(generated, "generated"), _images(heldout, "held-out")
    if train.shape[1:] != test.shape[1:]:
        raise UsageError(
            f"generated images are {tuple(train.shape[1:])} and held-out ones {tuple(test.shape[1:])};"
            " score images of the data set's own size"
        )
    if len(train) < 2 or steps < 2:
        raise UsageError(f"CAS needs at least 2 generated images and 2 steps, got {len(train)} and {steps}")
    device = train.device
    labels = torch.from_numpy(as_labels(generated_labels, len(train), num_classes)).to(device)
    truth = as_labels(heldout_labels, len(test), num_classes, "held-out")
    network = _classifier(train.shape[1], num_classes, seed).to(device)
    optimizer = torch.optim.Adam(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _PEAK_RATE, total_steps=steps)
    for step in range(steps):
        rows = torch.randint(len(train), (_BATCH,), generator=generator(seed, "cas order", step)).to(device)
        loss = F.cross_entropy(network(_scaled(train[rows])), labels[rows])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    network.eval()
    with torch.inference_mode():
        guesses = [
            network(_scaled(test[rows].to(device))).argmax(dim=1) for rows in in_blocks(len(test), 1024)
        ]
    right = torch.cat(guesses).cpu().numpy() == truth
    n = np.bincount(truth, minlength=num_classes)
    hits = np.bincount(truth[right], minlength=num_classes)
    class_accuracy = np.divide(hits, n, out=np.full(num_classes, np.nan), where=n > 0)
    return {"accuracy": float(np.nanmean(class_accuracy)), "class_accuracy": class_accuracy}
