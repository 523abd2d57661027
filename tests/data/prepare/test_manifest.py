"""The manifest of a prepared folder."""

import json

from image_folders import write_counted_classes

from ltbench.data.prepare.prepare import prepare


def test_manifest_is_readable_and_whole(tmp_path):
    made = prepare(
        "folder_lt", write_counted_classes(tmp_path / "src", [5, 5]), tmp_path, image_size=8, workers=1
    )
    manifest = json.loads((made.folder / "manifest.json").read_text())
    assert manifest["identity"]["sets"]["train"]["counts"] == [3, 3]
    assert manifest["identity"]["resampling"] == "centre crop to a square, Pillow Lanczos"
    assert manifest["made"]["from"] == str(tmp_path / "src")
    assert str(tmp_path) not in json.dumps(manifest["identity"])
