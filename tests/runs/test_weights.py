"""Weights in files: equal tensors have equal hashes."""

import pytest
import torch

from ltbench.errors import CheckpointError
from ltbench.runs.weights import add_initial_weights, load_weights, save_weights, tensors_sha256


@pytest.mark.parametrize(("there", "asked"), [("raw", "ema"), ("ema", "raw")])
def test_of_weights_that_lack_one_kind_the_other_is_advised_and_not_to_delete_them(tmp_path, there, asked):
    """A checkpoint without averaged weights, imported: the message advised to delete what no training makes again."""
    kinds = {"ema": {}, "raw": {}} | {there: {"denoiser.unet.conv_in.bias": torch.ones(2)}}
    path = tmp_path / "step-00000001.safetensors"
    save_weights(path, kinds["ema"], kinds["raw"], "k", 1, lambda: None)
    assert list(load_weights(path, there)) == ["denoiser.unet.conv_in.bias"]
    with pytest.raises(CheckpointError, match=rf"hold no '{asked}' .* sample\.weights={there} ") as caught:
        load_weights(path, asked)
    assert "delete" not in str(caught.value)


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


@pytest.mark.parametrize(
    ("tensor", "says"),
    [
        (torch.tensor([1.0, float("nan")]), r"NaN or infinite numbers in denoiser\.w"),
        (torch.tensor([float("-inf")]), r"NaN or infinite numbers in denoiser\.w"),
        (torch.tensor([1, -7], dtype=torch.int8), r"int8 numbers in denoiser\.w: save it again"),
    ],
    ids=["nan", "infinite", "quantised"],
)
def test_a_training_starts_from_no_damaged_weights(tmp_path, tensor, says):
    """They were kept and hashed, and the loss that became NaN was told as a learning rate that is too high."""
    path = tmp_path / "weights.safetensors"
    save_weights(path, {"denoiser.w": tensor}, {}, "key", 1, lambda: None)
    with pytest.raises(CheckpointError, match=says):
        add_initial_weights(tmp_path / "runs", path)
    assert not (tmp_path / "runs").exists()
