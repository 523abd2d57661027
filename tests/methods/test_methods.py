"""What holds of every method and legal pair."""

import pytest
import torch
from method_batches import make_batch, run
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


@pytest.mark.parametrize(
    ("method", "good", "bad"),
    [
        ("tempered", {"smallest_draw": 1.0}, {"smallest_draw": 1.5}),
        ("tempered", {"smallest_draw": 0.5}, {"smallest_draw": 0.0}),
        ("t2h", {"until_time": 0}, {"until_time": -1}),
        ("t2h", {"from_time": 0}, {"from_time": -1}),
        ("effective_number", {"beta": 0.0}, {"beta": -0.5}),
        ("effective_number", {"beta": 0.999}, {"beta": 1.0}),
    ],
)
def test_the_ends_of_a_settings_range(method, good, bad):
    registry.create(registry.resolve(method, {method: good}))
    with pytest.raises(UsageError):
        registry.create(registry.resolve(method, {method: bad}))
