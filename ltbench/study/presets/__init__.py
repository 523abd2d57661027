"""The presets that come with the package: study files a person can read, one a question."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from ltbench.data.longtail import read_ratio
from ltbench.errors import UsageError, nearest
from ltbench.files import user_path


def preset_folder() -> Path:
    """Return the folder of the presets that come with the package."""
    return Path(__file__).resolve().parent


def preset_names() -> list[str]:
    """Return the names of the presets that come with the package, ``paper/...`` and the like included."""
    folder = preset_folder()
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.toml"))


def find_preset(preset: str | Path) -> Path:
    """Return the file of a preset's name or of a path to a TOML file.

    Raises
    ------
    UsageError
        Neither a preset's name nor a TOML file.
    """
    name = str(preset)
    if name in preset_names():
        return preset_folder() / f"{name}.toml"
    path = user_path(preset)
    if path.is_file():
        return path
    if path.suffix == ".toml":
        raise UsageError(f"no study file {name}: give the path of a TOML file or a preset's name")
    inside = [known for known in preset_names() if name.casefold() in known]
    close = (
        f"; those with that word: {', '.join(inside)}" if inside and name else nearest(name, preset_names())
    )
    raise UsageError(f"unknown preset {name!r}{close}")


def load_all() -> dict[str, dict[str, Any]]:
    """Return every preset's name and parsed content, in alphabetical order."""
    folder = preset_folder()
    return {
        name: tomllib.loads((folder / f"{name}.toml").read_text(encoding="utf-8")) for name in preset_names()
    }


def default_preset(dataset: str, ratio: str | None = None) -> str | None:
    """Return the preset that a data set named alone stands for: the one whose ``default_for`` names it.

    Where `ratio` is one imbalance ratio that a preset beside it (as ``paper/cifar10_lt-r0.001``) is made for,
    that one: the papers' guidance differs from cell to cell.
    """
    presets = load_all()
    preset = next(
        (name for name, content in presets.items() if dataset in content.get("default_for", ())), None
    )
    if preset is None or ratio is None or "/" not in preset:
        return preset
    for name, content in presets.items():
        data = content.get("data", {})
        beside = name.rpartition("/")[0] == preset.rpartition("/")[0] and data.get("dataset") == dataset
        if beside and _is(ratio, data.get("imbalance_ratio")):
            return name
    return preset


def _is(text: str, value: float | None) -> bool:
    """Tell whether a flag's text is this one number, however it is written."""
    try:
        return float(str(read_ratio(text)[0])) == value
    except (ValueError, UsageError):  # a list, or what the grid will refuse
        return False
