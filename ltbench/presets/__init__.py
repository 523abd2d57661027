"""The presets that come with the package: study files a person can read, one a question."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any


def load_all() -> dict[str, dict[str, Any]]:
    """Return every preset's name and parsed content, in alphabetical order."""
    folder = Path(__file__).parent
    files = sorted(folder.rglob("*.toml"))
    return {
        f.relative_to(folder).with_suffix("").as_posix(): tomllib.loads(f.read_text(encoding="utf-8"))
        for f in files
    }


def default_preset(dataset: str) -> str | None:
    """Return the preset that a data set named alone stands for: the one whose ``default_for`` names it."""
    for name, content in load_all().items():
        if dataset in content.get("default_for", ()):
            return name
    return None
