"""Samples in folders of image files."""

import os
import unicodedata
from types import SimpleNamespace

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


@pytest.mark.parametrize(
    ("classes", "folders"),
    [
        (["HER2+", "HER2-"], ["HER2+", "HER2-"]),
        (["HER2+", "HER2-"], ["her2+", "her2-"]),
        (["+", "-"], ["+", "-"]),
        (["-1", "0", "1"], ["-1", "0", "1"]),
        (["C", "C++"], ["C", "C++"]),
        (["1.5", "15"], ["1.5", "15"]),
        (["का", "की"], ["का", "की"]),
        (["Ärger", "Café"], [unicodedata.normalize("NFD", name) for name in ("Ärger", "Café")]),
        (["d\\xf6g", "cat"], [os.fsdecode(b"d\xf6g"), "cat"]),
        (["big cat", "dog"], ["Big_Cat", "DOG"]),
    ],
)
def test_folders_are_classes_by_their_exact_names_first(tmp_path, classes, folders):
    for k, name in enumerate(folders):
        (tmp_path / name).mkdir()
        Image.new("RGB", (8, 8), (k, k, k)).save(tmp_path / name / "0.png")
    cell = SimpleNamespace(**{**vars(CELL), "num_classes": len(classes), "class_names": tuple(classes)})
    found = read_samples(tmp_path, cell)
    assert found.images[:, 0, 0, 0].tolist() == found.labels.tolist() == list(range(len(classes)))
    assert "named by class" in found.recognised


def test_two_spellings_of_one_class_and_a_name_between_two_are_refused(tmp_path):
    for name in ("c++", "c", "C"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / name / "0.png")
    cell = SimpleNamespace(**{**vars(CELL), "num_classes": 2, "class_names": ("C", "C++")})
    with pytest.raises(UsageError, match="two folders of one class, C and c"):
        read_samples(tmp_path, cell)
    (tmp_path / "C").rename(tmp_path / "c #")
    with pytest.raises(UsageError, match="c # is no class"):
        read_samples(tmp_path, cell)
