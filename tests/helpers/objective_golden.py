"""The official code's objectives: one seeded mini-batch, a stub denoiser, values and gradients."""

from pathlib import Path

import numpy as np
import torch

from ltbench.method import Batch, Context, Prediction, registry
from ltbench.method.composition import loss_terms

GOLDENS = Path(__file__).parents[1] / "goldens"
CLOSE = {"rtol": 1e-5, "atol": 1e-7}


class Golden:
    """One seeded mini-batch, and the stub denoiser eps(x_t, t, y) = scale[y] x_t."""

    def __init__(self, classes):
        self.arrays = dict(np.load(GOLDENS / f"objectives_k{classes}.npz"))
        self.classes = classes
        self.scale = self["scale"].requires_grad_()

    def __getitem__(self, name):
        return torch.from_numpy(np.asarray(self.arrays[name]))

    def batch(self, dropped=False, time="t"):
        t, x0, noise, y = self[time], self["x0"], self["noise"], self["y"]
        abar = self["alphas_bar"][t].float()
        shape = (-1, 1, 1, 1)
        whole = torch.full(y.shape, dropped)
        return Batch(
            x0=x0,
            y=y,
            t=t,
            alpha_bar=abar,
            num_timesteps=1000,
            noise=noise,
            x_t=abar.sqrt().view(shape) * x0 + (1 - abar).sqrt().view(shape) * noise,
            label=torch.where(whole, self.classes, y),
            dropped=whole,
            prior=self["prior"],
            draw_prior=self["prior"],
        )

    def denoise(self, x_t, _t, label):
        return Prediction(self.scale[label].view(-1, 1, 1, 1) * x_t, torch.zeros(len(x_t), 1, 1, 1))

    def context(self, modules=None):
        def make(_):
            return Context(self.denoise, modules, torch.Generator().manual_seed(0), len(self["y"]))

        return make

    def check(self, terms, prefix, suffix=""):
        """Compare the total and its gradient with respect to the stub's scale."""
        total = sum(terms.values())
        np.testing.assert_allclose(total.item(), self.arrays[f"{prefix}_loss{suffix}"], **CLOSE)
        (gradient,) = torch.autograd.grad(total, self.scale)
        np.testing.assert_allclose(gradient, self.arrays[f"{prefix}_grad_scale{suffix}"], **CLOSE)


def terms_of(golden, name, batch, target=None):
    prediction = golden.denoise(batch.x_t, batch.t, batch.label)
    composition = registry.create(name)
    return loss_terms(
        composition, batch, prediction, batch.noise if target is None else target, golden.context()
    )
