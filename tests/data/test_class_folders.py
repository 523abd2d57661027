"""Folders of class folders: order of labels, junk, layouts; `data prepare` and `score` agree."""

import csv
import gzip
import os

import numpy as np
import pytest
from image_folders import prepared, write_named_classes, write_noisy
from PIL import Image

from ltbench.data.class_folders import Scan, class_names, label_order, no_folder
from ltbench.data.prepare.prepare import prepare
from ltbench.data.prepare.verify import verify
from ltbench.errors import DataCorrupt, DataMissing, LtbenchError, UsageError
from ltbench.interop.samples import read_samples


@pytest.mark.parametrize(
    ("names", "ordered"),
    [
        (["0", "1", "10", "11", "2"], ["0", "1", "2", "10", "11"]),
        (["001", "010", "002"], ["001", "002", "010"]),
        (["1", "01", "2"], ["01", "1", "2"]),  # two folders of one number: as text
        (["b", "a", "10", "9"], ["10", "9", "a", "b"]),
        (["²", "1"], ["1", "²"]),
    ],
)
def test_label_order(names, ordered):
    assert list(label_order(names)) == ordered


@pytest.mark.parametrize("first", [0, 1])
def test_numbered_folders_have_one_label_in_every_command(tmp_path, first):
    """Twelve classes were permuted: prepare sorted 0, 1, 10, 11, 2, score read folder 2 as label 2."""
    names = [str(k + first) for k in range(12)]
    _, dataset = prepared(tmp_path, write_named_classes(tmp_path / "real", names))
    assert dataset.class_names == tuple(names)
    samples = read_samples(write_named_classes(tmp_path / "made", names, n=2), dataset)
    for images, labels in ((dataset.train.images, dataset.train.labels), (samples.images, samples.labels)):
        brightness = [images[labels == k].mean() for k in range(12)]
        assert np.abs(np.array(brightness) - (20 * np.arange(12) + 5.5)).max() < 1
    if first:  # the same images in folders named by label
        by_label = read_samples(
            write_named_classes(tmp_path / "by_label", [str(k) for k in range(12)], n=2), dataset
        )
        np.testing.assert_array_equal(by_label.images, samples.images)
        assert "named by label" in by_label.recognised
        assert "named by class" in samples.recognised


@pytest.mark.parametrize(
    ("train", "others"),
    [
        ("train", ["val"]),
        ("Train", ["Test"]),
        ("TRAINING", ["Validation", "TESTING"]),
        ("train_images", ["val_images"]),
        ("train2017", ["val2017"]),
        ("Training Set", ["Held-Out"]),
    ],
)
def test_parts_of_a_set_are_known_by_all_their_usual_names(tmp_path, train, others):
    for j, part in enumerate((train, *others)):
        for k, name in enumerate(("cat", "dog", "emu")):
            for i in range(4):
                write_noisy(tmp_path / "src" / part / name / f"{i}.png", 40 * k, 100 * j + 10 * k + i)
    made, dataset = prepared(tmp_path, tmp_path / "src")
    assert dataset.class_names == ("cat", "dog", "emu")
    assert dataset.counts.tolist() == [4, 4, 4]
    assert len(dataset.reference) == 12 * len(others)
    assert f"training images from {train}" in made.notes[0]


def test_classes_that_are_named_like_parts_are_classes_where_they_hold_images(tmp_path):
    _, dataset = prepared(tmp_path, write_named_classes(tmp_path / "src", ["valid", "invalid"]))
    assert dataset.class_names == ("invalid", "valid")


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (
            ["fold1/cat/0.png", "fold1/dog/0.png", "fold2/cat/0.png", "fold2/dog/0.png"],
            "fold1.*may be parts of a set",
        ),
        (
            ["cat/train/0.png", "cat/val/0.png", "dog/train/0.png", "dog/val/0.png"],
            r"same names \(train, val\)",
        ),
        (["images/cat/0.png", "images/dog/0.png"], "holds the one folder images: give .*src/images"),
        (["train/cat/0.png", "train/dog/0.png"], "holds the one folder train: give .*src/train"),
        (["val/cat/0.png", "test/cat/0.png"], "has the folders test, val: give one folder"),
        (["train/cat/0.png", "test/cat/0.png", "extra/cat/0.png"], "has the folders extra, test, train"),
        (["0.png", "1.png"], r"no class folders but 2 files"),
        (["only/0.png", "1.png"], "has 1 class folders"),
    ],
)
def test_a_layout_that_is_not_sure_is_refused(tmp_path, files, says):
    for i, file in enumerate(files):
        write_noisy(tmp_path / "src" / file, seed=i)
    with pytest.raises(LtbenchError, match=says):
        prepare("folder_lt", tmp_path / "src", tmp_path / "data", workers=1)


def test_sub_folders_of_one_class_belong_to_it(tmp_path):
    source = write_named_classes(tmp_path / "src", ["cat", "dog"])
    write_noisy(source / "cat" / "young" / "0.png", seed=77)
    _, dataset = prepared(tmp_path, source)
    assert dataset.counts.tolist() == [5, 4]
    samples = read_samples(source, dataset)
    assert np.bincount(samples.labels).tolist() == [7, 6]


JUNK = ("Thumbs.db", "desktop.ini", ".DS_Store", "._0.png", "ehthumbs.db", "Desktop.ini")


def test_junk_is_skipped_and_counted_and_everything_else_is_told_at_once(tmp_path):
    source = write_named_classes(tmp_path / "src", ["cat", "dog"])
    for name in JUNK:
        (source / "cat" / name).write_bytes(b"junk")
    for name in ("__MACOSX", "@eaDir", ".ipynb_checkpoints", "lost+found"):
        (source / name).mkdir()
        (source / name / "x.png").write_bytes(b"junk")
    made, dataset = prepared(tmp_path, source)
    assert dataset.class_names == ("cat", "dog")
    assert "10 hidden or operating systems' files are skipped" in made.notes
    assert len(read_samples(source, dataset).labels) == 12
    (source / "cat" / "notes.txt").write_bytes(b"no image")
    (source / "dog" / "half.png").write_bytes((source / "dog" / "0.png").read_bytes()[:90])
    (source / "dog" / "gone.png").symlink_to("nowhere")
    (source / "dog" / "empty.png").touch()
    os.mkfifo(source / "cat" / "pipe.png")
    Image.new("I;16", (16, 16)).save(source / "cat" / "deep.png")
    for use in (
        lambda: prepare("folder_lt", source, tmp_path / "other", workers=1),
        lambda: read_samples(source, dataset),
    ):
        with pytest.raises(DataCorrupt) as caught:
            use()
        said = str(caught.value)
        assert said.startswith("6 files cannot be used: mend or remove them\n")
        for name in ("notes.txt", "half.png", "gone.png", "empty.png", "pipe.png", "deep.png"):
            assert name in said
        assert "0.png" not in said


def test_files_beside_the_class_folders_are_counted_by_every_command(tmp_path):
    source = write_named_classes(tmp_path / "src", ["cat", "dog"])
    for i in range(3):
        write_noisy(source / f"{i}.png", seed=i)
    made, dataset = prepared(tmp_path, source)
    assert "3 files beside the class folders are not used" in made.notes
    samples = read_samples(source, dataset)
    assert len(samples.labels) == 12
    assert "3 files beside the class folders are not used" in samples.recognised


def test_a_list_of_labels_beside_the_class_folders_leaves_a_part_of_a_set_one(tmp_path):
    for part in ("train", "val"):
        write_named_classes(tmp_path / "src" / part, ["cat", "dog"])
        (tmp_path / "src" / part / "labels.csv").write_text("0.png,cat\n")
    (tmp_path / "src" / "README.txt").write_text("read me")
    made, dataset = prepared(tmp_path, tmp_path / "src")
    assert dataset.class_names == ("cat", "dog")
    assert "3 files beside the class folders are not used" in made.notes


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz", "A.ZIP", "a.7z"])
def test_an_archive_is_to_be_unpacked(tmp_path, name):
    _, dataset = prepared(tmp_path, write_named_classes(tmp_path / "src", ["cat", "dog"]))
    (tmp_path / name).write_bytes(b"PK\3\4")
    for use in (
        lambda: prepare("folder_lt", tmp_path / name, tmp_path / "other", workers=1),
        lambda: read_samples(tmp_path / name, dataset),
    ):
        with pytest.raises(UsageError, match="is an archive: unpack it"):
            use()


def test_names_that_are_no_utf8_and_names_with_spaces_are_read(tmp_path):
    source = write_named_classes(tmp_path / "src", ["big cat", "dog"])
    (source / "dog" / "3.png").rename(source / "dog" / os.fsdecode(b"caf\xe9.png"))
    (source / "dog").rename(source / os.fsdecode(b"d\xf6g"))
    made, dataset = prepared(tmp_path, source)
    assert dataset.class_names == ("big cat", "d\\xf6g")
    rows = list(csv.DictReader((made.folder / "source_list.csv").read_text(encoding="utf-8").splitlines()))
    assert any("caf\\xe9" in row["file"] for row in rows)
    verify("folder_lt", tmp_path / "data")


def test_a_link_from_a_class_to_what_holds_it_is_refused(tmp_path):
    """The other classes' images lie below it, and would be of this class too."""
    source = write_named_classes(tmp_path / "real", ["cat", "dog"])
    (source / "cat" / "up").symlink_to("..")
    with pytest.raises(DataCorrupt, match="cat/up is a link to a folder that holds this class and others"):
        prepared(tmp_path, source)


def test_links_to_folders_are_followed_once(tmp_path):
    source = write_named_classes(tmp_path / "src", ["cat", "dog"])
    (source / "cat" / "loop").symlink_to(source / "cat")
    _made, dataset = prepared(tmp_path, source)
    assert dataset.counts.tolist() == [4, 4]


def test_an_unreadable_folder_is_one_sentence(tmp_path, monkeypatch):
    source = write_named_classes(tmp_path / "src", ["cat", "dog"])
    real = os.scandir

    def refusing(path):
        if str(path).endswith("dog"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", refusing)  # root may read everything
    with pytest.raises(DataCorrupt, match=r"src/dog cannot be read \(Permission denied\): mend or remove it"):
        prepare("folder_lt", source, tmp_path / "data", workers=1)


def test_a_folder_of_system_files_is_given_up(tmp_path):
    for k in range(2):
        (tmp_path / "src" / str(k)).mkdir(parents=True)
        for i in range(600):
            (tmp_path / "src" / str(k) / f"{i}.png").touch()
    with pytest.raises(
        DataCorrupt, match="more than 1,000 files cannot be used, the first: .*0.png is empty"
    ):
        prepare("folder_lt", tmp_path / "src", tmp_path / "data", workers=1)


def test_a_folder_of_archives_says_so(tmp_path):
    for name in ("cat.zip", "dog.ZIP"):
        (tmp_path / name).write_bytes(b"PK\x05\x06" + bytes(18))
    with pytest.raises(
        DataMissing, match=r"no class folders but archives \(cat\.zip, dog\.ZIP\): unpack each"
    ):
        class_names(tmp_path, Scan())


def test_what_is_no_folder_is_named_by_its_content(tmp_path):
    (tmp_path / "images").write_bytes(gzip.compress(b"x"))
    assert no_folder(tmp_path / "images").endswith(
        "is an archive: unpack it, and give the folder of class folders"
    )
    (tmp_path / "images").write_bytes(b"a,b\n")
    assert no_folder(tmp_path / "images").endswith("is text and no folder: give a folder of class folders")
    assert no_folder(tmp_path / "gone").endswith("gone is no folder: give a folder of class folders")


def test_a_link_to_itself_is_named_and_hides_nothing_else(tmp_path):
    """The class folder was said to be unreadable, to be removed, and its other files were not looked at."""
    source = write_named_classes(tmp_path / "src", ["cat", "dog"])
    (source / "cat" / "loop").symlink_to("loop")
    (source / "cat" / "notes.txt").write_bytes(b"no image")
    with pytest.raises(DataCorrupt) as caught:
        prepare("folder_lt", source, tmp_path / "data", workers=1)
    assert "src/cat/loop cannot be read (Too many levels of symbolic links)" in str(caught.value)
    assert "src/cat/notes.txt is text" in str(caught.value)
    assert "src/cat cannot be read" not in str(caught.value)


def test_a_link_that_is_not_followed_again_is_no_hidden_file(tmp_path):
    source = write_named_classes(tmp_path / "src", ["cat", "dog"])
    (source / "cat" / "more").mkdir()
    (source / "cat" / "again").symlink_to("more")
    (source / "cat" / ".DS_Store").touch()
    made, dataset = prepared(tmp_path, source)
    for told in (made.notes, read_samples(source, dataset).recognised):
        assert "1 hidden or operating systems' files are skipped" in told
        assert "1 links to folders already seen are not followed again" in told
