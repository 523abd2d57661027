"""What stands around the code hangs together: versions, extras, hooks, workflows and the Dockerfile."""

import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

import ltbench

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_version_is_one_everywhere_and_the_changelog_has_it():
    assert PROJECT["version"] == ltbench.__version__
    assert yaml.safe_load(text("CITATION.cff"))["version"] == ltbench.__version__
    assert f"## [{ltbench.__version__}]" in text("CHANGELOG.md")
    assert "## [Unreleased]" in text("CHANGELOG.md")


def test_changelog_sections_are_keep_a_changelogs():
    kinds = set(re.findall(r"^### (.+)$", text("CHANGELOG.md"), re.M))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security", "Numbers"}


@pytest.mark.parametrize(
    "path",
    [*sorted((ROOT / ".github").rglob("*.yml")), ROOT / ".pre-commit-config.yaml"],
    ids=lambda p: p.name,
)
def test_every_yaml_file_is_read(path):
    assert isinstance(yaml.safe_load(path.read_text(encoding="utf-8")), dict)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.name)
def test_workflows_need_only_jobs_that_are_there_and_pin_their_actions(path):
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
    for job in jobs.values():
        needs = job.get("needs", [])
        assert {needs} if isinstance(needs, str) else set(needs) <= set(jobs)
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step)
            assert "@" in step.get("uses", "@")


def test_linux_is_tested_on_each_python_of_the_classifiers():
    matrix = yaml.safe_load(text(".github/workflows/test.yml"))["jobs"]["linux"]["strategy"]["matrix"]
    stated = {c.rsplit(" ", 1)[1] for c in PROJECT["classifiers"] if re.search(r"Python :: 3\.\d+$", c)}
    assert set(matrix["python"]) == stated
    assert PROJECT["requires-python"] == ">=" + min(stated, key=lambda v: int(v.split(".")[1]))


def test_extras_that_files_install_are_declared():
    extras = set(PROJECT["optional-dependencies"])
    used = set()
    for path in (
        *WORKFLOWS,
        ROOT / "Dockerfile",
        ROOT / ".devcontainer/devcontainer.json",
        ROOT / "Makefile",
    ):
        for found in re.findall(r"'(?:ltbench|\.)\[([a-z,]+)\]'", path.read_text(encoding="utf-8")):
            used |= set(found.split(","))
    assert {"dev", "docs", "track"} <= used <= extras


def test_the_docker_image_copies_what_the_package_is_made_of():
    copied = {
        name for line in re.findall(r"^COPY (.+)$", text("Dockerfile"), re.M) for name in line.split()[:-1]
    }
    assert all((ROOT / name).exists() for name in copied)
    assert {"ltbench", "methods", "baselines", "results/published", "pyproject.toml", "setup.py"} <= copied
    let_in = {line[1:] for line in text(".dockerignore").splitlines() if line.startswith("!")}
    assert copied == let_in


def test_a_bind_mount_of_the_docker_image_can_be_written():
    """Docker makes a folder that is missing as root, and the image's user may have another number than the caller."""
    made, runs = text("Dockerfile").split("FROM")[0].rsplit("docker run", 1)
    assert "mkdir -p runs" in made
    assert '--user "$(id -u):$(id -g)"' in runs
    assert re.search(r"mkdir -m 1777 /work\n.*HOME=/work USER=", text("Dockerfile"), re.S)


def _git(folder, *words):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *identity, *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("changed", "verified"),
    [
        (["results/one/scores.csv"], ["results/one"]),
        (["results/second/two/report/report.md"], ["results/second/two"]),
        (["results/sécond/[t] wo/scores.csv"], ["results/sécond/[t] wo"]),
        (["results/one/new", "results/second/two/new"], ["results/one", "results/second/two"]),
        (["results/README.md", "README.md"], []),
    ],
)
def test_the_results_workflow_verifies_every_bundle_that_changed_and_no_other(tmp_path, changed, verified):
    change, bin_ = tmp_path / "change", tmp_path / "bin"
    for folder in ("one", "second/two", "sécond/[t] wo", "tother"):
        (change / "results" / folder).mkdir(parents=True)
        (change / "results" / folder / "bundle.json").write_text("{}")
    _git(change, "init", "-q")
    _git(change, "add", ".")
    _git(change, "commit", "-qm", "base")
    base = _git(change, "rev-parse", "HEAD")
    for name in changed:
        (change / name).parent.mkdir(parents=True, exist_ok=True)
        (change / name).write_text("changed")
    _git(change, "add", ".")
    _git(change, "commit", "-qm", "change")
    bin_.mkdir()
    said, fails = tmp_path / "said", tmp_path / "fails"
    (bin_ / "ltbench").write_text(f'#!/bin/sh\necho "$1 $2" >> {said}\ncat > /dev/null\ntest ! -e {fails}\n')
    (bin_ / "ltbench").chmod(0o755)
    steps = yaml.safe_load(text(".github/workflows/results.yml"))["jobs"]["verify"]["steps"]
    (step,) = [step for step in steps if step.get("name") == "Verify what changed"]
    shell = {"bash": ["bash", "-eo", "pipefail", "-c"], None: ["bash", "-ec"]}[step.get("shell")]
    environment = {**os.environ, "PATH": f"{bin_}:{os.environ['PATH']}", "BASE": base}

    def run():
        return subprocess.run([*shell, step["run"]], cwd=tmp_path, env=environment, check=False).returncode

    assert run() == 0
    lines = said.read_text().splitlines() if said.exists() else []
    assert sorted(lines) == [f"verify {name}" for name in verified]
    fails.touch()
    assert (run() == 0) == (not verified)
    environment["BASE"] = "0" * 40  # what cannot be compared is not waved through
    assert run() != 0


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_the_league_is_of_every_committed_study_once():
    done = subprocess.run(["make", "-n", "league"], cwd=ROOT, capture_output=True, text=True, check=True)
    (line,) = [line for line in done.stdout.splitlines() if " site " in line]
    folders = [word for word in line.split() if word.startswith("results/")]
    names = [Path(folder).name for folder in folders]
    assert len(set(names)) == len(names)  # as `ltbench site` asks
    assert set(folders) >= {
        str(path.parent.relative_to(ROOT)) for path in ROOT.glob("results/second/*/bundle.json")
    }
    assert set(names) == {path.parent.name for path in (ROOT / "results").rglob("bundle.json")}


def test_the_dev_container_is_json():
    assert "image" in json.loads(text(".devcontainer/devcontainer.json"))


def _tracked():
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def test_no_tracked_file_is_larger_than_the_hook_lets_in():
    hooks = {h["id"]: h for r in yaml.safe_load(text(".pre-commit-config.yaml"))["repos"] for h in r["hooks"]}
    large = hooks["check-added-large-files"]
    limit = 1000 * int(large["args"][0].partition("=")[2])
    checked = [name for name in _tracked() if not re.search(large["exclude"], name)]
    assert [name for name in checked if (ROOT / name).stat().st_size > limit] == []
    assert {"ruff", "ruff-format", "codespell", "mypy"} <= set(hooks)
