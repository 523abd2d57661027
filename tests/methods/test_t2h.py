"""T2H: the official arrays, the naive transfer weights, its gates and its draws."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from method_batches import COUNTS, make_batch, seeds
from objective_golden import terms_of

from ltbench.baselines import t2h
from ltbench.method import Needs, registry


def naive_transfer_weights(batch, candidates):
    sigma2 = 1 / batch.alpha_bar.double() - 1
    centre = batch.x_t.double() / batch.alpha_bar.double().sqrt().view(-1, 1, 1, 1)
    squares = (centre[:, None] - candidates.double()[None]).square().flatten(2).sum(2)
    return (-squares / (2 * sigma2[:, None])).softmax(1)


def t2h_changed(batch, **hyperparameters):
    method = registry.create_method("t2h", **hyperparameters)
    target = method.target(batch, torch.Generator().manual_seed(3))
    return (target != batch.noise).flatten(1).any(1)


@settings(deadline=None, max_examples=30)
@given(seed=seeds, t=st.integers(0, 999) | st.none(), distance=st.sampled_from([0.0, 1e-6, 1e-3, 0.1]))
def test_transfer_weights_equal_the_naive_form_also_for_near_duplicates(seed, t, distance):
    batch = make_batch(12, seed, t, shape=(3, 8, 8))
    candidates = batch.x0.clone()
    candidates[1] = candidates[0] + distance
    weights = t2h.transfer_weights(batch.x_t, batch.alpha_bar, candidates)
    torch.testing.assert_close(weights, naive_transfer_weights(batch, candidates), rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(weights.sum(1), torch.ones(12, dtype=torch.float64))
    order = torch.randperm(12, generator=torch.Generator().manual_seed(seed))
    shuffled = t2h.transfer_weights(batch.x_t, batch.alpha_bar, candidates[order])
    torch.testing.assert_close(shuffled, weights[:, order], rtol=1e-9, atol=1e-12)


def test_draw_follows_the_weights_and_never_takes_a_zero():
    weights = torch.tensor([[0.0, 0.5, 0.0, 0.3, 0.2, 0.0]], dtype=torch.float64)
    u = torch.linspace(0, 1, 10_001, dtype=torch.float64)[:-1]
    drawn = t2h.draw(weights.expand(len(u), -1), u)
    shares = drawn.bincount(minlength=6) / len(u)
    torch.testing.assert_close(shares, weights[0].float(), rtol=0, atol=2e-4)
    last = torch.tensor([math.nextafter(1.0, 0.0)], dtype=torch.float64)
    assert t2h.draw(weights, last).item() == 4


def test_gates_are_each_others_mirror_and_full_takes_all():
    prior = COUNTS / COUNTS.sum()
    own, drawn = torch.cartesian_prod(prior, prior).T
    t2h_gate, h2t_gate = t2h.accepts("t2h", own, drawn), t2h.accepts("h2t", own, drawn)
    assert torch.equal(t2h_gate & h2t_gate, own == drawn)
    assert (t2h_gate | h2t_gate).all()
    assert t2h.accepts("full", own, drawn).all()
    assert t2h.accepts("t2h", prior[4:], prior[:1]).item()  # a tail image may become a head image


def test_target_is_the_noise_towards_the_drawn_image_and_noise_itself_without_transfer():
    batch = make_batch(t=900)
    z = torch.arange(24).roll(1)
    accepted = torch.arange(24) % 2 == 0
    target = t2h.oriented_target(batch, batch.x0[z], accepted)
    abar = batch.alpha_bar.view(-1, 1, 1, 1)
    definition = (batch.x_t - abar.sqrt() * batch.x0[z]) / (1 - abar).sqrt()
    torch.testing.assert_close(target[accepted], definition[accepted])
    assert torch.equal(target[~accepted], batch.noise[~accepted])


def test_t2h_leaves_low_noise_alone_and_its_time_gate_bounds_the_rest():
    assert not t2h_changed(make_batch(t=0), gate="full").any()
    batch = make_batch(200)
    changed = t2h_changed(batch, gate="full")
    inside = (batch.t >= 850) & (batch.t < 950)
    gated = t2h_changed(batch, gate="full", from_time=850, until_time=950)
    assert torch.equal(gated, changed & inside)
    assert gated.any()
    assert not torch.equal(gated, changed)


def test_the_time_gate_keeps_its_first_step_and_leaves_its_last_out():
    method = registry.create_method("t2h", gate="full", from_time=400, until_time=600)
    batch = dataclasses.replace(make_batch(4), t=torch.tensor([399, 400, 599, 600]))
    assert method.accepted(batch, batch.y).tolist() == [False, True, True, False]


def test_published_t2h_draws_from_the_reference_and_turns_the_gate_for_dropped_labels():
    dropped = torch.arange(200) % 2 == 0
    batch = make_batch(200, t=999, dropped=dropped)
    method = registry.create_method("t2h", variant="published")
    assert method.needs == Needs(reference="balanced")
    target = method.target(batch, torch.Generator().manual_seed(3))
    u = torch.rand(200, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    images, labels = batch.reference
    z = t2h.draw(t2h.transfer_weights(batch.x_t, batch.alpha_bar, images), u)
    for i in range(200):
        own, drawn = batch.prior[batch.y[i]], batch.prior[labels[z[i]]]
        accepted = drawn <= own if dropped[i] else drawn >= own
        x0 = images[z[i]] if accepted else batch.x0[i]
        expected = (batch.x_t[i] - batch.alpha_bar[i].sqrt() * x0) / (1 - batch.alpha_bar[i]).sqrt()
        torch.testing.assert_close(target[i], expected, rtol=1e-5, atol=1e-5)


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
