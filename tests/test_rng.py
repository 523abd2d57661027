"""Random streams: named by (seed, purpose, index), seeded by all 64 bits, and frozen for ever."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ltbench import rng

names = st.tuples(st.integers(0, 2**70), st.sampled_from(["noise", "time", "order"]), st.integers(0, 2**40))


def test_golden_draws():
    """Were these to change, no stored run could be continued or reproduced."""
    assert rng.derive(0, "noise", 0) == 16739003063305603718
    stream = rng.generator(0, "noise", 7)
    assert torch.randn(4, generator=stream).tolist() == pytest.approx(
        [-0.435162, 1.572417, -0.874789, 0.76168], abs=1e-6
    )
    assert torch.randint(1000, (6,), generator=rng.generator(3, "time")).tolist() == [
        240,
        188,
        208,
        610,
        791,
        5,
    ]
    assert torch.randperm(8, generator=rng.generator(3, "order", 2)).tolist() == [0, 4, 1, 6, 5, 2, 7, 3]
    assert rng.numpy_generator(0, "floor").integers(0, 1000, 5).tolist() == [488, 272, 269, 209, 726]


@settings(max_examples=30)
@given(names)
def test_a_stream_is_its_name_alone(name):
    torch.manual_seed(1)
    first = torch.randn(5, generator=rng.generator(*name))
    torch.randn(100)
    again = rng.generator(*name)
    assert torch.equal(torch.randn(5, generator=again), first)
    assert not torch.equal(torch.randn(5, generator=again), first)
    ours, theirs = rng.numpy_generator(*name), rng.numpy_generator(*name)
    assert np.array_equal(ours.random(3), theirs.random(3))


@settings(max_examples=30)
@given(names, names)
def test_other_names_are_other_streams(one, other):
    if one != other:
        a, b = (torch.rand(8, generator=rng.generator(*name)) for name in (one, other))
        assert not torch.equal(a, b)
        assert rng.derive(*one) != rng.derive(*other)


@pytest.mark.parametrize("seed", [0, 5, 2**32 - 1])
def test_seeds_that_share_their_low_32_bits_differ(monkeypatch, seed):
    """torch's own CPU seeding keeps 32 bits, so these would be one stream."""
    plain = [torch.rand(8, generator=torch.Generator().manual_seed(s)) for s in (seed, seed + 2**32)]
    assert torch.equal(*plain)
    draws = []
    for derived in (seed, seed + 2**32):
        monkeypatch.setattr(rng, "derive", lambda *_, value=derived: value)
        draws.append(torch.rand(8, generator=rng.generator(0, "x")))
    assert not torch.equal(*draws)


def test_streams_are_uniform_normal_and_uncorrelated():
    """One draw of each of 4,000 streams: what images, noise and times rest on."""
    streams = [rng.generator(0, "sample", index) for index in range(4000)]
    uniform = torch.stack([torch.rand(2, generator=stream, dtype=torch.float64) for stream in streams])
    normal = torch.stack([torch.randn(2, generator=stream, dtype=torch.float64) for stream in streams])
    counts = np.bincount((uniform[:, 0] * 20).long().numpy(), minlength=20)
    assert ((counts - 200) ** 2 / 200).sum() < 43.8  # chi-square, 19 degrees of freedom, p = 0.001
    assert abs(normal.mean()) < 4 / 8000**0.5
    assert abs(normal.std() - 1) < 4 / 16_000**0.5
    for x in (uniform, normal):
        neighbours = np.corrcoef(x[:-1, 0], x[1:, 0])[0, 1]
        within = np.corrcoef(x[:, 0], x[:, 1])[0, 1]
        assert abs(neighbours) < 0.06
        assert abs(within) < 0.06


def test_reseeding_the_global_generator_fixes_dropout_and_nothing_else():
    stream = rng.generator(0, "noise")
    before = torch.rand(3, generator=rng.generator(0, "noise"))
    rng.reseed_global(4, "dropout/0/0", 9)
    first = torch.nn.functional.dropout(torch.ones(64))
    rng.reseed_global(4, "dropout/0/0", 9)
    assert torch.equal(torch.nn.functional.dropout(torch.ones(64)), first)
    rng.reseed_global(4, "dropout/0/0", 10)
    assert not torch.equal(torch.nn.functional.dropout(torch.ones(64)), first)
    assert torch.equal(torch.rand(3, generator=stream), before)
