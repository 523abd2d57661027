"""Weights by inverse frequency: mean one over drawn images, and the power."""

import dataclasses

import pytest
import torch
from method_batches import CLASSES, COUNTS, make_batch

from ltbench.method import registry


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


def test_the_highest_power_overflows_in_no_class():
    counts = torch.tensor([10**9, 1])
    shares = counts / counts.sum()
    batch = dataclasses.replace(
        make_batch(2), y=torch.arange(2), counts=counts, prior=shares, draw_prior=shares
    )
    weights = registry.create_method("inverse_frequency", power=4.0).weights(batch)
    assert weights.tolist() == pytest.approx([1e-27, 1e9])  # of the mean of one the rare class has all


@pytest.mark.parametrize("name", ["inverse_frequency", "effective_number"])
def test_a_class_without_images_changes_no_other_weight(name):
    weights = {}
    for counts in ([6, 3, 1], [6, 0, 3, 1]):
        n = torch.tensor(counts)
        labels = torch.arange(len(n))
        batch = dataclasses.replace(
            make_batch(len(n)), y=labels, counts=n, prior=n / n.sum(), draw_prior=n / n.sum()
        )
        weights[len(n)] = registry.create_method(name).weights(batch)
    torch.testing.assert_close(weights[4][[0, 2, 3]], weights[3])
