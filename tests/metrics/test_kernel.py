"""The kernel distance: laws, its expectation, and the estimate over subsets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from metric_sets import few, normal, seeds

from ltbench.metrics.kernel import KernelMean, kernel_distance, kernel_distance_subsets
from ltbench.rng import numpy_generator


@few
@given(seeds, st.integers(2, 30), st.integers(2, 30))
def test_kernel_laws(seed, n, m):
    x, y = normal(seed, n, 4), normal(seed + 1, m, 4)
    value = kernel_distance(x, y)
    assert kernel_distance(y, x) == pytest.approx(value, rel=1e-9, abs=1e-9)
    assert kernel_distance(KernelMean.of(x), y, memory=1) == pytest.approx(value, rel=1e-9, abs=1e-9)


def test_kernel_distance_is_unbiased():
    values = [kernel_distance(normal(2 * i, 6, 4), normal(2 * i + 1, 9, 4)) for i in range(1000)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))


def test_kernel_subsets_of_everything_are_the_full_estimate():
    x, y = normal(0, 30), normal(1, 30, shift=1)
    got = kernel_distance_subsets(x, y, subsets=3, size=30)
    assert got["mean"] == pytest.approx(kernel_distance(x, y))
    assert got["std"] == pytest.approx(0, abs=1e-12)
    got = kernel_distance_subsets(x, y, subsets=20, size=10, seed=1)
    assert got == kernel_distance_subsets(x, y, subsets=20, size=10, seed=1)
    assert got != kernel_distance_subsets(x, y, subsets=20, size=10, seed=2)
    assert got["std"] > 0


def test_kernel_subsets_spread_is_the_population_standard_deviation():
    """Of two values the population standard deviation is half their difference, the sample's .71 of it."""
    x, y = normal(0, 12), normal(1, 12, shift=0.5)
    found = kernel_distance_subsets(x, y, subsets=2, size=4)
    values = []
    for i in range(2):
        rng = numpy_generator(0, "kernel distance subset", i)
        a, b = (rng.choice(12, 4, replace=False) for _ in range(2))
        values.append(kernel_distance(x[a], y[b]))
    assert found["mean"] == pytest.approx(np.mean(values))
    assert found["std"] == pytest.approx(abs(values[0] - values[1]) / 2)
    assert found["std"] > 0
