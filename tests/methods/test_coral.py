"""CORAL: the official arrays, naive loops, precision, variants, and two processes."""

import copy
import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from method_batches import Stub, attach, contexts, make_batch, run, seeds
from objective_golden import CLOSE

from ltbench.method import Prediction, registry
from ltbench.method.composition import Composition, loss_terms
from ltbench.methods import coral


def naive_supcon(projection, labels, temperature):
    z = [row / row.norm() for row in projection.double()]
    losses = []
    for i in range(len(z)):
        others = [a for a in range(len(z)) if a != i and labels[a] >= 0]
        positives = [p for p in others if labels[p] == labels[i]] if labels[i] >= 0 else []
        total = sum(math.exp(z[i] @ z[a] / temperature) for a in others)
        terms = [float(z[i] @ z[p]) / temperature - math.log(total) for p in positives]
        losses.append(-sum(terms) / len(terms) if terms else 0.0)
    return torch.tensor(losses)


@settings(deadline=None, max_examples=25)
@given(seed=seeds, labels=st.lists(st.integers(-1, 3), min_size=1, max_size=9))
def test_supcon_equals_the_naive_loops_in_any_order(seed, labels):
    g = torch.Generator().manual_seed(seed)
    labels = torch.tensor(labels)
    projection = torch.randn(len(labels), 6, generator=g)
    anchors = coral.supcon(projection, labels, 0.1)
    torch.testing.assert_close(anchors, naive_supcon(projection, labels, 0.1), rtol=1e-4, atol=1e-5)
    order = torch.randperm(len(labels), generator=g)
    torch.testing.assert_close(coral.supcon(projection[order], labels[order], 0.1), anchors[order])
    kept = labels >= 0  # a negative label is as if the image were not there
    torch.testing.assert_close(coral.supcon(projection[kept], labels[kept], 0.1), anchors[kept])


@pytest.mark.parametrize("labels", [[0], [0, 1, 2], [-1, -1], [-1, 2]])
def test_without_a_positive_pair_the_term_is_zero_and_its_gradient_finite(labels):
    projection = torch.randn(len(labels), 4, requires_grad=True)
    anchors = coral.supcon(projection, torch.tensor(labels), 0.1)
    for per in ("sample", "batch"):
        term = coral.contrast(anchors, torch.ones(len(labels)), per)
        assert term.item() == 0
        (gradient,) = torch.autograd.grad(term, projection, retain_graph=True)
        assert torch.equal(gradient, torch.zeros_like(projection))


def test_supcon_stays_in_float32_under_autocast():
    projection, labels = torch.randn(16, 8), torch.arange(16) % 3
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = coral.supcon(projection, labels, 0.1)
    assert torch.equal(inside, coral.supcon(projection, labels, 0.1))


def test_lambda_weighs_anchors_or_the_batch():
    anchors = torch.tensor([2.0, 0.0, 4.0])
    weight = torch.tensor([1.0, 5.0, 0.5])
    assert coral.contrast(anchors, weight, "sample").item() == pytest.approx((2 + 2) / 2)
    assert coral.contrast(anchors, weight, "batch").item() == pytest.approx(6.5 / 3 * 3)
    alone = torch.tensor([3.0, 0.0, 0.0])  # one anchor: a mean over one
    assert coral.contrast(alone, weight, "sample").item() == 3
    assert coral.contrast(alone, weight, "batch").item() == pytest.approx(6.5 / 3 * 3)
    assert coral.contrast(0 * alone, weight, "sample").item() == 0
    t = torch.tensor([0, 500, 999])
    expected = [0.5 * math.exp((1 - s / 1000) / 0.3) for s in t.tolist()]
    np.testing.assert_allclose(coral.time_weight(t, 1000, 0.5, 0.3), expected, rtol=1e-5)


def test_coral_variants_differ_as_documented():
    batch = make_batch(t=300)  # one t for all: lambda per sample and per batch agree
    key = "coral.supcon"
    code = {"coral": {"variant": "released_formula"}}
    published, released = run("coral", batch)[0], run("coral", batch, code)[0]
    torch.testing.assert_close(released[key], 0.1 * published[key])
    gone = make_batch(t=300, dropped=torch.ones(24, dtype=torch.bool))
    torch.testing.assert_close(run("coral", gone)[0][key], published[key])
    assert run("coral", gone, code)[0][key].item() == 0


@pytest.mark.parametrize("variant", ["published", "released"])
def test_coral_over_two_processes_has_the_gradient_of_one(variant):
    """Each process sees all projections; gradients flow back to their owner and are averaged."""
    batch, method = (
        make_batch(dropped=torch.arange(24) % 4 == 0),
        registry.create_method("coral", variant=variant),
    )
    stub = Stub()
    head = attach(Composition([method]), stub)["coral"]
    prediction = stub(batch.x_t, batch.t, batch.label)
    one = method.regularizers(batch, prediction, contexts(stub, {"coral": head})("coral"))["supcon"]
    expected = torch.autograd.grad(one, head.weight, retain_graph=True)[0]

    heads = [copy.deepcopy(head), copy.deepcopy(head)]
    halves = [slice(0, 12), slice(12, 24)]
    pooled = prediction.bottleneck.mean((2, 3))
    projected = torch.cat([h(pooled[rows]) for h, rows in zip(heads, halves, strict=True)])
    labels = torch.where(batch.dropped, -1, batch.y) if method.hp.mask_dropped else batch.y
    weight = coral.time_weight(batch.t, 1000, method.hp.w, method.hp.tau_r)

    def gather(local):
        (whole,) = (
            w for w in (projected, labels, weight) if (w.dim(), w.dtype) == (local.dim(), local.dtype)
        )
        return whole

    total = torch.zeros(())
    for rows, mine in zip(halves, heads, strict=True):
        fields = ("x0", "y", "t", "alpha_bar", "noise", "x_t", "label", "dropped")
        part = dataclasses.replace(batch, **{f: getattr(batch, f)[rows] for f in fields})
        local = Prediction(prediction.eps[rows], prediction.bottleneck[rows])
        term = method.regularizers(part, local, contexts(stub, {"coral": mine}, gather=gather)("coral"))[
            "supcon"
        ]
        torch.testing.assert_close(term, one)
        total = total + term
    gradients = torch.autograd.grad(total, [h.weight for h in heads])
    torch.testing.assert_close(sum(gradients) / 2, expected)


def test_coral_attaches_one_linear_from_the_bottleneck():
    head = registry.create_method("coral", dim=16).attach(Stub())
    assert isinstance(head, torch.nn.Linear)
    assert head.weight.shape == (16, 8)


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
