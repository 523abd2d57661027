"""CIFAR from the hub's Parquet files: the same arrays, order and digests as from the authors' pickles."""

import io
import json
import pickle
import sys

import numpy as np
import pytest
from PIL import Image
from tiny_cifar import cifar_files

import ltbench.data.dataset as data
from ltbench.data.sources.cifar import CIFAR10, CIFAR100
from ltbench.errors import DataCorrupt, DataMissing, UsageError
from ltbench.specs import DataSpec


def hub_files(folder, tiny, pickles, parts=1, fine=None):
    """Write the pickles' content as the hub's Parquet files: img {bytes, path}, and label or fine and coarse label."""
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    fine = tiny.num_classes > 10 if fine is None else fine
    folder.mkdir(parents=True)

    def column(labels):
        names = [f"class_{k}" for k in range(tiny.num_classes)]
        return pa.array(labels, pa.int64()), {"names": names, "_type": "ClassLabel"}

    for split, names in (
        ("train", tiny.dataset_class().train_list),
        ("test", tiny.dataset_class().test_list),
    ):
        pixels, labels = [], []
        for name, _ in names:
            with (pickles / name).open("rb") as handle:
                content = pickle.load(handle)
            pixels += [Image.fromarray(row.reshape(3, 32, 32).transpose(1, 2, 0)) for row in content["data"]]
            labels += content.get("labels", content.get("fine_labels"))
        files = []
        for image in pixels:
            buffer = io.BytesIO()
            image.save(buffer, "PNG")
            files.append({"bytes": buffer.getvalue(), "path": None})
        image_type = pa.struct({"bytes": pa.binary(), "path": pa.string()})
        array, feature = column(labels)
        columns = {"img": pa.array(files, image_type), "fine_label" if fine else "label": array}
        features = {"img": {"_type": "Image"}, "fine_label" if fine else "label": feature}
        if fine:
            columns["coarse_label"] = pa.array([k // 5 for k in labels], pa.int64())
        info = json.dumps({"info": {"features": features}}).encode()
        table = pa.table(columns).replace_schema_metadata({b"huggingface": info})
        cut = -(-len(labels) // parts)
        for i in range(parts):
            parquet.write_table(table.slice(i * cut, cut), folder / f"{split}-{i:05d}-of-{parts:05d}.parquet")
    return folder


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("source", [CIFAR10, CIFAR100], ids=lambda s: s.name)
def test_cifar_from_the_hub_is_cifar_from_the_pickles(tmp_path, use, source, parts):
    tiny = use(cifar_files(tmp_path / "pickles", source))
    name = source.name.removesuffix("_lt")
    folder = tmp_path / "hub" / name / source.hub_folder
    hub_files(folder, tiny, tmp_path / "pickles" / source.folder, parts)
    spec = DataSpec(dataset=source.name, imbalance_ratio=0.5)
    one, other = data.load_dataset(spec, tmp_path / "pickles"), data.load_dataset(spec, tmp_path / "hub")
    for which in ("train", "reference", "heldout"):
        assert np.array_equal(getattr(one, which).images, getattr(other, which).images), which
        assert np.array_equal(getattr(one, which).labels, getattr(other, which).labels), which
        assert getattr(one, which).score_sha256 == getattr(other, which).score_sha256
    assert one.class_names == other.class_names
    assert one.manifest_hash == other.manifest_hash
    assert set(other.manifest["source"]["read_from"]) == {path.name for path in folder.iterdir()}
    assert data.load_dataset(spec, folder).manifest_hash == one.manifest_hash  # the folder itself was given
    small = spec.model_copy(update={"image_size": 16})
    assert (
        data.load_dataset(small, tmp_path / "hub").train.sha256
        == data.load_dataset(small, tmp_path / "pickles").train.sha256
    )


def test_another_pixel_on_the_hub_is_another_manifest(tmp_path, use):
    tiny = use(cifar_files(tmp_path / "pickles", CIFAR10))
    spec = DataSpec(imbalance_ratio=0.5)
    whole = data.load_dataset(spec, tmp_path / "pickles").manifest_hash
    batch = tmp_path / "pickles" / tiny.folder / "data_batch_5"
    with batch.open("rb") as handle:
        content = pickle.load(handle)
    content["data"][0, 0] ^= 1
    batch.write_bytes(pickle.dumps(content, protocol=2))
    hub_files(tmp_path / "hub" / "cifar10" / "plain_text", tiny, tmp_path / "pickles" / tiny.folder)
    assert data.load_dataset(spec, tmp_path / "hub").manifest_hash != whole


def test_hub_files_that_are_not_whole_are_named(tmp_path, use, monkeypatch):
    tiny = use(cifar_files(tmp_path / "pickles", CIFAR10))
    pickles, spec = tmp_path / "pickles" / tiny.folder, DataSpec(imbalance_ratio=0.5)

    def refused(name, kind, message, change):
        root = tmp_path / name
        folder = hub_files(root / "plain_text", tiny, pickles, 2, fine=name == "fine")
        change(folder)
        with pytest.raises(kind, match=message):
            data.load_dataset(spec, root)

    train = "train-00000-of-00002.parquet"
    refused("fine", DataCorrupt, "no column label; it has img, fine_label", lambda _: None)
    refused("part", DataMissing, f"{train} is missing beside", lambda folder: (folder / train).unlink())
    refused(
        "cut", DataCorrupt, "truncated or no Parquet", lambda f: (f / train).write_bytes(b"PAR1" + b"\0" * 40)
    )
    refused("test", DataMissing, "no test-", lambda f: [p.unlink() for p in f.glob("test-*")])
    refused("less", DataCorrupt, "its training images are not CIFAR-10", lambda f: _without_a_row(f / train))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"is read by pyarrow: pip install 'ltbench\[parquet\]'"):
        data.load_dataset(spec, tmp_path / "less")


def _without_a_row(path):
    from pyarrow import parquet

    parquet.write_table(parquet.read_table(path).slice(1), path)
