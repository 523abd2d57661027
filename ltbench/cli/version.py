"""How this ltbench was built, as `ltbench --version` prints it: version, commit, Python and libraries."""

from __future__ import annotations

import json
import platform
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

import ltbench
from ltbench.runs.provenance import code_version

_LIBRARIES = ("torch", "torchvision", "diffusers", "numpy", "scipy", "pillow")  # those that decide a number


def version_text() -> str:
    """Return four lines: version, commit and place, Python and system, libraries. Imports no torch."""
    code = code_version()
    commit = code.get("git_commit") or _installed_commit()
    changed = ", with changes that are not committed" if code.get("git_dirty") else ""
    other = "a checkout of which git tells no commit" if "git_commit" in code else "a release, not a checkout"
    built = f"commit {commit[:12]}{changed}" if commit else other
    libraries = ", ".join(f"{name} {_version(name)}" for name in _LIBRARIES)
    return "\n".join(
        (
            f"ltbench {code['ltbench']}",
            f"{built}, in {Path(ltbench.__file__).parent}",
            f"Python {platform.python_version()} on {platform.platform()}",
            libraries,
        )
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _installed_commit() -> str | None:
    """Return the commit that `pip install git+https://...` recorded, if it was installed so."""
    try:
        recorded = distribution("ltbench").read_text("direct_url.json")
    except PackageNotFoundError:
        return None
    commit = json.loads(recorded or "{}").get("vcs_info", {}).get("commit_id")
    return commit if isinstance(commit, str) else None
