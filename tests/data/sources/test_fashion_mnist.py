"""Fashion-MNIST: every layout on disk, the download, broken IDX files."""

import gzip
import hashlib
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_cifar import NOWHERE

import ltbench.data.dataset as data
from ltbench.data.sources.fashion_mnist import FASHION_MNIST, read_idx
from ltbench.errors import DataCorrupt, DataMissing, StorageError
from ltbench.specs import DataSpec


def idx_bytes(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def fashion_files(folder, per_class=4):
    """Write a tiny Fashion-MNIST in the exact file format; return the source that expects it."""
    rng = np.random.default_rng(0)
    md5, content = {}, {}
    folder.mkdir(parents=True, exist_ok=True)
    for part in ("train", "t10k"):
        labels = rng.permutation(np.repeat(np.arange(10, dtype=np.uint8), per_class))
        images = rng.integers(0, 256, (len(labels), 28, 28), dtype=np.uint8)
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            name, raw = f"{part}-{kind}-ubyte.gz", idx_bytes(array)
            (folder / name).write_bytes(gzip.compress(raw))
            content[name] = hashlib.md5(raw).hexdigest()
            md5[name] = hashlib.md5((folder / name).read_bytes()).hexdigest()
    return replace(
        FASHION_MNIST, md5=md5, content_md5=content, pool=(per_class,) * 10, system_folders=(), url=NOWHERE
    )


def fashion_spec(**kwargs):
    return DataSpec(dataset="fashion_mnist_lt", imbalance_ratio=0.5, **kwargs)


@pytest.mark.parametrize("layout", ["FashionMNIST/raw", "fashion-mnist", "."])
def test_fashion_cell_from_each_layout(tmp_path, use, layout):
    use(fashion_files(tmp_path / layout))
    cell = data.load_dataset(fashion_spec(), tmp_path)
    raw = read_idx(tmp_path / layout / "train-images-idx3-ubyte.gz", 3)
    assert cell.shape == (1, 32, 32)
    assert np.array_equal(cell.reference.images[:, 0, 2:30, 2:30], raw)
    assert cell.reference.images.sum() == raw.sum()  # padded with nothing but black
    assert cell.counts.tolist() == [4, 3, 3, 3, 2, 2, 2, 2, 2, 2]
    assert not cell.flip_allowed
    half = data.load_dataset(fashion_spec(image_size=16), tmp_path)
    blocks = cell.train.images.reshape(-1, 1, 16, 2, 16, 2).astype(int).sum((3, 5))
    assert np.array_equal(half.train.images, (blocks + 2) // 4)
    assert half.manifest["selection_sha256"] == cell.manifest["selection_sha256"]


def test_fashion_is_found_in_the_operating_systems_folder(tmp_path, use):
    source = fashion_files(tmp_path / "usr")
    use(replace(source, system_folders=(tmp_path / "usr",)))
    (row,) = (
        row for row in data.list_sources(0.5, tmp_path / "data") if row.source.name == "fashion_mnist_lt"
    )
    assert row.found
    assert row.at == tmp_path / "usr"
    assert tmp_path / "data" / "FashionMNIST" / "raw" in row.looked
    assert data.load_dataset(fashion_spec(), tmp_path / "data").train.labels.tolist() == sorted(
        data.load_dataset(fashion_spec(), tmp_path / "data").train.labels.tolist()
    )


def test_fashion_is_downloaded_once(tmp_path, use, served):
    folder, url = served
    use(replace(fashion_files(folder), url=url))
    root = tmp_path / "root"
    cell = data.load_dataset(fashion_spec(), root)
    use(replace(fashion_files(folder), url=NOWHERE))
    assert data.load_dataset(fashion_spec(), root).manifest_hash == cell.manifest_hash
    assert sorted(p.name for p in root.rglob("*") if p.is_file()) == sorted(FASHION_MNIST.md5)


def test_a_wrong_download_leaves_no_file(tmp_path, use, served):
    folder, url = served
    use(replace(fashion_files(folder), url=url))
    (folder / "train-images-idx3-ubyte.gz").write_bytes(b"<html>moved</html>")
    with pytest.raises(DataCorrupt, match="did not send the original"):
        data.load_dataset(fashion_spec(), tmp_path / "root")
    assert not any(p.is_file() for p in (tmp_path / "root").rglob("*"))


def test_fashion_missing_without_a_network_says_what_to_get(tmp_path, use):
    use(replace(FASHION_MNIST, system_folders=(), url=NOWHERE))
    with pytest.raises(DataMissing, match="install the Debian package dataset-fashion-mnist") as error:
        data.load_dataset(DataSpec(dataset="fashion_mnist_lt"), tmp_path)
    assert str(tmp_path / "FashionMNIST" / "raw") in str(error.value)
    assert "\n" not in str(error.value)


def test_a_data_root_that_cannot_be_written(tmp_path, use, served):
    folder, url = served
    use(replace(fashion_files(folder), url=url))
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StorageError, match="--data-root"):
        data.load_dataset(fashion_spec(), tmp_path / "file")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda raw: gzip.compress(raw)[:-20], "truncated or not gzip"),
        (lambda raw: raw, "truncated or not gzip"),
        (lambda _: b"", "no idx file"),
        (lambda raw: gzip.compress(b"\0\0\x0d\x03" + raw[4:]), "no idx file of 3-dimensional bytes"),
        (lambda raw: gzip.compress(raw[:-1]), "holds 31359 bytes, not the 31360 it states"),
        (lambda raw: gzip.compress(raw[:-1] + b"\1"), "not the original"),
    ],
    ids=["truncated", "not gzip", "empty", "wrong magic", "short", "changed"],
)
def test_a_broken_idx_file_is_named(tmp_path, use, spoil, message):
    use(fashion_files(tmp_path))
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(spoil(gzip.decompress(path.read_bytes())))
    with pytest.raises(DataCorrupt, match=message) as error:
        data.load_dataset(fashion_spec(), tmp_path)
    assert str(path) in str(error.value)


def test_the_installed_fashion_mnist_is_the_published_one():
    if not FASHION_MNIST.status(Path("/nonexistent")).found:
        pytest.skip("dataset-fashion-mnist is not installed")
    cell = data.load_dataset(DataSpec(dataset="fashion_mnist_lt", image_size=16), Path("/nonexistent"))
    assert cell.counts.tolist() == [6000, 3596, 2156, 1292, 774, 464, 278, 166, 100, 60]
    assert cell.manifest["selection_sha256"] == "de561f03a34c6786"
    assert cell.reference.sha256[:16] == "32e589fc2ad79533"
    assert (len(cell.reference), len(cell.heldout)) == (60000, 10000)
