"""Data sets named by lists of images, and Tiny-ImageNet's own layout, each in the exact form on disk."""

import zipfile
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import ltbench.data.dataset as data
from ltbench.data.lists import labelled, read_list
from ltbench.data.prepare.convert import read_content
from ltbench.data.prepare.prepare import prepare
from ltbench.data.sources.listed import INATURALIST2018, PLACES_LT
from ltbench.data.sources.tiny_imagenet import TINY_IMAGENET
from ltbench.errors import DataCorrupt, DataMissing, LtbenchError
from ltbench.plugins import Extension
from ltbench.specs import DataSpec


@pytest.fixture
def use(monkeypatch):
    def put(source):
        monkeypatch.setitem(data.SOURCES.extensions(), source.name, Extension(source.name, source, "tests"))
        return source

    return put


def write(path, seed, size=64):
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    Image.fromarray(coarse).resize((size, size)).save(path, "JPEG")


# -- lists ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (b"a/x.jpg 0\nb/y.jpg 1\n", [("a/x.jpg", "0"), ("b/y.jpg", "1")]),
        (
            b"\xef\xbb\xbfa b/x y.jpg 0\r\n\r\n# made by hand\r\nb/y.jpg\t1",
            [("a b/x y.jpg", "0"), ("b/y.jpg", "1")],
        ),
        (b"a/x.jpg,cat\nb/y.jpg;dog\n", [("a/x.jpg", "cat"), ("b/y.jpg", "dog")]),
        ("ä/x.jpg 0\n".encode("utf-16"), [("ä/x.jpg", "0")]),
    ],
)
def test_a_list_is_read_as_people_write_it(tmp_path, content, rows):
    (tmp_path / "list.txt").write_bytes(content)
    assert read_list(tmp_path / "list.txt") == rows


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"a.jpg 0\nb.jpg\n", "line 2: 'b.jpg' is no `PATH LABEL`"),
        (b"\n", "lists no image"),
        (b"\xff\xfa", "UTF-8"),
    ],
)
def test_a_list_that_is_none(tmp_path, content, says):
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(DataCorrupt, match=says):
        read_list(tmp_path / "list.txt")
    with pytest.raises(DataMissing, match="none.txt is missing"):
        read_list(tmp_path / "none.txt")


def test_labels_of_lists(tmp_path):
    rows, names = labelled(tmp_path, [[("x/cat/1.png", "0"), ("x/dog/1.png", "1")], [("v/1.png", "1")]])
    assert names == ("cat", "dog")
    assert rows[1] == [("v/1.png", 1)]
    assert labelled(tmp_path, [[("x/1.png", "0"), ("x/2.png", "1")]])[1] == ("0", "1")
    rows, names = labelled(tmp_path, [[("1.png", "dog"), ("2.png", "cat")]])
    assert names == ("cat", "dog")
    assert rows[0][0] == ("1.png", 1)
    with pytest.raises(DataCorrupt, match="no image of class 1"):
        labelled(tmp_path, [[("1.png", "0"), ("2.png", "2")]])


# -- folder_lt by lists -----------------------------------------------------------------------------


def test_a_folder_by_one_list_or_by_lists_for_training_and_validation(tmp_path):
    lines = []
    for k, n in enumerate((12, 6)):
        for i in range(n):
            write(tmp_path / "images" / f"{k} {i}.jpg", 100 * k + i, 20)
            lines.append(f"{k} {i}.jpg {('wren', 'kite')[k]}\n")
    write(tmp_path / "images" / "unlisted.jpg", 7)
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


# -- the authors' lists -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "file"),
    [
        (PLACES_LT, "data_256/{letter}/{name}/{i:08d}.jpg"),
        (INATURALIST2018, "train_val2018/Plantae/{name}/{i:032x}.jpg"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_set_by_its_authors_lists(tmp_path, use, source, file):
    source = use(replace(source, num_classes=3, stated=(110, 101, 2)))
    lists = {source.train_list: (101, 7, 2), source.val_list: (2, 2, 2)}
    for name, counts in lists.items():
        lines = []
        for k, n in enumerate(counts):
            for i in range(n):
                path = file.format(
                    letter="abc"[k], name=("airfield", "bar", "cave")[k], i=i + 1000 * ("val" in name)
                )
                write(tmp_path / "in" / path, 100 * k + i + 5000 * ("val" in name), 20)
                lines.append(f"{path} {k}\n")
        (tmp_path / "in" / name).write_text("".join(lines))
    prepare(source.name, tmp_path / "in", tmp_path, workers=1)
    dataset = data.load_dataset(DataSpec(dataset=source.name, profile="asis"), tmp_path)
    assert dataset.shape == (3, 64, 64)
    assert dataset.counts.tolist() == [101, 7, 2]
    assert dataset.class_names == ("airfield", "bar", "cave")
    assert dataset.groups == {"many": (0,), "few": (1, 2)}
    assert len(dataset.reference) == 6
    (tmp_path / "in" / path).unlink()
    with pytest.raises(
        DataMissing, match=r"is missing \(1 of the lists' 116 images are\): give the folder below"
    ):
        prepare(source.name, tmp_path / "in", tmp_path / "other", workers=1)
    use(replace(source, stated=(62_500, 4980, 5)))
    with pytest.raises(DataCorrupt, match=r"has \(110, 101, 2\) images .* get the authors' list again"):
        prepare(source.name, tmp_path / "in", tmp_path / "other", workers=1)
    (tmp_path / "in" / source.val_list).unlink()
    with pytest.raises(
        DataMissing, match=rf"{source.val_list} is missing: get .*ltbench data prepare {source.name}"
    ):
        prepare(source.name, tmp_path / "in", tmp_path / "other", workers=1)


# -- Tiny ImageNet ----------------------------------------------------------------------------------

WNIDS = ("n02124075", "n01443537", "n04067472")  # wnids.txt is in no order


def tiny_imagenet(root, use, per_class=(10, 2)):
    folder = root / "tiny-imagenet-200"
    for k, wnid in enumerate(WNIDS):
        for i in range(per_class[0]):
            write(folder / "train" / wnid / "images" / f"{wnid}_{i}.JPEG", 100 * k + i)
        (folder / "train" / wnid / f"{wnid}_boxes.txt").write_text(f"{wnid}_0.JPEG\t0\t0\t62\t62\n")
    lines = []
    for i in range(per_class[1] * 3):
        write(folder / "val" / "images" / f"val_{i}.JPEG", 900 + i)
        lines.append(f"val_{i}.JPEG\t{WNIDS[i % 3]}\t0\t32\t44\t62\n")
    (folder / "val" / "val_annotations.txt").write_text("".join(lines))
    (folder / "wnids.txt").write_text("\n".join(WNIDS) + "\n")
    (folder / "words.txt").write_text("n01443537\tgoldfish, Carassius auratus\n")
    write(folder / "test" / "images" / "test_0.JPEG", 1)
    use(replace(TINY_IMAGENET, num_classes=3, pool=(per_class[0],) * 3, per_class=per_class))
    return folder


def test_tiny_imagenet_from_its_zip_and_from_its_folder(tmp_path, use):
    folder = tiny_imagenet(tmp_path / "in", use)
    archive = tmp_path / "zip" / "tiny-imagenet-200.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as content:
        for path in sorted(folder.rglob("*")):
            content.write(path, path.relative_to(folder.parent))
    places = (folder, folder.parent, archive, archive.parent)
    made = [prepare("tiny_imagenet_lt", path, tmp_path / str(i), workers=1) for i, path in enumerate(places)]
    assert len({folder.hash for folder in made}) == 1
    dataset = data.load_dataset(DataSpec(dataset="tiny_imagenet_lt", imbalance_ratio=0.1), tmp_path / "0")
    assert dataset.class_names == ("n01443537", "n02124075", "n04067472")
    assert dataset.counts.tolist() == [10, 3, 1]
    assert len(dataset.reference) == 30
    assert np.bincount(dataset.heldout.labels).tolist() == [2, 2, 2]
    assert not dataset.heldout_in_reference
    first = np.asarray(Image.open(folder / "val" / "images" / "val_1.JPEG")).transpose(2, 0, 1)
    assert np.array_equal(dataset.heldout.images[0], first)  # 64x64 as they are


def test_tiny_imagenet_that_is_not_whole(tmp_path, use):
    with pytest.raises(DataMissing, match="holds neither .*cs231n.stanford.edu"):
        prepare("tiny_imagenet_lt", tmp_path, tmp_path, workers=1)
    folder = tiny_imagenet(tmp_path / "in", use)
    (folder / "train" / WNIDS[0] / "images" / f"{WNIDS[0]}_3.JPEG").unlink()
    with pytest.raises(DataCorrupt, match="has 29 training images of 3 classes, not 30 of 3"):
        prepare("tiny_imagenet_lt", folder, tmp_path, workers=1)
    (folder / "val" / "val_annotations.txt").write_text("val_0.JPEG\tn99\t0\t0\t0\t0\n")
    with pytest.raises(DataCorrupt, match="lacks a whole wnids.txt or val_annotations.txt"):
        prepare("tiny_imagenet_lt", folder, tmp_path, workers=1)
    (tmp_path / "cut.zip").write_bytes(b"PK\3\4 and no more")
    with pytest.raises(LtbenchError, match="is truncated or no zip file"):
        prepare("tiny_imagenet_lt", tmp_path / "cut.zip", tmp_path, workers=1)


def test_any_flipped_bit_of_an_archive_is_its_content_or_one_sentence(tmp_path):
    """A flip names another compression, an encryption or a broken stream: errors of half a dozen classes."""
    words = bytes(range(200)) * 2
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as content:
        content.writestr("train/a.txt", words)
    whole = bytearray((tmp_path / "a.zip").read_bytes())
    told = 0
    for bit in range(8 * len(whole)):
        whole[bit // 8] ^= 1 << bit % 8
        (tmp_path / f"{bit}.zip").write_bytes(whole)
        whole[bit // 8] ^= 1 << bit % 8
        try:
            assert read_content(tmp_path / f"{bit}.zip", "train/a.txt") == words
        except LtbenchError as error:
            told += str(error).endswith("get it again")
        (tmp_path / f"{bit}.zip").unlink()
    assert told > 1000


def test_tiny_imagenets_counts_at_the_papers_ratio():
    counts = data.longtail.class_sizes(TINY_IMAGENET.pool, 0.01)
    assert (counts[0], counts[-1]) == (500, 5)
    assert (np.diff(counts) <= 0).all()
    assert abs(counts.sum() - 500 * 200 * (1 - 0.01) / np.log(100)) < 200  # the integral of the curve
