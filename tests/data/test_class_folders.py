"""Folders of class folders: order of labels, junk, layouts; `data prepare` and `score` agree."""

import csv
import os
import re

import numpy as np
import pytest
from PIL import Image

import ltbench.data.dataset as data
from ltbench.data.class_folders import label_order
from ltbench.data.prepare.prepare import prepare
from ltbench.data.prepare.verify import verify
from ltbench.errors import DataCorrupt, DataMissing, LtbenchError, UsageError
from ltbench.interop.samples import read_samples
from ltbench.specs import DataSpec


def write(path, value=0, seed=None, size=16):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed if seed is not None else abs(hash(str(path))) % 2**32)
    pixels = np.clip(value + noise.integers(0, 12, (size, size, 3)), 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(path)


def write_classes(root, names, n=6, size=16):
    for k, name in enumerate(names):
        for i in range(n):
            write(root / name / f"{i}.png", 20 * k, 1000 * k + i, size)
    return root


def prepared(tmp_path, source, **options):
    made = prepare("folder_lt", source, tmp_path / "data", image_size=16, workers=1, **options)
    spec = DataSpec(dataset="folder_lt", profile="asis", content=made.hash, image_size=16)
    return made, data.load_dataset(spec, tmp_path / "data")


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
    _, dataset = prepared(tmp_path, write_classes(tmp_path / "real", names))
    assert dataset.class_names == tuple(names)
    samples = read_samples(write_classes(tmp_path / "made", names, n=2), dataset)
    for images, labels in ((dataset.train.images, dataset.train.labels), (samples.images, samples.labels)):
        brightness = [images[labels == k].mean() for k in range(12)]
        assert np.abs(np.array(brightness) - (20 * np.arange(12) + 5.5)).max() < 1
    if first:  # the same images in folders named by label
        by_label = read_samples(
            write_classes(tmp_path / "by_label", [str(k) for k in range(12)], n=2), dataset
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
                write(tmp_path / "src" / part / name / f"{i}.png", 40 * k, 100 * j + 10 * k + i)
    made, dataset = prepared(tmp_path, tmp_path / "src")
    assert dataset.class_names == ("cat", "dog", "emu")
    assert dataset.counts.tolist() == [4, 4, 4]
    assert len(dataset.reference) == 12 * len(others)
    assert f"training images from {train}" in made.notes[0]


def test_classes_that_are_named_like_parts_are_classes_where_they_hold_images(tmp_path):
    _, dataset = prepared(tmp_path, write_classes(tmp_path / "src", ["valid", "invalid"]))
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
        write(tmp_path / "src" / file, seed=i)
    with pytest.raises(LtbenchError, match=says):
        prepare("folder_lt", tmp_path / "src", tmp_path / "data", workers=1)


def test_sub_folders_of_one_class_belong_to_it(tmp_path):
    source = write_classes(tmp_path / "src", ["cat", "dog"])
    write(source / "cat" / "young" / "0.png", seed=77)
    _, dataset = prepared(tmp_path, source)
    assert dataset.counts.tolist() == [5, 4]
    samples = read_samples(source, dataset)
    assert np.bincount(samples.labels).tolist() == [7, 6]


JUNK = ("Thumbs.db", "desktop.ini", ".DS_Store", "._0.png", "ehthumbs.db", "Desktop.ini")


def test_junk_is_skipped_and_counted_and_everything_else_is_told_at_once(tmp_path):
    source = write_classes(tmp_path / "src", ["cat", "dog"])
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
    source = write_classes(tmp_path / "src", ["cat", "dog"])
    for i in range(3):
        write(source / f"{i}.png", seed=i)
    made, dataset = prepared(tmp_path, source)
    assert "3 files beside the class folders are not used" in made.notes
    samples = read_samples(source, dataset)
    assert len(samples.labels) == 12
    assert "3 files beside the class folders are not used" in samples.recognised


def test_a_list_of_labels_beside_the_class_folders_leaves_a_part_of_a_set_one(tmp_path):
    for part in ("train", "val"):
        write_classes(tmp_path / "src" / part, ["cat", "dog"])
        (tmp_path / "src" / part / "labels.csv").write_text("0.png,cat\n")
    (tmp_path / "src" / "README.txt").write_text("read me")
    made, dataset = prepared(tmp_path, tmp_path / "src")
    assert dataset.class_names == ("cat", "dog")
    assert "3 files beside the class folders are not used" in made.notes


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz", "A.ZIP", "a.7z"])
def test_an_archive_is_to_be_unpacked(tmp_path, name):
    _, dataset = prepared(tmp_path, write_classes(tmp_path / "src", ["cat", "dog"]))
    (tmp_path / name).write_bytes(b"PK\3\4")
    for use in (
        lambda: prepare("folder_lt", tmp_path / name, tmp_path / "other", workers=1),
        lambda: read_samples(tmp_path / name, dataset),
    ):
        with pytest.raises(UsageError, match="is an archive: unpack it"):
            use()


def test_names_that_are_no_utf8_and_names_with_spaces_are_read(tmp_path):
    source = write_classes(tmp_path / "src", ["big cat", "dog"])
    (source / "dog" / "3.png").rename(source / "dog" / os.fsdecode(b"caf\xe9.png"))
    (source / "dog").rename(source / os.fsdecode(b"d\xf6g"))
    made, dataset = prepared(tmp_path, source)
    assert dataset.class_names == ("big cat", "d\\xf6g")
    rows = list(csv.DictReader((made.folder / "source_list.csv").read_text(encoding="utf-8").splitlines()))
    assert any("caf\\xe9" in row["file"] for row in rows)
    verify("folder_lt", tmp_path / "data")


def test_a_link_from_a_class_to_what_holds_it_is_refused(tmp_path):
    """The other classes' images lie below it, and would be of this class too."""
    source = write_classes(tmp_path / "real", ["cat", "dog"])
    (source / "cat" / "up").symlink_to("..")
    with pytest.raises(DataCorrupt, match="cat/up is a link to a folder that holds this class and others"):
        prepared(tmp_path, source)


def test_links_to_folders_are_followed_once(tmp_path):
    source = write_classes(tmp_path / "src", ["cat", "dog"])
    (source / "cat" / "loop").symlink_to(source / "cat")
    _made, dataset = prepared(tmp_path, source)
    assert dataset.counts.tolist() == [4, 4]


def test_an_unreadable_folder_is_one_sentence(tmp_path, monkeypatch):
    source = write_classes(tmp_path / "src", ["cat", "dog"])
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


# -- identity by content ----------------------------------------------------------------------------


def test_a_second_folder_of_equal_names_and_sizes_is_another(tmp_path):
    for where, value in (("a", 20), ("b", 120)):
        for k, name in enumerate(("cat", "dog")):
            for i in range(5):
                pixels = np.full((16, 16, 3), value + 40 * k + i, np.uint8)
                path = tmp_path / where / "images" / name / f"{i}.bmp"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path)
    first, one = prepared(tmp_path, tmp_path / "a" / "images")
    second, other = prepared(tmp_path, tmp_path / "b" / "images")
    assert first.folder != second.folder
    assert first.hash != second.hash
    assert other.train.images.min() >= 120
    assert one.train.images.max() < 65
    assert (
        prepare("folder_lt", tmp_path / "b" / "images", tmp_path / "data", image_size=16, workers=1).hash
        == second.hash
    )
    for name in (first.name, second.name):
        spec = data.resolve_data(DataSpec(dataset=f"folder_lt:{name}"), tmp_path / "data")
        assert spec.content in (first.hash, second.hash)
        assert spec.dataset == "folder_lt"
    with pytest.raises(DataMissing, match="nothing prepared as 'imagse' .*did you mean 'images'"):
        data.resolve_data(DataSpec(dataset="folder_lt:imagse"), tmp_path / "data")
    with pytest.raises(UsageError, match="digits_lt has no folders of its own names"):
        data.resolve_data(DataSpec(dataset="digits_lt:x"), tmp_path / "data")


def test_an_image_mended_in_place_is_noticed(tmp_path):
    source = write_classes(tmp_path / "src", ["cat", "dog"])
    for file in source.rglob("*.png"):  # bitmaps of one size have files of one size
        Image.open(file).save(file.with_suffix(".bmp"))
        file.unlink()
    made, _ = prepared(tmp_path, source)
    assert [folder.hash for folder in verify("folder_lt", tmp_path / "data")] == [made.hash]
    path = source / "cat" / "2.bmp"
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 255
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(DataCorrupt, match=r"is whole, but 1 of the 12 files .* changed since \(.*cat/2\.bmp"):
        verify("folder_lt", tmp_path / "data")
    assert prepared(tmp_path, source)[0].hash != made.hash


def test_names_are_no_part_of_the_identity(tmp_path):
    source = write_classes(tmp_path / "src", ["cat", "dog"])
    made, _ = prepared(tmp_path, source)
    for i, file in enumerate(sorted(source.rglob("*.png"))):
        file.rename(file.with_name(f"other{100 - i}.png"))
    assert prepare("folder_lt", source, tmp_path / "again", image_size=16, workers=1).hash == made.hash


# -- reference and training -------------------------------------------------------------------------


def contents(images):
    return {image.tobytes() for image in images}


def test_no_image_is_in_two_parts_of_a_folder_without_val(tmp_path):
    source = write_classes(tmp_path / "src", ["cat", "dog"], n=20)
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
    source = write_classes(tmp_path / "src", ["cat", "dog"], n=10)
    _, first = prepared(tmp_path, source)
    for i, file in enumerate(sorted(source.rglob("*.png"))):
        file.rename(file.with_name(f"z{(i * 7) % 20}.png"))
    _, second = prepared(tmp_path / "again", source)
    np.testing.assert_array_equal(first.heldout.images, second.heldout.images)


def test_training_images_in_val_are_left_out_and_told(tmp_path):
    write_classes(tmp_path / "src" / "train", ["cat", "dog"])
    write_classes(tmp_path / "src" / "val", ["cat", "dog"], n=8)  # the first six of each are train's
    made, dataset = prepared(tmp_path, tmp_path / "src")
    assert np.bincount(dataset.reference.labels).tolist() == [2, 2]
    assert any(re.match("12 held-out images are training images too", note) for note in made.notes)


def test_a_reference_of_nothing_but_copies_is_not_scored_against(tmp_path):
    from ltbench.data import ImageSet
    from ltbench.scoring.score import score_pools
    from ltbench.specs import ScoreSpec

    write_classes(tmp_path / "src" / "train", ["cat", "dog"])
    write_classes(tmp_path / "src" / "val", ["cat", "dog"])
    made, dataset = prepared(tmp_path, tmp_path / "src")
    assert any("scores against them are refused" in note for note in made.notes)
    generated = ImageSet(dataset.train.images, dataset.train.labels)
    with pytest.raises(UsageError, match="12 reference or held-out images .* copies of training images"):
        score_pools(dataset, generated, ScoreSpec(), tmp_path)


def test_a_class_too_small_to_be_split_says_what_to_do(tmp_path):
    source = write_classes(tmp_path / "src", ["cat", "dog"])
    for i in range(4):
        (source / "dog" / f"{i}.png").unlink()
    with pytest.raises(UsageError, match=r"src/dog has 2 images, .* 3 are needed.*folders train and val"):
        prepare("folder_lt", source, tmp_path / "data", workers=1)


def test_a_folder_of_the_first_format_is_read_and_not_scored_against_itself(tmp_path):
    """Such a folder's reference were its training images; its name is in results, so it stays readable."""
    import json

    from ltbench.data.prepare.folder import identity_hash

    made, _ = prepared(tmp_path, write_classes(tmp_path / "src", ["cat", "dog"]))
    path = made.folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["format"] = 1
    identity = manifest["identity"]
    for name in ("content", "ground", "reading"):
        del identity[name]
    identity["roles"]["reference"] = "train, balanced"
    identity["source_list_sha256"] = manifest.pop("source_list_sha256")
    manifest["hash"] = identity_hash(identity)
    path.write_text(json.dumps(manifest))
    dataset = data.load_dataset(DataSpec(dataset="folder_lt", profile="asis"), tmp_path / "data")
    assert dataset.counts.tolist() == [4, 4]
    assert "earlier version" in dataset.unscorable
    assert "prepare it again" in dataset.unscorable
    other = prepare("folder_lt", tmp_path / "src", tmp_path / "data", image_size=16, workers=1)
    assert other.folder != made.folder
    assert verify("folder_lt", tmp_path / "data")
