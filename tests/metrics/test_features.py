"""Features that metrics are given: split by class, and refused in one sentence."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from metric_sets import normal

from ltbench.errors import UsageError
from ltbench.metrics.features import by_class
from ltbench.metrics.kernel import kernel_distance
from ltbench.metrics.manifold import precision_recall


@given(st.lists(st.integers(0, 4), max_size=40))
def test_by_class_is_masking(labels):
    y, x = np.array(labels, np.int64), np.arange(len(labels))
    pieces = by_class(x, y)
    assert list(pieces) == sorted(set(labels))
    for c, rows in pieces.items():
        assert rows.tolist() == x[y == c].tolist()
    assert {c: rows.tolist() for c, rows in by_class(torch.tensor(x), y).items()} == {
        c: rows.tolist() for c, rows in pieces.items()
    }


def test_unequal_widths_are_both_stated():
    for metric in (precision_recall, kernel_distance):
        with pytest.raises(UsageError, match="reference features have 8 dimensions and generated ones 5;"):
            metric(normal(0, 60, 8), normal(1, 40, 5))


def test_a_reversed_view_of_one_column_is_read():
    column = normal(8, 8, 1)
    assert column[:, ::-1].strides[1] < 0
    assert kernel_distance(column[:, ::-1], column) == kernel_distance(column, column)
