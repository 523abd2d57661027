"""Prepared folders: told apart by their images' content, found again, read in every format."""

import numpy as np
import pytest
from image_folders import prepared, write_counted_classes, write_image, write_named_classes
from PIL import Image

import ltbench.data.dataset as data
from ltbench.data.prepare.prepare import prepare
from ltbench.data.prepare.verify import verify
from ltbench.errors import DataMissing, UsageError
from ltbench.specs import DataSpec


def test_several_prepared_folders_are_told_apart_by_content(tmp_path):
    hashes = {}
    for name, start in (("x", 0), ("y", 1000)):
        write_counted_classes(tmp_path / name, [5, 5], start=start)
        hashes[name] = prepare("folder_lt", tmp_path / name, tmp_path, image_size=8, workers=1).hash
    assert hashes["x"] != hashes["y"]
    spec = DataSpec(dataset="folder_lt", imbalance_ratio=1.0)
    with pytest.raises(
        UsageError, match=f"choose by name .* or by content .*: there is .*at 8 pixels, {hashes['x'][:8]}"
    ):
        data.resolve_data(spec, tmp_path)
    resolved = data.resolve_data(spec.model_copy(update={"content": hashes["y"][:8]}), tmp_path)
    assert (resolved.content, resolved.image_size) == (hashes["y"], 8)
    assert data.load_dataset(resolved, tmp_path).manifest["source"]["prepared"] == hashes["y"]
    with pytest.raises(DataMissing, match="content 0123 is not prepared"):
        data.resolve_data(spec.model_copy(update={"content": "0123"}), tmp_path)
    with pytest.raises(
        DataMissing, match=r"folder_lt at 32x32 is not prepared under .*FOLDER --image-size 32`$"
    ):
        data.load_dataset(spec.model_copy(update={"image_size": 32}), tmp_path)
    with pytest.raises(UsageError, match="digits_lt has none"):
        data.resolve_data(DataSpec(dataset="digits_lt", content="abc"), tmp_path)


def test_the_hash_says_what_the_images_are_not_where_they_were(tmp_path):
    one, other = (write_counted_classes(tmp_path / where / "src", [6, 5]) for where in ("one", "other"))
    first = prepare("folder_lt", one, tmp_path / "p", image_size=8, workers=1)
    second = prepare("folder_lt", other, tmp_path / "q", image_size=8, workers=1)
    assert first.hash == second.hash
    write_image(other / "a" / "0000.jpg", 77)
    assert prepare("folder_lt", other, tmp_path / "r", image_size=8, workers=1).hash != first.hash


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


def test_names_are_no_part_of_the_identity(tmp_path):
    source = write_named_classes(tmp_path / "src", ["cat", "dog"])
    made, _ = prepared(tmp_path, source)
    for i, file in enumerate(sorted(source.rglob("*.png"))):
        file.rename(file.with_name(f"other{100 - i}.png"))
    assert prepare("folder_lt", source, tmp_path / "again", image_size=16, workers=1).hash == made.hash


def test_a_folder_of_the_first_format_is_read_and_not_scored_against_itself(tmp_path):
    """Such a folder's reference were its training images; its name is in results, so it stays readable."""
    import json

    from ltbench.data.prepare.folder import identity_hash

    made, _ = prepared(tmp_path, write_named_classes(tmp_path / "src", ["cat", "dog"]))
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
