"""The wheel works outside the tree, and the README's method works in somebody else's package."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]


def run(*command, cwd, **environment):
    done = subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder that holds the unpacked wheel of this tree."""
    work = tmp_path_factory.mktemp("wheel")
    # A copy, because setuptools leaves its build folder in the tree it builds.
    copy = work / "source"
    files = run("git", "ls-files", "-co", "--exclude-standard", cwd=ROOT).split("\n")
    for name in filter(None, files):
        if name.startswith(("tests/", "benchmarks/")) or not (ROOT / name).is_file():
            continue
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes((ROOT / name).read_bytes())
    run(*PIP, "wheel", "--no-deps", "--no-build-isolation", "-w", work, copy, cwd=work)
    (wheel,) = work.glob("ltbench-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(work / "site")
    return work / "site"


@pytest.fixture(scope="module")
def plugin(site, tmp_path_factory):
    """The README's method as a package of its own, installed beside the wheel."""
    blocks = re.findall(r"```(python|toml)\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)
    work = tmp_path_factory.mktemp("plugin")
    names = {"python": "my_method.py", "toml": "pyproject.toml"}
    for language, text in blocks:
        (work / names[language]).write_text(text, encoding="utf-8")
    run(*PIP, "install", "--no-deps", "--no-build-isolation", "--target", site, work, cwd=work)
    return "debiased"


def test_the_wheel_holds_every_file_of_the_package(site):
    held = {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()}
    beside = ("methods/", "baselines/", "results/published/")  # installed inside the package: see setup.py
    files = run("git", "ls-files", "-co", "--exclude-standard", "ltbench", *beside, cwd=ROOT).split()
    ours = {f"ltbench/{name.removeprefix('results/')}" if name.startswith(beside) else name for name in files}
    assert {"ltbench/methods/coral.py", "ltbench/study/presets/demo.toml"} <= ours
    assert ours - held == set()
    assert not any(name.startswith(("tests/", "methods/", "baselines/", "results/")) for name in held)


def test_the_readmes_method_runs_from_the_wheel_beside_the_others(site, plugin, tmp_path):
    environment = {"PYTHONPATH": str(site)}
    code = "import ltbench, ltbench.methods; print(ltbench.__file__, ltbench.methods.__file__)"
    places = run(sys.executable, "-c", code, cwd=tmp_path, **environment).split()
    assert all(place.startswith(str(site)) for place in places)

    command = [sys.executable, "-m", "ltbench.cli.app", "run", "--methods", f"ddpm,{plugin},coral+{plugin}"]
    short = [
        "train.steps=3",
        "train.warmup_steps=0",
        "sample.steps=2",
        "sample.per_class=8",
        "debiased.power=1",
    ]
    shown = run(*command, *(word for item in short for word in ("--set", item)), cwd=tmp_path, **environment)
    assert "9 done of 9 stages" in shown
    assert "coral+debiased" in {
        part
        for path in tmp_path.glob("runs/*/spec.json")
        for part in re.findall(r'"name": "(.*?)"', path.read_text())
    }
    assert "debiased.power" in run(
        sys.executable, "-m", "ltbench.cli.app", "methods", cwd=tmp_path, **environment
    )
