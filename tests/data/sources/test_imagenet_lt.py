"""ImageNet-LT from its authors' lists, with a tiny tree."""

from dataclasses import replace

import numpy as np
import pytest
from image_folders import write_image

import ltbench.data.dataset as data
from ltbench.data.prepare.prepare import prepare
from ltbench.data.sources.imagenet_lt import IMAGENET_LT, TRAIN_LIST, VAL_LIST, git_blob_id
from ltbench.errors import DataCorrupt, DataMissing
from ltbench.specs import DataSpec

WNIDS = ("n01440764", "n01443537", "n01484850")


def write_imagenet(root, use, counts=(120, 30, 4)):
    """Write a tiny ImageNet with lists in the official format; register the source that expects them."""
    lists, blobs, stated = {}, [], []
    for name, offset, sizes in ((TRAIN_LIST, 0, counts), (VAL_LIST, 1000, (2, 2, 2))):
        lines = []
        for k, n in enumerate(sizes):
            for i in range(offset, offset + n):
                file = f"train/{WNIDS[k]}/{WNIDS[k]}_{i}.JPEG"
                lines.append(f"{file} {k}\n")
                write_image(root / file, i, (9, 12), "L" if i % 7 == 0 else "RGB", "JPEG")
        lists[name] = "".join(lines).encode()
        (root / name).write_bytes(lists[name])
        blobs.append((name, git_blob_id(lists[name])))
        stated.append((sum(sizes), max(sizes), min(sizes)))
    use(replace(IMAGENET_LT, num_classes=3, blobs=tuple(blobs), sizes_stated=tuple(stated)))


def test_imagenet_lt(tmp_path, use):
    write_imagenet(tmp_path / "in", use)
    made = prepare("imagenet_lt", tmp_path / "in", tmp_path, workers=1)
    cell = data.load_dataset(DataSpec(dataset="imagenet_lt", profile="asis"), tmp_path)
    assert cell.shape == (3, 64, 64)
    assert cell.class_names == WNIDS
    assert cell.counts.tolist() == [120, 30, 4]
    assert cell.groups == {"many": (0,), "medium": (1,), "few": (2,)}
    assert np.bincount(cell.reference.labels).tolist() == [2, 2, 2]
    assert data.get_source("imagenet_lt").pool_sizes(tmp_path) == (120, 30, 4)
    for path in (tmp_path / "in" / "train", tmp_path / "in"):  # the train folder itself, lists elsewhere
        again = prepare("imagenet_lt", path, tmp_path / path.name, lists=tmp_path / "in", workers=1)
        assert again.hash == made.hash


def test_imagenet_files_that_are_broken(tmp_path, use):
    root = tmp_path / "in"
    write_imagenet(root, use, counts=(3, 3, 3))
    (root / "train" / WNIDS[1] / f"{WNIDS[1]}_1.JPEG").unlink()
    with pytest.raises(DataMissing, match=r"n01443537_1\.JPEG is missing \(1 of the lists' \d+ images are\)"):
        prepare("imagenet_lt", root, tmp_path, workers=1)
    with pytest.raises(DataMissing, match="has no folder train/n01440764"):
        prepare("imagenet_lt", tmp_path / "in" / "train" / WNIDS[0], tmp_path, lists=root, workers=1)
    (root / VAL_LIST).write_bytes((root / VAL_LIST).read_bytes().replace(b"\n", b"\r\n"))
    with pytest.raises(DataCorrupt, match=r"ImageNet_LT_val\.txt is not the official list"):
        prepare("imagenet_lt", root, tmp_path, workers=1)
    (root / TRAIN_LIST).unlink()
    with pytest.raises(DataMissing, match=r"ImageNet_LT_train\.txt is missing: get it from .* --lists"):
        prepare("imagenet_lt", root, tmp_path, workers=1)


def test_git_blob_id_is_gits():
    assert git_blob_id(b"") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
    assert git_blob_id(b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"
