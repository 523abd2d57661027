"""Weights in files: equal tensors have equal hashes."""

import torch

from ltbench.runs.weights import tensors_sha256


def test_equal_tensors_have_equal_hashes_whatever_the_order_of_their_names():
    one = {"a": torch.arange(4.0), "b": torch.tensor(1, dtype=torch.bfloat16)}
    same = {"b": one["b"].clone(), "a": torch.arange(8.0)[::2] / 2}
    assert tensors_sha256(one) == tensors_sha256(same)
    others = (
        {"a": one["a"].reshape(2, 2)},
        {"a": one["a"].double()},
        {"a": one["a"] + 1e-6},
        {"c": one["a"]},
    )
    assert len({tensors_sha256(o) for o in ({"a": one["a"]}, *others)}) == 5
