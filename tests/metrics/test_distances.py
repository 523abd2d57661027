"""Tiled distances: the dense matrix, what float32 cannot order, and memory."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_sets import normal

from ltbench.metrics.distances import middle, neighbours, tile_rows, tiles


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 999), st.integers(4, 20), st.integers(4, 20), st.sampled_from([1, 2**12, 2**20]))
def test_neighbours_are_the_dense_matrix_sorted(seed, n, m, memory):
    x, y = torch.tensor(normal(seed, n, 3)), torch.tensor(normal(seed + 1, m, 3))
    dense = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
    squared, index = neighbours(x, y, 3, memory)
    torch.testing.assert_close(squared.sqrt(), dense.sort(dim=1).values[:, :3])
    torch.testing.assert_close(dense.gather(1, index), squared.sqrt())
    own = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist").fill_diagonal_(torch.inf)
    squared, index = neighbours(x, None, 3, memory)
    torch.testing.assert_close(squared.sqrt(), own.sort(dim=1).values[:, :3])
    torch.testing.assert_close(own.gather(1, index), squared.sqrt())


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 9999),
    st.integers(2, 16),
    st.integers(1, 3),
    st.integers(1, 4),
    st.sampled_from([1, 2**11, 2**22]),
    st.sampled_from([0.0, 1000.0]),
)
def test_of_equally_near_points_those_of_the_lowest_rows_are_taken(seed, m, d, k, memory, offset):
    """Points on a small grid tie often; the dense matrix sorted stably says which come first."""
    rng = np.random.default_rng(seed)
    x, y = (torch.tensor(rng.integers(0, 3, (n, d)) + offset) for n in (m, m + 3))
    for others in (y, None):
        points = x if others is None else others
        dense = (x[:, None] - points[None]).square().sum(dim=2)
        if others is None:
            dense.fill_diagonal_(torch.inf)
        near = min(k, m - 1)
        expected = dense.sort(dim=1, stable=True)
        squared, index = neighbours(x, others, near, memory)
        assert torch.equal(index, expected.indices[:, :near])
        assert torch.equal(squared, expected.values[:, :near])


@pytest.mark.parametrize("n", [1, 2, 5, 300, 100_000])
def test_a_centre_is_amid_the_rows_and_outliers_do_not_move_it(n):
    x = torch.tensor(normal(0, n, 2)).double()
    far = x.clone()
    far[n // 3] = 1e9 if n > 2 else x[n // 3]
    for rows in (x, far):
        centre = middle(rows)
        assert centre.dtype == torch.float64
        assert centre.shape == (2,)
        assert bool((centre.abs() <= x.abs().amax(dim=0)).all())
        assert n < 300 or bool((centre.abs() < 0.3).all())
    assert middle(torch.zeros(30, 300_000)).shape == (300_000,)


@pytest.mark.parametrize(("n", "d", "far"), [(300, 1, 3e4), (1000, 2, 1e5), (60, 20, 1e9), (60, 20, 1e12)])
@pytest.mark.parametrize("memory", [2**16, 2**24])
def test_an_outlier_changes_no_other_points_neighbours(n, d, far, memory):
    """Its products are the least exact of all: what they cannot tell apart is not in doubt of the others."""
    x = torch.tensor(normal(0, n, d)).double()
    x[0] = far
    dense = (x[:, None] - x).square().sum(dim=2).fill_diagonal_(torch.inf)
    squared, index = neighbours(x, None, 3, memory)
    torch.testing.assert_close(squared, dense.sort(dim=1).values[:, :3], rtol=1e-9, atol=1e-8)
    assert torch.equal(squared, dense.gather(1, index))


def test_neighbours_that_float32_could_not_order():
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(2000, 6))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    lengths = np.concatenate([1 + 1e-10 * rng.permutation(200), rng.uniform(2, 9, 1800)])
    order = rng.permutation(2000)
    points = (directions * lengths[:, None])[order]
    _, index = neighbours(torch.zeros(1, 6, dtype=torch.float64), torch.tensor(points), 5, memory=2**17)
    assert index[0].tolist() == np.argsort(lengths[order])[:5].tolist()


@pytest.mark.parametrize("d", [8, 2048])
def test_tiles_keep_to_their_memory(d):
    memory = 2**22
    side = tile_rows(d, memory)
    assert 8 * (2 * side * d + 4 * side**2) <= memory < 8 * (4 * side * d + 16 * side**2)
    x = torch.zeros(side + 3, d)
    shapes = [tile.shape for *_, tile, _ in tiles(x, x, torch.zeros(d), memory)]
    assert shapes == [(side, side), (side, 3), (3, side), (3, 3)]


def test_the_side_of_a_tile_by_hand():
    # side 4, d = 10: two (4, 10) and four (4, 4) arrays of 8 bytes are 8 (80 + 64) = 1152 bytes
    assert [tile_rows(10, memory) for memory in (1152, 1151)] == [4, 2]
