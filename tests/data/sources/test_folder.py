"""Folders of class folders as a data set: splits, held-out images, copies, lists."""

import csv
import re

import numpy as np
import pytest
from image_folders import prepared, write_counted_classes, write_named_classes, write_random

import ltbench.data.dataset as data
from ltbench.data.prepare.convert import convert
from ltbench.data.prepare.prepare import prepare
from ltbench.errors import DataCorrupt, DataMissing, UsageError
from ltbench.specs import DataSpec


def test_folder_of_class_folders(tmp_path):
    source = write_counted_classes(tmp_path / "birds", [12, 10, 15])
    made = prepare("folder_lt", source, tmp_path, image_size=16, workers=1)
    assert made.folder == tmp_path / "prepared" / "folder_lt-birds-16"
    spec = DataSpec(dataset="folder_lt", imbalance_ratio=0.5)
    cell = data.load_dataset(spec, tmp_path)
    assert cell.shape == (3, 16, 16)
    assert cell.class_names == ("a", "b", "c")
    assert not cell.heldout_in_reference
    # A fifth of the smallest class is held out of each, and as many are the reference.
    assert np.bincount(cell.heldout.labels).tolist() == [2, 2, 2]
    assert np.bincount(cell.reference.labels).tolist() == [2, 2, 2]
    assert cell.counts.tolist() == [6, 4, 3]
    every = data.load_dataset(DataSpec(dataset="folder_lt", profile="asis"), tmp_path)
    assert every.counts.tolist() == [8, 6, 11]
    assert every.head_to_tail == (2, 0, 1)
    assert isinstance(every.train.images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        every.train.images[0] = 0
    rows = list(csv.DictReader((made.folder / "source_list.csv").read_text().splitlines()))
    row = next(row for row in rows if row["set"] == "heldout")
    expected = convert((source / row["file"]).read_bytes(), "", 16, 3)
    assert np.array_equal(cell.heldout.images[0], expected)
    assert len({(row["set"], row["file"]) for row in rows}) == 37
    assert cell.manifest["source"]["prepared"] == made.hash


def test_folder_with_its_own_held_out_images(tmp_path):
    write_counted_classes(tmp_path / "src" / "train", [6, 3])
    write_counted_classes(tmp_path / "src" / "val", [2, 2], start=5000)
    write_counted_classes(tmp_path / "src" / "test", [1, 1], start=9000)
    prepare("folder_lt", tmp_path / "src", tmp_path, image_size=8, workers=1)
    cell = data.load_dataset(DataSpec(dataset="folder_lt", profile="asis"), tmp_path)
    assert cell.counts.tolist() == [6, 3]
    assert np.bincount(cell.reference.labels).tolist() == [3, 3]
    assert cell.reference.sha256 == cell.heldout.sha256


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda root: (root / "a").mkdir(), UsageError, "has 1 class folders: at least two"),
        (
            lambda root: write_counted_classes(root, [6, 1]),
            UsageError,
            "/b has one image, and without a val folder 3 are",
        ),
        (
            lambda root: (write_counted_classes(root, [6, 6]), (root / "c").mkdir()),
            DataMissing,
            "/c holds no image",
        ),
        (
            lambda root: (
                write_counted_classes(root / "train", [3, 3]),
                write_counted_classes(root / "val", [3]),
            ),
            UsageError,
            "class folder b in only one of train and val",
        ),
    ],
)
def test_a_folder_that_cannot_be_used(tmp_path, build, error, message):
    (tmp_path / "src").mkdir()
    build(tmp_path / "src")
    with pytest.raises(error, match=message):
        prepare("folder_lt", tmp_path / "src", tmp_path, workers=1)


def contents(images):
    return {image.tobytes() for image in images}


def test_no_image_is_in_two_parts_of_a_folder_without_val(tmp_path):
    source = write_named_classes(tmp_path / "src", ["cat", "dog"], n=20)
    for i in range(6):  # copies under other names, and under another class
        (source / "cat" / f"copy{i}.png").write_bytes((source / "cat" / f"{i}.png").read_bytes())
        (source / "dog" / f"cat{i}.png").write_bytes((source / "cat" / f"{i + 6}.png").read_bytes())
    made, dataset = prepared(tmp_path, source)
    parts = [contents(part.images) for part in (dataset.train, dataset.reference, dataset.heldout)]
    assert parts[0].isdisjoint(parts[1])
    assert parts[0].isdisjoint(parts[2])
    assert parts[1].isdisjoint(parts[2])
    assert not dataset.unscorable
    assert not dataset.heldout_in_reference
    assert (
        np.bincount(dataset.reference.labels).tolist()
        == [5, 5]
        == np.bincount(dataset.heldout.labels).tolist()
    )
    left = made.identity["facts"]["copies_left_out"]
    assert sum(map(len, (dataset.train, dataset.reference, dataset.heldout))) == 52 - left


def test_which_images_are_held_out_depends_on_their_content_alone(tmp_path):
    source = write_named_classes(tmp_path / "src", ["cat", "dog"], n=10)
    _, first = prepared(tmp_path, source)
    for i, file in enumerate(sorted(source.rglob("*.png"))):
        file.rename(file.with_name(f"z{(i * 7) % 20}.png"))
    _, second = prepared(tmp_path / "again", source)
    np.testing.assert_array_equal(first.heldout.images, second.heldout.images)


def test_training_images_in_val_are_left_out_and_told(tmp_path):
    write_named_classes(tmp_path / "src" / "train", ["cat", "dog"])
    write_named_classes(tmp_path / "src" / "val", ["cat", "dog"], n=8)  # the first six of each are train's
    made, dataset = prepared(tmp_path, tmp_path / "src")
    assert np.bincount(dataset.reference.labels).tolist() == [2, 2]
    assert any(re.match("12 held-out images are training images too", note) for note in made.notes)


@pytest.mark.parametrize("parts", [("",), ("train", "val")])
def test_images_that_are_in_two_classes_are_told(tmp_path, parts):
    """A class folder that was a link to another was told by "4 exact copies are left out" alone."""
    for n, part in zip((20, 26), parts, strict=False):
        source = write_named_classes(tmp_path / "src" / part, ["bird", "cat", "dog"], n=n)
        (source / "cat2").symlink_to(source / "cat")
        (source / "dog" / "z.png").write_bytes((source / "bird" / "0.png").read_bytes())
    made = prepare("folder_lt", tmp_path / "src", tmp_path / "data", image_size=16, workers=1)
    n = 20 if len(parts) == 1 else 26
    (told,) = (note for note in made.notes if "more than one class" in note)
    assert told == (
        f"{n + 1} images are in more than one class ({n} in cat and cat2, 1 in bird and dog): remove them from all "
        "but one, or leave a class out"
    )


def test_a_reference_of_nothing_but_copies_is_not_scored_against(tmp_path):
    from ltbench.data import ImageSet
    from ltbench.scoring.score import score_pools
    from ltbench.specs import ScoreSpec

    write_named_classes(tmp_path / "src" / "train", ["cat", "dog"])
    write_named_classes(tmp_path / "src" / "val", ["cat", "dog"])
    made, dataset = prepared(tmp_path, tmp_path / "src")
    assert any("scores against them are refused" in note for note in made.notes)
    generated = ImageSet(dataset.train.images, dataset.train.labels)
    with pytest.raises(UsageError, match="12 reference or held-out images .* copies of training images"):
        score_pools(dataset, generated, ScoreSpec(), tmp_path)


def test_a_class_too_small_to_be_split_says_what_to_do(tmp_path):
    source = write_named_classes(tmp_path / "src", ["cat", "dog"])
    for i in range(4):
        (source / "dog" / f"{i}.png").unlink()
    with pytest.raises(UsageError, match=r"src/dog has 2 images, .* 3 are needed.*folders train and val"):
        prepare("folder_lt", source, tmp_path / "data", workers=1)


def test_a_folder_by_one_list_or_by_lists_for_training_and_validation(tmp_path):
    lines = []
    for k, n in enumerate((12, 6)):
        for i in range(n):
            write_random(tmp_path / "images" / f"{k} {i}.jpg", 100 * k + i, 20)
            lines.append(f"{k} {i}.jpg {('wren', 'kite')[k]}\n")
    write_random(tmp_path / "images" / "unlisted.jpg", 7)
    (tmp_path / "all.txt").write_text("".join(lines))
    made = prepare(
        "folder_lt", tmp_path / "images", tmp_path, image_size=16, lists=tmp_path / "all.txt", workers=1
    )
    dataset = data.load_dataset(DataSpec(dataset="folder_lt", profile="asis", content=made.hash), tmp_path)
    assert dataset.class_names == ("kite", "wren")
    assert dataset.counts.tolist() == [4, 10]
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "my_train.txt").write_text("".join(lines[:10] + lines[12:16]))
    (tmp_path / "lists" / "my_val.txt").write_text("".join(lines[10:12] + lines[16:]))
    (tmp_path / "lists" / "._my_train.txt").write_bytes(b"\0junk")
    made = prepare(
        *("folder_lt", tmp_path / "images", tmp_path),
        image_size=16,
        lists=tmp_path / "lists",
        workers=1,
        own_name="two",
    )
    dataset = data.load_dataset(
        data.resolve_data(DataSpec(dataset="folder_lt:two", profile="asis"), tmp_path), tmp_path
    )
    assert dataset.counts.tolist() == [4, 10]
    assert np.bincount(dataset.reference.labels).tolist() == [2, 2]
    (tmp_path / "all.txt").write_text("".join([*lines, "gone.jpg wren\n", "lost.jpg wren\n"]))
    with pytest.raises(
        DataCorrupt, match=r"2 files cannot be used.*\n.*gone.jpg is missing\n.*lost.jpg is missing"
    ):
        prepare(
            "folder_lt", tmp_path / "images", tmp_path, lists=tmp_path / "all.txt", workers=1, own_name="x"
        )
    (tmp_path / "lists" / "my_val.txt").unlink()
    with pytest.raises(DataMissing, match="give one file with --list, or a folder with one list named train"):
        prepare("folder_lt", tmp_path / "images", tmp_path, lists=tmp_path / "lists", workers=1, own_name="x")
