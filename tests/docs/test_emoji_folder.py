"""The example that makes class folders of a Debian package's emoji, on a package of the same layout."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

import ltbench.data.dataset as data
from ltbench.data.prepare.prepare import prepare
from ltbench.specs import DataSpec

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "emoji" / "make_emoji_folder.py"


def package(root):
    gem = root / "usr/share/rubygems-integration/all/gems/gemojione-3.3.0"
    (gem / "assets" / "png").mkdir(parents=True)
    (gem / "config").mkdir()
    index = {}
    for category, count in (("people", 30), ("food", 20), ("modifier", 5)):
        for i in range(count):
            name = f"{category}{i}"
            index[name] = {"unicode": f"1f{len(index):03x}", "category": category}
            pixels = np.random.default_rng(len(index)).integers(0, 256, (64, 64, 4), np.uint8)
            Image.fromarray(pixels, "RGBA").save(gem / "assets" / "png" / f"1F{len(index) - 1:03X}.png")
    (gem / "config" / "index.json").write_text(json.dumps(index))
    return root


def run(*arguments):
    return subprocess.run(
        [sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_emoji_become_a_folder_that_prepare_reads(tmp_path):
    done = run(package(tmp_path / "unpacked"), "--out", tmp_path / "emoji")
    assert done.returncode == 0
    assert done.stdout.startswith("people 30, food 20\n")
    made = prepare("folder_lt", tmp_path / "emoji", tmp_path, image_size=16, workers=1)
    assert "50 with transparency laid on white" in made.notes
    dataset = data.load_dataset(DataSpec(dataset="folder_lt", profile="asis"), tmp_path)
    assert dataset.class_names == ("food", "people")
    assert dataset.counts.tolist() == [12, 22]


def test_a_package_that_is_not_there_is_one_sentence(tmp_path):
    done = run(tmp_path)
    assert done.returncode == 1
    assert "apt-get download ruby-gemojione" in done.stderr
    assert "Traceback" not in done.stderr
