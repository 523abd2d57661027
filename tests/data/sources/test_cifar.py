"""CIFAR-10 and CIFAR-100: folder, archive and download; what is broken is never unpickled."""

import hashlib
import io
import pickle
import tarfile
from dataclasses import replace

import numpy as np
import pytest
from tiny_cifar import NOWHERE, cifar_files, tiny_cifar

import ltbench.data.dataset as data
from ltbench.data.sources.cifar import CIFAR10, CIFAR100
from ltbench.errors import DataCorrupt, DataMissing
from ltbench.specs import DataSpec


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


def test_a_data_root_that_is_the_folder_itself_is_understood(tmp_path, use):
    use(cifar_files(tmp_path, CIFAR10))
    for root in (tmp_path, tmp_path / "cifar-10-batches-py"):
        assert data.get_source("cifar10_lt").status(root).found, root
    assert (
        data.load_dataset(DataSpec(imbalance_ratio=0.5), tmp_path / "cifar-10-batches-py").num_classes == 10
    )


def test_a_link_of_the_right_name_to_a_folder_of_another_is_read(tmp_path, use):
    tiny = use(cifar_files(tmp_path, CIFAR10))
    (tmp_path / "real").mkdir()
    (tmp_path / tiny.folder).rename(tmp_path / "real" / "elsewhere")
    (tmp_path / tiny.folder).symlink_to("real/elsewhere")
    assert data.load_dataset(DataSpec(imbalance_ratio=0.5), tmp_path).num_classes == 10
    (tmp_path / "link").symlink_to(tmp_path / "real" / tiny.folder)
    (tmp_path / "real" / "elsewhere").rename(tmp_path / "real" / tiny.folder)
    assert data.load_dataset(DataSpec(imbalance_ratio=0.5), tmp_path / "link").num_classes == 10


def test_who_unpacks_second_takes_what_the_first_has_unpacked(tmp_path, use, monkeypatch):
    """The rename onto a folder that is there and not empty ended in an error."""
    tiny = use(cifar_files(tmp_path, CIFAR10))
    (tmp_path / tiny.folder).rename(tmp_path / "first")
    extract = tarfile.TarFile.extractall

    def slow(self, *arguments, **options):
        extract(self, *arguments, **options)
        (tmp_path / "first").rename(tmp_path / tiny.folder)

    monkeypatch.setattr(tarfile.TarFile, "extractall", slow)
    assert data.load_dataset(DataSpec(imbalance_ratio=0.5), tmp_path).num_classes == 10
    assert not (tmp_path / "first").exists()
