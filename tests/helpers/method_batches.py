"""Batches, a stub network and one step's terms, for the tests of methods."""

import torch
from hypothesis import strategies as st
from up_half import UpHalf

from ltbench.method import Batch, Context, Prediction, registry
from ltbench.method.composition import loss_terms

COUNTS = torch.tensor([500, 120, 30, 7, 2])
CLASSES = len(COUNTS)
ABAR = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64).neg().add(1).cumprod(0)
seeds = st.integers(0, 2**32 - 1)


def make_batch(size=24, seed=0, t=None, dropped=None, shape=(3, 4, 4), draw_prior=None):
    g = torch.Generator().manual_seed(seed)
    prior = COUNTS / COUNTS.sum()
    x0 = torch.rand(size, *shape, generator=g) * 2 - 1
    y = torch.multinomial(prior, size, replacement=True, generator=g)
    drawn_t = torch.randint(1000, (size,), generator=g)
    t = drawn_t if t is None else torch.full((size,), t)
    noise = torch.randn(x0.shape, generator=g)
    abar = ABAR[t].float()
    column = abar.view(-1, 1, 1, 1)
    dropped = torch.zeros(size, dtype=torch.bool) if dropped is None else dropped
    reference_y = torch.arange(size) % CLASSES
    reference = torch.rand(x0.shape, generator=g) * 2 - 1
    return Batch(
        x0=x0,
        y=y,
        t=t,
        alpha_bar=abar,
        num_timesteps=1000,
        noise=noise,
        x_t=column.sqrt() * x0 + (1 - column).sqrt() * noise,
        label=torch.where(dropped, CLASSES, y),
        dropped=dropped,
        prior=prior,
        draw_prior=prior if draw_prior is None else draw_prior,
        reference=(reference, reference_y),
        counts=COUNTS,
    )


class Stub(torch.nn.Module):
    """A denoiser with one weight a label, whose bottleneck has 8 channels; it records the labels it saw."""

    bottleneck_channels = 8

    def __init__(self):
        super().__init__()
        g = torch.Generator().manual_seed(1)
        self.scale = torch.nn.Parameter(torch.rand(CLASSES + 1, generator=g))
        self.mix = torch.nn.Parameter(torch.randn(8, 3, generator=g))
        self.unet = UpHalf()
        self.seen = []

    def forward(self, x_t, _t, label):
        self.seen.append(label)
        bottleneck = torch.einsum("kc,bchw->bkhw", self.mix, x_t)
        return Prediction(self.scale[label].view(-1, 1, 1, 1) * x_t, bottleneck)


def generator(*name):
    return torch.Generator().manual_seed(sum(map(ord, "/".join(name))))


def contexts(stub, modules=None, size=24, **extra):
    def make(name):
        part = (modules or {}).get(name)
        return Context(stub, part, generator(name, "regularizers"), size, **extra)

    return make


def attach(composition, stub):
    torch.manual_seed(0)
    return {name: part.attach(stub) for name, part in composition.parts}


def run(name, batch, hyperparameters=None):
    """One step's loss terms and the stub they were computed with, as the trainer does it."""
    composition, stub = registry.create(name, hyperparameters), Stub()
    stub.attached = modules = attach(composition, stub)
    target = composition.target(batch, generator)
    prediction = stub(batch.x_t, batch.t, batch.label)
    terms = loss_terms(composition, batch, prediction, target, contexts(stub, modules, len(batch.y)))
    return terms, stub
