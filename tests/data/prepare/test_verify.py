"""Verifying a prepared folder: each damage is named."""

import os

import numpy as np
import pytest
from image_folders import Progress, prepared, write_counted_classes, write_named_classes
from PIL import Image

import ltbench.data.dataset as data
from ltbench.data.prepare.prepare import prepare
from ltbench.data.prepare.verify import verify
from ltbench.errors import DataCorrupt, DataMissing
from ltbench.specs import DataSpec


def spoil_byte(folder):
    path = folder / "train.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "named", "loads"),
    [
        (spoil_byte, "train.npy was changed", True),
        (lambda f: np.save(f / "train.labels.npy", np.arange(6) % 2), "train.npy was changed", True),
        (lambda f: (f / "source_list.csv").unlink(), "source_list.csv was changed or is missing", True),
        (lambda f: os.truncate(f / "train.npy", 300), "train.npy is truncated", False),
        (lambda f: np.save(f / "train.npy", np.zeros(3, np.uint8)), "train.npy is not what", False),
        (lambda f: (f / "heldout.npy").unlink(), "heldout.npy is missing", False),
        (lambda f: (f / "manifest.json").write_text("{"), "manifest.json cannot be read", False),
        (
            lambda f: (f / "manifest.json").write_text(
                (f / "manifest.json").read_text().replace('"a"', '"b"')
            ),
            "manifest.json was changed",
            False,
        ),
    ],
    ids=["byte", "labels", "list", "truncated", "other array", "missing", "no json", "edited"],
)
def test_verify_names_what_differs(tmp_path, spoil, named, loads):
    made = prepare(
        "folder_lt", write_counted_classes(tmp_path / "src", [5, 5]), tmp_path, image_size=8, workers=1
    )
    progress = Progress()
    assert [folder.hash for folder in verify("folder_lt", tmp_path, progress)] == [made.hash]
    assert progress[-1] == (3, 3)
    spoil(made.folder)
    with pytest.raises((DataCorrupt, DataMissing), match=named):
        verify("folder_lt", tmp_path)
    spec = DataSpec(dataset="folder_lt", imbalance_ratio=1.0)
    if loads:
        data.load_dataset(spec, tmp_path)  # opening reads no pixel
    else:
        with pytest.raises((DataCorrupt, DataMissing), match=named):
            data.load_dataset(spec, tmp_path)
    assert len(data.list_sources(1.0, tmp_path)) == len(
        data.SOURCES.all()
    )  # one broken folder hides no other source


def test_an_image_mended_in_place_is_noticed(tmp_path):
    source = write_named_classes(tmp_path / "src", ["cat", "dog"])
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


@pytest.mark.parametrize("name", ["a\nb.png", "a\tb.png", "a\u200eb.png", "a\u202eb.png", "a\x1bb.png"])
def test_originals_of_names_that_cannot_be_printed_are_not_said_to_have_changed(tmp_path, name):
    source = write_named_classes(tmp_path / "src", ["cat", "dog"])
    (source / "cat" / "1.png").rename(source / "cat" / name)
    made, _ = prepared(tmp_path, source)
    assert [folder.hash for folder in verify("folder_lt", tmp_path / "data")] == [made.hash]
