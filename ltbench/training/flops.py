"""What a training costs in floating-point operations: network passes of a step, counted, not guessed."""

from __future__ import annotations

from typing import Protocol, cast

import numpy as np
import torch
from torch import Tensor

from ltbench import rng
from ltbench.diffusion.schedule import NUM_TIMESTEPS
from ltbench.diffusion.unet import Denoiser, flops
from ltbench.method import Batch, Context, Prediction
from ltbench.method.composition import Composition
from ltbench.method.registry import create
from ltbench.specs import RunSpec
from ltbench.training.model import Facts as ModelFacts
from ltbench.training.model import build_model, plain_denoiser


class Facts(ModelFacts, Protocol):
    """What the count needs of a data cell; `Dataset` has it, and so has a plan made without the files."""

    @property
    def prior(self) -> np.ndarray:
        """(K,) share of each class in the training set."""


def training_flops(spec: RunSpec, dataset: Facts) -> float:
    """Return the FLOPs of a training to its last step: three times a forward pass, for every pass of the method.

    A batch whose labels were all dropped counts like the others, though CBDM and CCUA save their second pass there.
    """
    images = spec.train.steps * spec.train.batch_size
    return 3.0 * images * method_passes(spec, dataset) * flops(plain_denoiser(spec, dataset))


def method_passes(spec: RunSpec, dataset: Facts) -> int:
    """Return the network passes of one training step of a run's method."""
    return passes_of(spec, dataset, create(spec.method))


def passes_of(spec: RunSpec, dataset: Facts, composition: Composition) -> int:
    """Count the network passes of one training step by running the methods' hooks on a stand-in network."""
    model = build_model(spec, dataset, composition)
    attached = dict(model["methods"].named_children())
    calls = 0

    def stand_in(x_t: Tensor, t: Tensor, label: Tensor) -> Prediction:  # noqa: ARG001 -- a method may pass them by name
        nonlocal calls
        calls += 1
        bottleneck = torch.zeros(
            len(x_t), *cast(Denoiser, model["denoiser"]).bottleneck_shape, requires_grad=True
        )
        return Prediction(x_t.clone().requires_grad_(), bottleneck)

    stream = rng.generator(0, "plan")
    x = torch.randn(4, *dataset.shape, generator=stream)
    y = torch.arange(4) % dataset.num_classes
    prior = torch.as_tensor(dataset.prior, dtype=torch.float32)
    batch = Batch(
        x0=x,
        y=y,
        t=torch.full((4,), 10),
        alpha_bar=torch.full((4,), 0.9),
        snr=torch.full((4,), 9.0),
        num_timesteps=NUM_TIMESTEPS,
        noise=x,
        x_t=x,
        label=y,
        dropped=torch.zeros(4, dtype=torch.bool),
        prior=prior,
        draw_prior=prior,
        reference=(x, y) if composition.needs.reference != "none" else None,
        counts=(prior * 1000).long(),
    )
    prediction = stand_in(x, batch.t, y)
    composition.regularizers(batch, prediction, lambda name: Context(stand_in, attached.get(name), stream, 4))
    return calls
