"""What each method promises beyond the golden arrays: invariants, naive forms, streams, processes."""

import copy
import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from up_half import UpHalf

from ltbench.baselines import cbdm, effective_number, t2h
from ltbench.method import Batch, Context, Method, Needs, Prediction, registry
from ltbench.method.composition import Composition, loss_terms
from ltbench.methods import coral

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
    modules = attach(composition, stub)
    target = composition.target(batch, generator)
    prediction = stub(batch.x_t, batch.t, batch.label)
    terms = loss_terms(composition, batch, prediction, target, contexts(stub, modules, len(batch.y)))
    return terms, stub


# -- T2H ------------------------------------------------------------------------------------------------


def naive_transfer_weights(batch, candidates):
    sigma2 = 1 / batch.alpha_bar.double() - 1
    centre = batch.x_t.double() / batch.alpha_bar.double().sqrt().view(-1, 1, 1, 1)
    squares = (centre[:, None] - candidates.double()[None]).square().flatten(2).sum(2)
    return (-squares / (2 * sigma2[:, None])).softmax(1)


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


def t2h_changed(batch, **hyperparameters):
    method = registry.create_method("t2h", **hyperparameters)
    target = method.target(batch, torch.Generator().manual_seed(3))
    return (target != batch.noise).flatten(1).any(1)


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


# -- CBDM -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", ["train", "sqrt", "balanced"])
def test_cbdm_draws_from_its_label_set(labels):
    expected = {
        "train": COUNTS / COUNTS.sum(),
        "sqrt": COUNTS.sqrt() / COUNTS.sqrt().sum(),
        "balanced": torch.full((CLASSES,), 1 / CLASSES),
    }[labels]
    torch.testing.assert_close(cbdm.label_distribution(COUNTS / COUNTS.sum(), labels).float(), expected)
    _, stub = run("cbdm", make_batch(20_000, shape=(3, 1, 1)), {"cbdm": {"labels": labels}})
    shares = stub.seen[-1].bincount(minlength=CLASSES) / 20_000
    torch.testing.assert_close(shares, expected, rtol=0, atol=0.012)  # 3.4 standard errors at the widest


def test_cbdm_regularises_each_image_with_its_own_weight_and_none_with_a_dropped_label():
    dropped = torch.arange(24) % 3 == 0
    batch = make_batch(dropped=dropped)
    terms, stub = run("cbdm", batch, {"cbdm": {"tau": 2.0, "gamma": 0.5}})
    own, other = stub.scale[batch.label], stub.scale[stub.seen[-1]]
    square = ((own - other)[:, None] * batch.x_t.flatten(1)).square().mean(1)
    naive = sum(1.5 * 2.0 * batch.t[i] / 1000 * square[i] for i in range(24) if not dropped[i]) / 24
    torch.testing.assert_close(terms["cbdm.consistency"], naive)


def test_cbdm_published_is_as_strong_as_the_released_one_and_draws_average():
    batch = make_batch()
    released, _ = run("cbdm", batch)
    published, _ = run("cbdm", batch, {"cbdm": {"variant": "published"}})
    torch.testing.assert_close(published["cbdm.consistency"], released["cbdm.consistency"])
    by_time, _ = run("cbdm", batch, {"cbdm": {"time_weight": "t"}})
    torch.testing.assert_close(by_time["cbdm.consistency"], 1000 * released["cbdm.consistency"])
    three, stub = run("cbdm", batch, {"cbdm": {"draws": 3}})
    assert len(stub.seen) == 4
    assert not torch.equal(stub.seen[1], stub.seen[2])
    scale = stub.scale.detach()
    singles = [
        cbdm.consistency(
            scale[batch.y].view(-1, 1, 1, 1) * batch.x_t,
            scale[drawn].view(-1, 1, 1, 1) * batch.x_t,
            batch.t / 1000,
            0.25,
        )
        for drawn in stub.seen[1:]
    ]
    torch.testing.assert_close(three["cbdm.consistency"].detach(), torch.stack(singles).mean())


def test_cbdm_processes_draw_what_one_would():
    batch = make_batch()
    _, whole = run("cbdm", batch)
    seen = []
    for rows in (slice(0, 12), slice(12, 24)):
        stub, part = Stub(), make_batch(12)
        method = registry.create_method("cbdm")
        make = contexts(stub, size=24, shard=lambda x, rows=rows: x[rows])
        method.regularizers(part, stub(part.x_t, part.t, part.label), make("cbdm"))
        seen.append(stub.seen[-1])
    assert torch.equal(torch.cat(seen), whole.seen[-1])


# -- CORAL ----------------------------------------------------------------------------------------------


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


# -- re-weighting ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("draw_prior", [COUNTS / COUNTS.sum(), torch.full((CLASSES,), 0.2)])
@pytest.mark.parametrize("name", ["inverse_frequency", "effective_number"])
def test_weights_have_mean_one_over_drawn_images(name, draw_prior):
    batch = make_batch(20_000, shape=(1, 1, 1), draw_prior=draw_prior)
    method = registry.create_method(name)
    by_class = torch.stack([method.weights(batch)[batch.y == k][0] for k in range(CLASSES)])
    assert (by_class * draw_prior).sum().item() == pytest.approx(1, rel=1e-5)
    assert (by_class.diff() > 0).all()


def test_inverse_frequency_follows_its_power():
    batch = make_batch(500, shape=(1, 1, 1))
    for power in (0.0, 0.5, 1.0):
        weights = registry.create_method("inverse_frequency", power=power).weights(batch)
        scaled = weights * COUNTS[batch.y] ** power
        torch.testing.assert_close(scaled, scaled[:1].expand(500), rtol=1e-5, atol=0)


def test_effective_number_is_the_geometric_sum():
    counts = torch.tensor([1, 2, 5, 4000])
    for beta in (0.0, 0.5, 0.99):
        naive = torch.tensor([sum(beta**j for j in range(int(n))) for n in counts], dtype=torch.float64)
        torch.testing.assert_close(effective_number.effective_number(counts, beta), naive)
    almost = effective_number.effective_number(counts, 1 - 1e-9)
    torch.testing.assert_close(almost, counts.double(), rtol=1e-5, atol=0)


# -- compositions and all methods -----------------------------------------------------------------------


def test_loss_is_the_weighted_mean_of_each_images_error():
    batch = make_batch()
    terms, stub = run("inverse_frequency", batch)
    weights = registry.create_method("inverse_frequency").weights(batch)
    eps = stub.scale[batch.y].view(-1, 1, 1, 1) * batch.x_t
    naive = sum(weights[i] * (eps[i] - batch.noise[i]).square().mean() for i in range(24)) / 24
    torch.testing.assert_close(terms["denoising"], naive)


class Doubles(Method):
    name = "doubles"

    def weights(self, batch):
        return torch.full((len(batch.y),), 2.0)


def test_the_weights_of_several_providers_multiply():
    batch = make_batch()
    names = ("inverse_frequency", "effective_number")
    first, second = (registry.create_method(name).weights(batch) for name in names)
    together = registry.create("+".join(names)).weights(batch)
    torch.testing.assert_close(together, first * second)
    parts = [*(registry.create_method(name) for name in names), Doubles()]
    torch.testing.assert_close(Composition(parts).weights(batch), 2 * first * second)
    assert registry.create("coral+t2h").weights(batch) is None
    terms, stub = run("+".join(names), batch)
    error = (stub.scale[batch.y].view(-1, 1, 1, 1) * batch.x_t - batch.noise).square().flatten(1).mean(1)
    torch.testing.assert_close(terms["denoising"], (first * second * error).mean())


def test_a_composition_adds_terms_and_shifts_nobodys_draws():
    batch = make_batch(t=950)
    together, stub = run("t2h+coral+cbdm", batch)
    assert list(together) == ["denoising", "cbdm.consistency", "coral.supcon"]
    cbdm_alone, cbdm_stub = run("cbdm", batch)
    assert torch.equal(stub.seen[-1], cbdm_stub.seen[-1])
    assert torch.equal(together["cbdm.consistency"], cbdm_alone["cbdm.consistency"])
    assert torch.equal(together["coral.supcon"], run("coral", batch)[0]["coral.supcon"])
    assert torch.equal(together["denoising"], run("t2h", batch)[0]["denoising"])
    assert not torch.equal(together["denoising"], cbdm_alone["denoising"])


class _Reads(TorchDispatchMode):
    """Records reads of a tensor's value by Python, which make a GPU wait."""

    def __init__(self):
        super().__init__()
        self.reads = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if "_local_scalar_dense" in str(function) or "nonzero" in str(function):
            self.reads.append(str(function))
        return function(*args, **(kwargs or {}))


def every_method():
    names = [*registry.known_methods(), *registry.legal_pairs()]
    variants = [(n, v) for n, method in registry.known_methods().items() for v in method.VARIANTS]
    return [(n, None) for n in names] + variants


@pytest.mark.parametrize(("name", "variant"), every_method())
def test_every_method_has_a_finite_loss_that_trains_and_never_waits_for_the_device(name, variant):
    batch = make_batch(dropped=torch.arange(24) % 5 == 0)
    with _Reads() as reads:
        terms, stub = run(name, batch, {name: {"variant": variant}} if variant else None)
    assert not reads.reads
    assert all(term.dim() == 0 and term.isfinite() for term in terms.values())
    sum(terms.values()).backward()
    assert stub.scale.grad.isfinite().all()
    assert stub.scale.grad.abs().sum() > 0
    again, _ = run(name, batch, {name: {"variant": variant}} if variant else None)
    assert all(torch.equal(again[key], terms[key]) for key in terms)
