"""Other people's packages: each example is built, installed and used beside the package's own things."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGES = Path(__file__).resolve().parents[2] / "examples" / "plugins"
KINDS = {
    "method": ("methods", "debiased"),
    "dataset": ("datasets", "bars_lt"),
    "metric": ("metrics", "brightness"),
    "extractor": ("extractors", "thumbnail"),
    "sampler": ("samplers", "euler"),
    "guidance": ("guidance", "tail_interval"),
}
USE = """
import json, logging, sys
logging.basicConfig()
import ltbench as lt
from ltbench.method.registry import create
out = {}
for kind, name in json.loads(sys.argv[1]):
    out[kind] = lt.available(kind).set_index("name")["origin"].get(name)
bars = lt.load_dataset("bars_lt", imbalance_ratio=0.1)
out["counts"] = bars.counts.tolist()
table = lt.score(bars.heldout.images, bars.heldout.labels, bars, metrics="brightness,frechet", extractors="thumbnail", device="cpu")
overall = table[table["scope"] == "overall"].set_index("metric")["value"]
out["gap"], out["distance"] = overall["brightness_gap"], overall["frechet"]
out["composition"] = create("coral+debiased").name
settings = {"model.size": "tiny", "train.steps": 2, "sample.steps": 3, "sample.per_class": 4, "sample.sampler": "euler",
    "guidance": 1.0, "sample.rule": "tail_interval", "sample.rule_values": "tail=3"}
study = lt.load_study(None, dataset="bars_lt", methods="debiased", imbalance_ratio=0.1,
    **settings, **{"train.flip": False, "score.metrics": ["brightness"], "score.extractors": ["thumbnail"]})
(run,) = lt.run(study, "runs", workers=1, device="cpu", progress=False)
scores = run.scores().query("scope == 'overall'")
out["numbers"] = sorted(scores["metric"])[:1]
out["rule"], out["nfe"] = scores["rule"].iloc[0], scores["nfe"].iloc[0]
print(json.dumps(out))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with all example packages installed."""
    work = tmp_path_factory.mktemp("packages")
    for kind in KINDS:
        shutil.copytree(
            PACKAGES / kind, work / kind
        )  # setuptools leaves its build folder in the tree it builds
    install = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", "install", "--no-deps"]
    install += ["--no-build-isolation", "--target", str(work / "site"), *(str(work / kind) for kind in KINDS)]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return work / "site"


def python(site, folder, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_each_example_package_is_found_listed_and_used(site, tmp_path):
    out = json.loads(python(site, tmp_path, "-c", USE, json.dumps(list(KINDS.values()))).splitlines()[-1])
    assert {out[kind].partition(" 1.0")[0] for kind, _ in KINDS.values()} == {
        f"package ltbench-{name}"
        for name in ("debias", "bars", "brightness", "thumbnail", "euler", "tail-interval")
    }
    assert out["counts"][0] == 40
    assert out["counts"][-1] == 4
    assert 0 <= out["gap"] < 5
    assert 0 < out["distance"] < 1
    assert out["composition"] == "coral+debiased"
    assert out["numbers"] == ["brightness_gap"]
    assert out["rule"] == "tail_interval (tail 3)"
    assert 3 < out["nfe"] < 6
    assert (4 * out["nfe"]).is_integer()  # a mean over four classes, each guided at some steps


def test_one_command_lists_them_all(site, tmp_path):
    shown = python(site, tmp_path, "-m", "ltbench", "plugins")
    for _, name in KINDS.values():
        assert name in shown
    assert "ltbench-bars 1.0" in shown
    assert "ltbench.samplers" in shown
