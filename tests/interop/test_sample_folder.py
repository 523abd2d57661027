"""Samples in folders of image files."""

import numpy as np
import pytest
from PIL import Image
from sample_arrays import CELL, LABELS, pixels

from ltbench.errors import DataCorrupt, DataMissing, LtbenchError, UsageError
from ltbench.interop.samples import read_samples
from ltbench.specs import UNLABELLED


@pytest.mark.parametrize("names", [("0", "1", "2"), ("00", "01", "02"), ("airplane", "bird", "CAT")])
def test_a_folder_of_class_folders(tmp_path, names):
    for image, label in zip(pixels(), LABELS, strict=True):
        folder = tmp_path / "made" / names[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.transpose(1, 2, 0)).save(folder / f"{len(list(folder.iterdir()))}.png")
    found = read_samples(tmp_path / "made", CELL)
    order = np.argsort(LABELS, kind="stable")
    np.testing.assert_array_equal(found.images, pixels()[order])
    np.testing.assert_array_equal(found.labels, LABELS[order])


def test_a_folder_of_images_and_no_folder_is_a_set_without_labels(tmp_path):
    for i, image in enumerate(pixels()):
        Image.fromarray(image.transpose(1, 2, 0)).save(tmp_path / f"{i}.png")
    (tmp_path / "Thumbs.db").write_bytes(b"x")
    found = read_samples(tmp_path, CELL)
    np.testing.assert_array_equal(found.images, pixels())
    assert set(found.labels) == {UNLABELLED}
    assert "no labels" in found.recognised
    with pytest.raises(UsageError, match="leave --labels out"):
        read_samples(tmp_path, CELL, tmp_path / "0.png")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(DataCorrupt, match=r"notes\.txt"):
        read_samples(tmp_path, CELL)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("0/a.png", b"no image", "0/a.png is text, no image"),
        ("0/notes.txt", b"hello", "0/notes.txt is text, no image"),
        ("dog/a.png", None, "dog is no class of three: name its folders 0..2 or air plane, Bird, cat"),
        ("7/a.png", None, "7 is no class of three"),
    ],
)
def test_folders_that_are_refused(tmp_path, name, content, says):
    for k in range(3):
        (tmp_path / str(k)).mkdir()
        Image.fromarray(pixels()[k].transpose(1, 2, 0)).save(tmp_path / str(k) / "b.png")
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(content or b"")
    with pytest.raises(LtbenchError, match=says):
        read_samples(tmp_path, CELL)


def test_folders_of_other_sizes_or_without_images(tmp_path):
    with pytest.raises(DataMissing, match="has no class folders"):
        read_samples(tmp_path, CELL)
    for k in range(3):
        (tmp_path / str(k)).mkdir()
    with pytest.raises(DataCorrupt, match="no image of class 0"):
        read_samples(tmp_path, CELL)
    for k in range(3):
        Image.new("RGB", (9, 8)).save(tmp_path / str(k) / "b.png")
    with pytest.raises(DataCorrupt, match=r"b\.png is 9x8, but three's images are 8x8"):
        read_samples(tmp_path, CELL)
    with pytest.raises(UsageError, match="leave --labels out"):
        read_samples(tmp_path, CELL, tmp_path / "labels.npy")
