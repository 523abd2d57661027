"""What holds of every method and legal pair."""

import dataclasses
import re

import pytest
import torch
from method_batches import CLASSES, make_batch, run
from torch.utils._python_dispatch import TorchDispatchMode

from ltbench.errors import UsageError
from ltbench.method import registry


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


NEUTRAL = {  # what makes plain denoising of a method that does not add terms, whose weights are found by their help
    "effective_number": {"beta": 0.0},
    "inverse_frequency": {"power": 0.0},
    "min_snr": {"gamma": 1e30},
    "p2": {"gamma": 0.0},
    "t2h": {"until_time": 0},
}
LABELS = {
    "head": torch.zeros(24, dtype=torch.long),
    "tail": torch.full((24,), CLASSES - 1),
    "no pair": torch.arange(CLASSES),
}


def weights_at_zero(name):
    """Return the settings that switch a method's terms off: every weight, by its help, at 0."""
    fields = dataclasses.fields(registry.known_methods()[name].Hyperparameters)
    is_weight = re.compile("(lambda, the )?weight of")
    return {f.name: 0.0 for f in fields if is_weight.match(f.metadata.get("help", ""))}


def loss_and_gradients(terms, stub):
    loss = torch.stack(tuple(terms.values())).sum()
    loss.backward()
    parameters = [*stub.parameters(), *(p for m in stub.attached.values() if m for p in m.parameters())]
    return loss.detach(), [p.grad for p in parameters if p.grad is not None], stub.scale.grad


@pytest.mark.parametrize("name", registry.known_methods())
def test_zero_weight_is_plain_denoising_bit_for_bit(name):
    batch = make_batch(dropped=torch.arange(24) % 5 == 0)
    plain, _, plain_gradient = loss_and_gradients(*run("ddpm", batch))
    terms, stub = run(name, batch, {name: {**NEUTRAL.get(name, {}), **weights_at_zero(name)}})
    assert len(terms) == 1 or weights_at_zero(name), f"say 'weight of ...' in the help of {name}'s weights"
    loss, gradients, gradient = loss_and_gradients(terms, stub)
    assert torch.equal(loss, plain)
    assert torch.equal(gradient, plain_gradient)
    assert sum(g.count_nonzero() for g in gradients) == gradient.count_nonzero()  # nothing else moves


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize(("name", "variant"), every_method())
def test_a_batch_of_one_class_or_without_a_pair_has_a_finite_loss_and_gradients(name, variant, labels):
    y = LABELS[labels]
    batch = make_batch(len(y), dropped=torch.arange(len(y)) % 5 == 0)
    label = torch.where(batch.dropped, CLASSES, y)
    batch = dataclasses.replace(batch, y=y, label=label, reference=(batch.reference[0], y))
    loss, gradients, gradient = loss_and_gradients(
        *run(name, batch, {name: {"variant": variant}} if variant else None)
    )
    assert loss.isfinite()
    assert all(g.isfinite().all() for g in gradients)
    assert gradient.count_nonzero() > 0


@pytest.mark.parametrize(
    ("method", "good", "bad"),
    [
        ("tempered", {"smallest_draw": 1.0}, {"smallest_draw": 1.5}),
        ("tempered", {"smallest_draw": 0.5}, {"smallest_draw": 0.0}),
        ("t2h", {"until_time": 0}, {"until_time": -1}),
        ("t2h", {"from_time": 0}, {"from_time": -1}),
        ("t2h", {"from_time": 999}, {"from_time": 1000}),
        ("t2h", {"from_time": 599, "until_time": 600}, {"from_time": 600, "until_time": 600}),
        ("t2h", {"until_time": 1000}, {"until_time": 1001}),
        ("cbdm", {"draws": 1000}, {"draws": 1001}),
        ("coral", {"dim": 65536}, {"dim": 65537}),
        ("tempered", {"power": 0.75, "smallest_draw": 0.5}, {"power": 0.7, "smallest_draw": 0.5}),
        ("effective_number", {"beta": 0.0}, {"beta": -0.5}),
        ("effective_number", {"beta": 0.999}, {"beta": 1.0}),
    ],
)
def test_the_ends_of_a_settings_range(method, good, bad):
    registry.create(registry.resolve(method, {method: good}))
    with pytest.raises(UsageError):
        registry.create(registry.resolve(method, {method: bad}))
