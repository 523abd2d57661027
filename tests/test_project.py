"""What stands around the code hangs together: versions, extras, hooks, workflows and the Dockerfile."""

import json
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
