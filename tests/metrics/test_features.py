"""Rows split by class."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ltbench.metrics.features import by_class


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
