"""Compositions: terms, weights and draws of several methods at once."""

import torch
from method_batches import make_batch, run

from ltbench.method import Method, registry
from ltbench.method.composition import Composition


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
