"""What a training costs in floating-point operations: network passes of a step, counted, not guessed."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from ltbench import rng
from ltbench.diffusion.schedule import NUM_TIMESTEPS
from ltbench.diffusion.unet import Denoiser, build_denoiser, flops
from ltbench.method import Batch, Context, Prediction
from ltbench.method.registry import create
from ltbench.spec import RunSpec


class Facts(Protocol):
    """What the count needs of a data cell; `Dataset` has it, and so has a plan made without the files."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of an image."""

    @property
    def num_classes(self) -> int:
        """Number of classes K."""

    @property
    def prior(self) -> Any:
        """(K,) share of each class in the training set."""


def training_flops(spec: RunSpec, cell: Facts) -> float:
    """Return the FLOPs of a training to its last step: three times a forward pass, for every pass of the method.

    A batch whose labels were all dropped counts like the others, though CBDM saves its second pass there.
    """
    denoiser = _network(spec, cell)
    images = spec.train.steps * spec.train.batch_size
    per_image = flops(denoiser)  # before a method attaches to it
    return 3.0 * images * _passes(spec, cell, denoiser) * per_image


def method_passes(spec: RunSpec, cell: Facts) -> int:
    """Count the network passes of one training step by running the method's hooks on a stand-in network."""
    return _passes(spec, cell, _network(spec, cell))


def _network(spec: RunSpec, cell: Facts) -> Denoiser:
    channels, size, _ = cell.shape
    return build_denoiser(
        spec.model.size, cell.num_classes, channels, size, architecture=spec.model.overrides
    )


def _passes(spec: RunSpec, cell: Facts, denoiser: Denoiser) -> int:
    composition = create(spec.method.name, spec.method.hyperparameters)
    calls = 1

    def stand_in(x_t: Tensor, t: Tensor, label: Tensor) -> Prediction:
        nonlocal calls
        calls += 1
        return Prediction(x_t, torch.zeros(len(x_t), denoiser.bottleneck_channels, 2, 2))

    stream = rng.generator(0, "plan")
    x = torch.randn(4, *cell.shape, generator=stream)
    y = torch.arange(4) % cell.num_classes
    prior = torch.as_tensor(cell.prior, dtype=torch.float32)
    batch = Batch(
        x0=x,
        y=y,
        t=torch.full((4,), 10),
        alpha_bar=torch.full((4,), 0.9),
        num_timesteps=NUM_TIMESTEPS,
        noise=x,
        x_t=x,
        label=y,
        dropped=torch.zeros(4, dtype=torch.bool),
        prior=prior,
        draw_prior=prior,
        reference=(x, y) if composition.needs.reference != "none" else None,
    )
    attached = {name: part.attach(denoiser) for name, part in composition.parts}
    prediction = Prediction(x, torch.zeros(4, denoiser.bottleneck_channels, 2, 2))
    for name, part in composition.parts:
        part.regularizers(batch, prediction, Context(stand_in, attached[name], stream, 4))
    return calls
