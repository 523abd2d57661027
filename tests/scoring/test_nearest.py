"""The samples nearest to training images, and the classifier's confusion."""

import dataclasses

import numpy as np
import pytest
from scored_digits import CELL

from ltbench.data.images import ImageSet
from ltbench.scoring.nearest import write_nearest_and_confusion


def test_the_five_samples_of_a_class_that_lie_nearest_to_training_images_are_kept(cache, noisy, tmp_path):
    write_nearest_and_confusion(tmp_path, CELL, *noisy, cache, "cpu", lambda: None, ("digits_cnn",))
    with np.load(tmp_path / "nearest.npz") as kept:
        assert kept["labels"].tolist() == [0] * 5 + [1] * 5 + [2] * 5
        assert all(len(kept[name]) == 15 for name in ("generated", "training", "distance"))
        assert (np.diff(kept["distance"].reshape(3, 5)) >= 0).all()


def twice(images):
    """Return images of twice as many pixels a side."""
    return images.repeat(2, axis=2).repeat(2, axis=3)


@pytest.fixture
def without_weights(tmp_path, monkeypatch):
    """Inception's file is nowhere."""
    monkeypatch.setenv("LTBENCH_WEIGHTS", str(tmp_path / "none"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))


@pytest.mark.usefixtures("without_weights")
def test_an_extractor_without_weights_or_for_other_images_leaves_it_to_the_next(cache, noisy, tmp_path):
    """Digits drawn at 16 pixels: Inception's weights are missing, the digits' network takes 8, the third takes both."""
    sets = {name: getattr(CELL, name) for name in ("train", "heldout")}
    cell = dataclasses.replace(CELL, **{k: ImageSet(twice(v.images), v.labels) for k, v in sets.items()})
    written = []
    for number, names in enumerate(
        (("fashion_mnist_cnn",), ("inception", "digits_cnn", "fashion_mnist_cnn"))
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        write_nearest_and_confusion(folder, cell, twice(noisy[0]), noisy[1], cache, "cpu", None, names)
        written.append((folder / "nearest.npz").read_bytes())
    assert written[0] == written[1]


@pytest.mark.usefixtures("without_weights")
def test_without_any_extractor_neither_file_is_kept_and_that_is_told(cache, noisy, tmp_path, caplog):
    folder = tmp_path / "samples"
    folder.mkdir()
    write_nearest_and_confusion(folder, CELL, *noisy, cache, "cpu", None, ("inception",))
    assert list(folder.iterdir()) == []
    assert "no confusion, are kept: inception needs" in caplog.text
