"""Every objective against arrays that the official code produced: values and gradients."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ltbench.baselines import cbdm, t2h
from ltbench.method import Batch, Context, Prediction, registry
from ltbench.method.composition import loss_terms
from ltbench.methods import coral

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


@pytest.fixture(params=[10, 5], ids=["k10", "k5"])
def golden(request):
    return Golden(request.param)


def terms_of(golden, name, batch, target=None):
    prediction = golden.denoise(batch.x_t, batch.t, batch.label)
    composition = registry.create(name)
    return loss_terms(
        composition, batch, prediction, batch.noise if target is None else target, golden.context()
    )


def test_x_t_is_the_official_forward_process(golden):
    np.testing.assert_allclose(golden.batch().x_t, golden["x_t"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dropped", [False, True])
def test_ddpm(golden, dropped):
    terms = terms_of(golden, "ddpm", golden.batch(dropped))
    assert list(terms) == ["denoising"]
    golden.check(terms, "drop_ddpm" if dropped else "ddpm")


@pytest.mark.parametrize("dropped", [False, True])
def test_cbdm(golden, dropped, monkeypatch):
    monkeypatch.setattr(cbdm.torch, "searchsorted", lambda *_, **__: golden["cbdm_y_bal"].clone())
    terms = terms_of(golden, "cbdm", golden.batch(dropped))
    prefix = "drop_cbdm" if dropped else "cbdm"
    np.testing.assert_allclose(terms["cbdm.consistency"].item(), golden.arrays[f"{prefix}_reg"], **CLOSE)
    golden.check(terms, prefix)


def test_t2h_weights(golden):
    batch = golden.batch(time="t2h_t")
    weights = t2h.transfer_weights(batch.x_t, batch.alpha_bar, batch.x0)
    # The official squares are float32, near 100 in the exponent: the arrays themselves round at 1e-5.
    np.testing.assert_allclose(weights, golden["t2h_weights"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("gate", ["t2h", "h2t", "full"])
def test_t2h_loss(golden, gate, monkeypatch):
    monkeypatch.setattr(t2h, "draw", lambda *_: golden["t2h_z"])
    batch = golden.batch(time="t2h_t")
    method = registry.create("t2h", {"t2h": {"gate": gate}})
    target = method.target(batch, lambda *_: torch.Generator())
    golden.check(terms_of(golden, "t2h", batch, target), "t2h", f"_{gate}")


@pytest.mark.parametrize(("w", "tau_r", "tau_sc"), [(0.5, 0.3, 0.1), (0.01, 1.0, 0.09)])
def test_coral(golden, w, tau_r, tau_sc):
    prefix = f"coral_w{w}_r{tau_r}_tau{tau_sc}"
    batch = golden.batch()
    anchors = coral.supcon(golden["coral_projection"], batch.y, tau_sc)
    plain = coral.contrast(anchors, torch.ones(len(anchors)), "batch")
    np.testing.assert_allclose(plain, golden[f"{prefix}_supcon"], **CLOSE)
    weight = coral.time_weight(batch.t, 1000, w, tau_r)
    np.testing.assert_allclose(weight.mean(), golden[f"{prefix}_lambda_mean"], **CLOSE)
    weighted = coral.contrast(anchors, weight, "batch")
    np.testing.assert_allclose(weighted, golden[f"{prefix}_supcon_weighted"], **CLOSE)


@pytest.mark.parametrize(("w", "tau_r", "tau_sc"), [(0.5, 0.3, 0.1), (0.01, 1.0, 0.09)])
def test_coral_released_total_and_gradient(golden, w, tau_r, tau_sc):
    """The whole method: an identity head on a (B,16,1,1) bottleneck gives the golden projection."""
    prefix = f"coral_w{w}_r{tau_r}_tau{tau_sc}"
    batch = golden.batch()
    projection = golden["coral_projection"].requires_grad_()
    settings = {"variant": "released", "w": w, "tau_r": tau_r, "tau_sc": tau_sc}
    composition = registry.create("coral", {"coral": settings})
    eps = golden.denoise(batch.x_t, batch.t, batch.label).eps
    prediction = Prediction(eps, projection[:, :, None, None])
    terms = loss_terms(composition, batch, prediction, batch.noise, golden.context(torch.nn.Identity()))
    total = sum(terms.values())
    np.testing.assert_allclose(total.item(), golden.arrays[f"{prefix}_loss_official"], **CLOSE)
    (gradient,) = torch.autograd.grad(total, projection)
    scale = np.abs(golden.arrays[f"{prefix}_grad_projection"]).max()
    np.testing.assert_allclose(gradient, golden[f"{prefix}_grad_projection"], rtol=1e-5, atol=1e-6 * scale)


# -- variants (their strength: test_variants.py) ---------------------------------------------------------


def test_cbdms_published_constants_are_the_papers():
    hp = registry.create_method("cbdm", variant="published").hp
    assert (hp.time_weight, hp.tau, hp.gamma, hp.labels, hp.variant) == (
        "t",
        0.001,
        0.25,
        "train",
        "published",
    )
    # What the name stood for once: it resolves to itself and is called by no name.
    old = registry.resolve("cbdm", {"cbdm": {"time_weight": "t", "labels": "balanced"}})
    assert old.hyperparameters == {"cbdm": {"time_weight": "t", "labels": "balanced"}}
    assert registry.create(old).variant == "custom"
