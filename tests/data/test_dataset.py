import functools
import gzip
import hashlib
import http.server
import io
import json
import pickle
import struct
import tarfile
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_cifar import NOWHERE, cifar_files, tiny_cifar

import ltbench.data.dataset as data
from ltbench.data.images import ImageSet, content_sha256
from ltbench.data.resample import area_resample, pad_square
from ltbench.data.sources.cifar import CIFAR10, CIFAR100
from ltbench.data.sources.fashion_mnist import FASHION_MNIST, read_idx
from ltbench.errors import DataCorrupt, DataMissing, StorageError, UsageError
from ltbench.specs import DataSpec


@pytest.fixture
def served(tmp_path):
    """A folder and the address of a web server that serves it."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))
    )
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


# --- digits -------------------------------------------------------------------------------------------


def test_digits_cell():
    from sklearn.datasets import load_digits

    cell = data.load_dataset(DataSpec(dataset="digits_lt", imbalance_ratio=0.05))
    assert cell.shape == (1, 8, 8)
    assert cell.counts.tolist() == [120, 86, 61, 44, 31, 22, 16, 11, 8, 6]
    assert np.bincount(cell.train.labels).tolist() == cell.counts.tolist()
    assert np.bincount(cell.reference.labels).tolist() == [120] * 10
    assert len(cell.heldout) == 1797 - 1200
    assert np.isclose(cell.prior.sum(), 1)
    assert not cell.flip_allowed
    raw = {
        image.tobytes(): label
        for image, label in zip(*(load_digits()[k] for k in ("images", "target")), strict=True)
    }
    seen = set()
    for part in (cell.reference, cell.heldout):  # together: every digit once, grey level 0..16 -> 0..255
        for image, label in zip(part.images[:, 0], part.labels, strict=True):
            original = np.rint(image / 255 * 16)
            assert np.abs(image - original * 255 / 16).max() <= 0.5
            assert raw[original.tobytes()] == label
            seen.add(original.tobytes())
    assert len(seen) == len(raw)
    assert cell.reference.images[cell.train_positions].tobytes() == cell.train.images.tobytes()


def test_golden_manifest_of_digits():
    """Split, grey levels and selection never change: results are keyed by them."""
    cell = data.load_dataset(DataSpec(dataset="digits_lt", imbalance_ratio=0.05))
    assert cell.reference.sha256[:16] == "6848196bd2c25318"
    assert cell.train.sha256[:16] == "739e3181a12e60b3"
    assert cell.manifest["selection_sha256"] == "0495e800e5deb112"
    assert json.loads(json.dumps(cell.manifest)) == cell.manifest
    assert cell.manifest_hash == data.load_dataset(cell.spec).manifest_hash


@pytest.mark.parametrize(
    "change", [{"split_seed": 1}, {"class_order": "reversed"}, {"profile": "step"}, {"head_count": 60}]
)
def test_another_cell_has_another_manifest(change):
    spec = DataSpec(dataset="digits_lt", imbalance_ratio=0.05)
    one, other = data.load_dataset(spec), data.load_dataset(spec.model_copy(update=change))
    assert other.manifest_hash != one.manifest_hash
    assert other.reference.sha256 == one.reference.sha256


def test_class_order_turns_head_and_tail():
    cell = data.load_dataset(DataSpec(dataset="digits_lt", imbalance_ratio=0.05, class_order="reversed"))
    assert cell.counts[9] == 120
    assert cell.counts[0] == 6
    assert cell.head_to_tail == tuple(range(9, -1, -1))
    assert cell.groups["tail"] == (2, 1, 0)


def test_refusals_name_what_to_use(tmp_path):
    with pytest.raises(UsageError, match="did you mean 'digits_lt'"):
        data.get_source("digit_lt")
    with pytest.raises(UsageError, match=r"no image size 16: use 8$"):
        data.load_dataset(DataSpec(dataset="digits_lt", image_size=16))
    # An impossible ratio is refused before any file is looked for.
    with pytest.raises(UsageError, match=r"smallest ratio that works here is 0\.0002"):
        data.load_dataset(DataSpec(dataset="cifar10_lt", imbalance_ratio=1e-5), tmp_path)


# --- Fashion-MNIST ------------------------------------------------------------------------------------


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


# --- CIFAR --------------------------------------------------------------------------------------------


def remove_folder(folder):
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


@pytest.mark.parametrize("source", [CIFAR10, CIFAR100], ids=lambda s: s.name)
def test_cifar_from_folder_and_from_archive(tmp_path, use, source):
    tiny = use(cifar_files(tmp_path, source, per_class=5))
    spec = DataSpec(dataset=source.name, imbalance_ratio=0.5)
    cell = data.load_dataset(spec, tmp_path)
    assert cell.shape == (3, 32, 32)
    assert cell.flip_allowed
    assert cell.class_names[1] == "class 1"
    assert (len(cell.reference), len(cell.heldout)) == (5 * source.num_classes, source.num_classes)
    with (tmp_path / tiny.folder / tiny.dataset_class().train_list[0][0]).open("rb") as handle:
        first = pickle.load(handle)
    assert np.array_equal(cell.reference.images[0].reshape(-1), first["data"][0])
    assert cell.reference.labels[0] == first.get("labels", first.get("fine_labels"))[0]
    remove_folder(tmp_path / tiny.folder)
    assert data.load_dataset(spec, tmp_path).manifest_hash == cell.manifest_hash
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([tiny.folder, tiny.archive])


def test_cifar_is_downloaded(tmp_path, use, served):
    folder, url = served
    tiny = cifar_files(folder, CIFAR10)
    use(replace(tiny, overrides={**tiny.overrides, "url": f"{url}/{tiny.archive}"}))
    cell = data.load_dataset(DataSpec(imbalance_ratio=0.5), tmp_path / "new")
    assert cell.counts.tolist() == [5, 4, 4, 3, 3, 3, 3, 2, 2, 2]


def test_cifar_missing_without_a_network_says_what_to_get(tmp_path, use):
    use(tiny_cifar(CIFAR10, {"url": NOWHERE}))
    with pytest.raises(DataMissing, match="md5 c58f30108f718f92721af3b95e74349a") as error:
        data.load_dataset(DataSpec(), tmp_path)
    assert f"put it into {tmp_path}" in str(error.value)
    assert "plain_text/train-00000-of-00001.parquet" in str(error.value)  # either layout will do
    assert f"into {tmp_path}/cifar10/plain_text" in str(error.value)


@pytest.mark.parametrize("cut", [0, 100])
def test_a_broken_cifar_archive_is_named(tmp_path, use, cut):
    tiny = use(cifar_files(tmp_path, CIFAR10))
    remove_folder(tmp_path / tiny.folder)
    archive = tmp_path / tiny.archive
    archive.write_bytes(archive.read_bytes()[:cut])
    with pytest.raises(DataCorrupt, match="truncated or not the original") as error:
        data.load_dataset(DataSpec(imbalance_ratio=0.5), tmp_path)
    assert str(archive) in str(error.value)


def test_a_broken_batch_is_never_unpickled(tmp_path, use):
    tiny = use(cifar_files(tmp_path, CIFAR10))
    path = tmp_path / tiny.folder / "data_batch_3"
    path.write_bytes(b"cbuiltins\nexit\n(S'unpickled'\ntR.")  # would end the test run
    with pytest.raises(DataCorrupt, match="data_batch_3"):
        data.load_dataset(DataSpec(imbalance_ratio=0.5), tmp_path)
    path.unlink()
    with pytest.raises(DataMissing, match=r"data_batch_3 is missing: download https://www\.cs\.toronto\.edu"):
        data.load_dataset(DataSpec(imbalance_ratio=0.5), tmp_path)


def test_an_archive_of_something_else_is_refused(tmp_path, use):
    tiny = cifar_files(tmp_path, CIFAR10)
    remove_folder(tmp_path / tiny.folder)
    with tarfile.open(tmp_path / tiny.archive, "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("other/file"), io.BytesIO())
    md5 = hashlib.md5((tmp_path / tiny.archive).read_bytes()).hexdigest()
    use(replace(tiny, overrides={**tiny.overrides, "tgz_md5": md5}))
    with pytest.raises(DataCorrupt, match="cannot be unpacked"):
        data.load_dataset(DataSpec(imbalance_ratio=0.5), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [tiny.archive]


# --- all sources --------------------------------------------------------------------------------------


def test_static_facts_match_torchvision():
    from torchvision.datasets import FashionMNIST

    assert dict(FashionMNIST.resources) == dict(FASHION_MNIST.md5)
    for source in (CIFAR10, CIFAR100):
        cls = source.dataset_class()
        assert (cls.base_folder, cls.filename) == (source.folder, source.archive)
        assert cls.tgz_md5 in source.how_to_get
        assert cls.url in source.how_to_get
    for source in data.SOURCES.all().values():
        if not source.pool:  # only their lists or folders tell
            assert source.name in ("imagenet_lt", "folder_lt", "places_lt", "inaturalist2018")
            continue
        assert len(source.pool) == source.num_classes
        if source.name != "tiny_imagenet_lt":  # its WordNet ids are in its files
            assert len(set(source.class_names)) == len(source.class_names) == source.num_classes


def test_sources_are_listed_with_counts_without_files(tmp_path):
    rows = {row.source.name: row for row in data.list_sources(0.001, tmp_path)}
    assert rows["cifar10_lt"].counts == (5000, 2320, 1077, 500, 232, 107, 50, 23, 10, 5)
    assert not rows["cifar10_lt"].found
    assert str(tmp_path) in rows["cifar10_lt"].advice
    assert rows["digits_lt"].counts is None
    assert "0.008334" in rows["digits_lt"].note
    assert rows["digits_lt"].found


def test_listing_data_sets_imports_no_torch():
    import subprocess
    import sys

    code = (
        "import sys, ltbench.data; ltbench.data.list_sources()\n"
        "print({'torch', 'sklearn', 'torchvision'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


def test_area_resampling_against_pixel_copies():
    """Shrinking n -> m is repeating every pixel m times, then averaging blocks of n."""
    images = np.random.default_rng(3).integers(0, 256, (5, 3, 12, 12), dtype=np.uint8)
    for size in range(1, 13):
        big = images.repeat(size, 2).repeat(size, 3).astype(np.int64)
        exact = big.reshape(5, 3, size, 12, size, 12).sum((3, 5)) / 144
        assert np.array_equal(area_resample(images, size), np.floor(exact + 0.5))
    with pytest.raises(ValueError, match="cannot shrink"):
        area_resample(images, 13)
    assert pad_square(images, 16)[:, :, 2:14, 2:14].tobytes() == images.tobytes()


def test_image_set_digest_covers_pixels_labels_and_shape():
    images, labels = np.arange(48, dtype=np.uint8).reshape(4, 1, 3, 4), np.arange(4)
    digest = ImageSet(images, labels).sha256
    assert digest != ImageSet(images.reshape(4, 1, 4, 3), labels).sha256
    assert digest != ImageSet(images, labels[::-1].copy()).sha256
    assert digest != ImageSet(255 - images, labels).sha256
    assert digest == content_sha256(np.asfortranarray(images), labels)
    with pytest.raises(ValueError, match="4 images but 3 labels"):
        ImageSet(images, labels[:3])


# --- sources of other packages ------------------------------------------------------------------------


def test_a_source_of_another_package_is_listed_and_loaded(tmp_path, monkeypatch, capsys):
    from ltbench.cli.lists import list_datasets

    (tmp_path / "stripes.py").write_text(
        "import dataclasses\nfrom ltbench.data.sources.digits import DIGITS\n"
        "STRIPES = dataclasses.replace(DIGITS, name='stripes_lt', title='Stripes')\n"
    )
    info = tmp_path / "stripes-2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stripes\nVersion: 2.0\n")
    (info / "entry_points.txt").write_text("[ltbench.datasets]\nany = stripes:STRIPES\n")
    monkeypatch.syspath_prepend(tmp_path)
    data.SOURCES.forget()
    try:
        assert data.SOURCES.origin("stripes_lt") == "package stripes 2.0"
        assert data.load_dataset(DataSpec(dataset="stripes_lt", imbalance_ratio=0.1)).counts[0] == 120
        list_datasets("100", None)
        shown = capsys.readouterr().out
        assert "from package stripes 2.0" in shown
        assert "from ltbench.data.sources.digits" in shown
        assert "imbalance_ratio is 0.01" in shown
    finally:
        monkeypatch.undo()
        data.SOURCES.forget()


def test_a_data_root_that_is_the_folder_itself_is_understood(tmp_path, use):
    use(cifar_files(tmp_path, CIFAR10))
    for root in (tmp_path, tmp_path / "cifar-10-batches-py"):
        assert data.get_source("cifar10_lt").status(root).found, root
    assert (
        data.load_dataset(DataSpec(imbalance_ratio=0.5), tmp_path / "cifar-10-batches-py").num_classes == 10
    )
