"""Training of the shipped networks: shifts, the command, reproduced weights."""

import json

import pytest
import torch
from extractor_images import noise
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ltbench.errors import DataMissing
from ltbench.extractors import cnn, train
from ltbench.extractors.registry import get_extractor
from ltbench.extractors.weights import file_hash


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2), st.integers(0, 2**31))
def test_shift_moves_whole_pixels_and_fills_with_black(limit, seed):
    images = torch.from_numpy(noise(6, 8, seed=seed)).clamp(min=1)
    out = train.shifted(images, limit, torch.Generator().manual_seed(seed))
    for before, after in zip(images[:, 0], out[:, 0], strict=True):
        padded = nn.functional.pad(before, (limit,) * 4)
        crops = [padded[i : i + 8, j : j + 8] for i in range(2 * limit + 1) for j in range(2 * limit + 1)]
        assert sum(torch.equal(after, crop) for crop in crops) == 1


def test_training_command_is_reproducible_and_its_weights_load(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(train.RECIPES, "digits_cnn", train.Recipe(2, 64, 3e-3, 0.5, shift=1, resized=0.0))
    for folder, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        assert train.main(["digits_cnn", "--seed", seed, "--out", str(tmp_path / folder)]) == 0
    assert "held-out accuracy" in capsys.readouterr().out
    hashes = [file_hash(tmp_path / folder / "digits_cnn.safetensors") for folder in "abc"]
    assert hashes[0] == hashes[1] != hashes[2]
    record = json.loads((tmp_path / "a" / "digits_cnn.json").read_text())
    extractor = get_extractor("digits_cnn", weights=tmp_path / "a" / "digits_cnn.safetensors")
    assert extractor.hash == record["hash"] != get_extractor("digits_cnn").hash
    assert 0.2 < record["heldout_accuracy"]["8"] < 0.97


def test_training_command_tells_missing_data_in_one_sentence(tmp_path, monkeypatch, capsys):
    def missing(*_):
        raise DataMissing("put the files there")

    monkeypatch.setattr(train, "load_dataset", missing)
    assert train.main(["fashion_mnist_cnn", "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "error: put the files there\n"


@pytest.mark.slow
def test_shipped_digits_weights_come_from_their_command(tmp_path):
    record = train.train("digits_cnn", 0, tmp_path)
    shipped = json.loads(cnn.shipped_files("digits_cnn")[1].read_text())
    assert record["heldout_accuracy"]["8"] == pytest.approx(shipped["heldout_accuracy"]["8"], abs=0.01)
