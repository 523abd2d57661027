"""Tiny-ImageNet in its own layout: zip, folder, and what is not whole."""

import zipfile
from dataclasses import replace

import numpy as np
import pytest
from image_folders import write_random
from PIL import Image

import ltbench.data.dataset as data
from ltbench.data.prepare.prepare import prepare
from ltbench.data.sources.tiny_imagenet import TINY_IMAGENET
from ltbench.errors import DataCorrupt, DataMissing, LtbenchError
from ltbench.specs import DataSpec

WNIDS = ("n02124075", "n01443537", "n04067472")  # wnids.txt is in no order


def tiny_imagenet(root, use, per_class=(10, 2)):
    folder = root / "tiny-imagenet-200"
    for k, wnid in enumerate(WNIDS):
        for i in range(per_class[0]):
            write_random(folder / "train" / wnid / "images" / f"{wnid}_{i}.JPEG", 100 * k + i)
        (folder / "train" / wnid / f"{wnid}_boxes.txt").write_text(f"{wnid}_0.JPEG\t0\t0\t62\t62\n")
    lines = []
    for i in range(per_class[1] * 3):
        write_random(folder / "val" / "images" / f"val_{i}.JPEG", 900 + i)
        lines.append(f"val_{i}.JPEG\t{WNIDS[i % 3]}\t0\t32\t44\t62\n")
    (folder / "val" / "val_annotations.txt").write_text("".join(lines))
    (folder / "wnids.txt").write_text("\n".join(WNIDS) + "\n")
    (folder / "words.txt").write_text("n01443537\tgoldfish, Carassius auratus\n")
    write_random(folder / "test" / "images" / "test_0.JPEG", 1)
    use(replace(TINY_IMAGENET, num_classes=3, pool=(per_class[0],) * 3, per_class=per_class))
    return folder


def test_tiny_imagenet_from_its_zip_and_from_its_folder(tmp_path, use):
    folder = tiny_imagenet(tmp_path / "in", use)
    for junk in (".DS_Store", "Thumbs.db"):
        (folder / "train" / WNIDS[0] / "images" / junk).write_bytes(b"junk")
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


def test_tiny_imagenets_counts_at_the_papers_ratio():
    counts = data.longtail.class_sizes(TINY_IMAGENET.pool, 0.01)
    assert (counts[0], counts[-1]) == (500, 5)
    assert (np.diff(counts) <= 0).all()
    assert abs(counts.sum() - 500 * 200 * (1 - 0.01) / np.log(100)) < 200  # the integral of the curve
