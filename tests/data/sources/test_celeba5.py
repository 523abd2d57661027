"""CelebA-5 from each layout on disk, with a tiny split."""

import shutil
import zipfile
from collections import Counter
from dataclasses import dataclass, fields

import numpy as np
import pytest
from image_folders import write_image

import ltbench.data.dataset as data
from ltbench.data.prepare.convert import convert
from ltbench.data.prepare.prepare import prepare
from ltbench.data.sources.celeba5 import CELEBA5, Celeba5
from ltbench.errors import DataCorrupt, DataMissing
from ltbench.specs import DataSpec


@dataclass(frozen=True)
class TinyCeleba(Celeba5):
    def split_rows(self):
        return [
            (split, f"{100 * s + 10 * k + i:06d}.jpg", k)
            for s, (split, counts) in enumerate(
                (("train", (3, 6, 5, 4, 2)), ("val", (1,) * 5), ("test", (2,) * 5))
            )
            for k, n in enumerate(counts)
            for i in range(n)
        ] + [("test", "000010.jpg", 4)]  # also in train, as 32 of the real split are


@pytest.fixture
def tiny_celeba(use):
    facts = {f.name: getattr(CELEBA5, f.name) for f in fields(CELEBA5)}
    return use(TinyCeleba(**{**facts, "pool": (3, 6, 5, 4, 2)}))


def write_celeba(folder, source):
    for i, (_, name, _) in enumerate(source.split_rows()):
        write_image(folder / name, i, (178, 218))
    write_image(folder / "202599.jpg", 1, (178, 218))  # CelebA has many images that the split leaves out


def test_celeba_from_folder_zip_and_torchvision_layout(tmp_path, tiny_celeba):
    folder = tmp_path / "tv" / "celeba" / "img_align_celeba"
    write_celeba(folder, tiny_celeba)
    with zipfile.ZipFile(tmp_path / "img_align_celeba.zip", "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, f"img_align_celeba/{path.name}")
    with zipfile.ZipFile(tmp_path / "kaggle.zip", "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, f"img_align_celeba/img_align_celeba/{path.name}")
    (tmp_path / "authors" / "Img").mkdir(parents=True)
    shutil.copy(tmp_path / "img_align_celeba.zip", tmp_path / "authors" / "Img")
    hashes = {
        prepare("celeba5", path, tmp_path / str(i), workers=1).hash
        for i, path in enumerate(
            (
                *(folder, folder.parent, tmp_path / "tv"),
                *(tmp_path / "img_align_celeba.zip", tmp_path, tmp_path / "authors", tmp_path / "kaggle.zip"),
            )
        )
    }
    assert len(hashes) == 1
    cell = data.load_dataset(DataSpec(dataset="celeba5", profile="asis"), tmp_path / "0")
    assert cell.shape == (3, 64, 64)
    assert cell.counts.tolist() == [3, 6, 5, 4, 2]
    assert cell.head_to_tail == (1, 2, 3, 0, 4)
    assert np.bincount(cell.reference.labels).tolist() == [3, 3, 3, 3, 4]
    assert np.bincount(cell.heldout.labels).tolist() == [3] * 5
    assert cell.heldout_in_reference
    assert np.array_equal(cell.train.images[0], convert((folder / "000000.jpg").read_bytes(), "", 64, 3))
    balanced = data.load_dataset(DataSpec(dataset="celeba5", imbalance_ratio=1.0), tmp_path / "0")
    assert balanced.counts.tolist() == [2] * 5


def test_celeba_in_several_processes_from_a_zip(tmp_path, tiny_celeba):
    write_celeba(tmp_path / "img_align_celeba", tiny_celeba)
    one = prepare("celeba5", tmp_path, tmp_path / "one", workers=1)
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for path in sorted((tmp_path / "img_align_celeba").iterdir()):
            archive.write(path, f"img_align_celeba/{path.name}")
    assert prepare("celeba5", tmp_path / "x.zip", tmp_path / "two", workers=2).hash == one.hash


def test_celeba_files_that_are_broken(tmp_path, tiny_celeba):
    with pytest.raises(DataMissing, match="none of CelebA's aligned images"):
        prepare("celeba5", tmp_path, tmp_path / "out", workers=1)
    folder = tmp_path / "img_align_celeba"
    write_celeba(folder, tiny_celeba)
    (folder / "000012.jpg").unlink()
    with pytest.raises(DataMissing, match=r"000012\.jpg is missing \(1 of the split's 35 images are\)"):
        prepare("celeba5", tmp_path, tmp_path / "out", workers=1)
    (tmp_path / "cut.zip").write_bytes(b"PK\3\4 and no more")
    with pytest.raises(DataCorrupt, match=r"cut\.zip is truncated or no zip file"):
        prepare("celeba5", tmp_path / "cut.zip", tmp_path / "out", workers=1)


def test_the_shipped_celeba_split_is_m2ms():
    rows = CELEBA5.split_rows()
    counts = {
        split: Counter(label for s, _, label in rows if s == split) for split in ("train", "val", "test")
    }
    assert [counts["train"][k] for k in range(5)] == list(CELEBA5.pool) == [424, 2423, 1499, 2078, 227]
    assert set(counts["val"].values()) == {50}
    assert set(counts["test"].values()) == {100}
    assert len(rows) == 6651 + 250 + 500
    # The published split is not clean: an image may have two labels, and 32 are in train and in val or test.
    labels, splits = {}, {}
    for split, name, label in rows:
        labels.setdefault(name, set()).add(label)
        splits.setdefault(name, set()).add("train" if split == "train" else "other")
    assert sum(len(found) == 2 for found in labels.values()) == 210
    assert sum(len(found) == 2 for found in splits.values()) == 32
