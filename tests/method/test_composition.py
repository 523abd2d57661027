"""Compositions: terms, weights and draws of several methods at once."""

import pytest
import torch
from method_batches import Stub, contexts, generator, make_batch, run

from ltbench.errors import UsageError
from ltbench.method import Method, registry
from ltbench.method.composition import Composition, loss_terms


class Doubles(Method):
    name = "doubles"

    def weights(self, batch):
        return torch.full((len(batch.y),), 2.0)


def test_loss_is_the_weighted_mean_of_each_images_error():
    batch = make_batch()
    terms, stub = run("inverse_frequency", batch)
    weights = registry.create_method("inverse_frequency").weights(batch)
    eps = stub.scale[batch.y].view(-1, 1, 1, 1) * batch.x_t
    naive = sum(weights[i] * (eps[i] - batch.noise[i]).square().mean() for i in range(24)) / 24
    torch.testing.assert_close(terms["denoising"], naive)


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


@pytest.mark.parametrize("hook", ["target", "weights", "regularizers"])
def test_what_a_hook_returns_in_another_shape_is_refused(hook):
    """Weights of (B, 1) times errors of (B,) broadcast to (B, B): the mean of it is no weighting at all."""

    class Odd(Method):
        name = "odd"

        def target(self, batch, _rng):
            return batch.noise[:, 0] if hook == "target" else batch.noise

        def weights(self, batch):
            return torch.ones(len(batch.y), 1) if hook == "weights" else None

        def regularizers(self, _batch, prediction, _ctx):
            return {"term": prediction.eps.flatten(1).mean(1).sum(0, keepdim=hook == "regularizers")}

    odd, batch, stub = Composition([Odd()]), make_batch(), Stub()

    def loss():
        target, prediction = odd.target(batch, generator), stub(batch.x_t, batch.t, batch.label)
        return loss_terms(odd, batch, prediction, target, contexts(stub))

    with pytest.raises(UsageError, match=r"odd.* has the shape \(.*\), and must have \("):
        loss()


def loss_of(method):
    """Return a method's terms of one batch, by every hook."""
    composition, batch, stub = Composition([method]), make_batch(), Stub()
    target, prediction = composition.target(batch, generator), stub(batch.x_t, batch.t, batch.label)
    return loss_terms(composition, batch, prediction, target, contexts(stub))


@pytest.mark.parametrize(
    ("hook", "returned", "says"),
    [
        ("target", None, r"from target is None, and must be a tensor of the shape \(24, 3, 4, 4\)"),
        ("target", torch.zeros(24, 3, 4, 4, dtype=torch.complex64), "is complex .*, and must be real"),
        ("target", torch.zeros(24, 3, 4, 4, device="meta"), "is on meta, and must be .* on cpu"),
        ("weights", 0.5, r"from weights is a float, and must be a tensor of the shape \(24,\)"),
        ("weights", torch.ones(24, device="meta"), "from weights is on meta, and must be .* on cpu"),
        ("regularizers", None, "from regularizers is None, and must be a dictionary"),
        ("regularizers", torch.zeros(()), "from regularizers is a Tensor, and must be a dictionary"),
        ("regularizers", [torch.zeros(())], "from regularizers is a list, and must be a dictionary"),
        ("regularizers", {"a": 0.0}, r"the term 'a' that odd returns .* is a float, .* of the shape \(\)"),
        ("regularizers", {"a": torch.tensor(1j)}, "the term 'a' that odd returns .* is complex"),
        (
            "regularizers",
            {"a": torch.zeros((), device="meta")},
            "the term 'a' that odd returns .* is on meta",
        ),
    ],
)
def test_what_a_hook_forgets_to_return_is_named_by_method_and_hook(hook, returned, says):
    """A missing `return` was an AttributeError of ours, and a term on another device one of torch."""
    odd = type("Odd", (Method,), {"name": "odd", hook: lambda *_: returned})()
    with pytest.raises(UsageError, match=says) as caught:
        loss_of(odd)
    assert f"odd returns from {hook}" in str(caught.value)


def test_whole_numbers_are_real_and_no_terms_are_a_dictionary_too():
    counting = {"name": "counting", "regularizers": lambda *_: {"a": torch.tensor(3)}}
    assert loss_of(type("Counting", (Method,), counting)())["counting.a"] == 3
    silent = type("Silent", (Method,), {"name": "silent", "regularizers": lambda *_: {}})()
    assert list(loss_of(silent)) == ["denoising"]
