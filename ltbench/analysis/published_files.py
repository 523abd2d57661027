"""``results/published/*.csv``: the papers' numbers as people typed them, to one checked table.

A file that a spreadsheet saved anew, or a line with a decimal comma, would put numbers under other columns:
every line is checked, and what cannot be meant is refused by file, line and column.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

import pandas as pd

import ltbench
from ltbench.errors import DataCorrupt
from ltbench.text import foreign_separator

_COLUMNS = ["source", "table", "dataset", "imbalance_ratio", "method", "metric", "value", "confidence"]
PROTOCOL = ["sampler", "steps", "images", "extractor", "image_size"]  # blank: the source does not state it


def load_published() -> pd.DataFrame:
    """Return every published number, one a row, with the columns of ``results/published/*.csv``."""
    frames = [read_published(file) for file in sorted(_published_files(), key=lambda f: f.name)]
    return pd.concat(frames, ignore_index=True)


def read_published(file: Traversable) -> pd.DataFrame:
    """Read one file of published numbers, which people write by hand.

    Returns
    -------
    DataFrame with the columns of ``results/published/*.csv``: ``value`` and ``imbalance_ratio`` float64 (nan: not
    stated), the others text.

    Raises
    ------
    DataCorrupt
        One sentence that names file, line and column.
    """
    mend = "mend it, or restore the file from the repository"
    try:
        typed = file.read_text(encoding="utf-8-sig").splitlines()
        if mark := foreign_separator(typed[0].split(",") if typed else []):
            raise DataCorrupt(
                f"{file} has its columns separated by {mark}: save it with commas, and decimals with points"
            )
        rows = list(csv.reader(typed, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataCorrupt(f"{file} is no CSV file in UTF-8 ({error}): {mend}") from error
    if any("\0" in field for row in rows for field in row):
        raise DataCorrupt(f"{file} holds a NUL character, as no text does: {mend}")
    header = rows[0] if rows else []
    if missing := [c for c in _COLUMNS if c not in header]:
        raise DataCorrupt(f"{file} lacks the column {missing[0]!r}: {mend}")
    numbers: dict[str, list[float]] = {"value": [], "imbalance_ratio": []}
    stated: dict[tuple[str, ...], int] = {}
    lines = [(line, row) for line, row in enumerate(rows[1:], 2) if row]
    for line, row in lines:
        if len(row) != len(header):
            raise DataCorrupt(
                f"{file} has {len(row)} fields in line {line} and {len(header)} columns: {mend}"
            )
        fields = dict(zip(header, row, strict=True))
        for name, out in numbers.items():
            out.append(_number(fields[name], blank=name == "imbalance_ratio"))
            low, high = (0, 1) if name == "imbalance_ratio" else (-math.inf, math.inf)
            if math.isinf(out[-1]) or not (math.isnan(out[-1]) or low < out[-1] <= high):
                what = "a ratio in (0, 1]" if name == "imbalance_ratio" else "a number"
                raise DataCorrupt(
                    f"{file}: {name!r} in line {line} is {fields[name][:40]!r}, not {what}: {mend}"
                )
        key = tuple(
            fields.get(name, "") for name in (*_COLUMNS, *PROTOCOL) if name not in ("value", "confidence")
        )
        if key in stated:
            raise DataCorrupt(f"{file} states one number in lines {stated[key]} and {line}: {mend}")
        stated[key] = line
    frame = pd.DataFrame([row for _, row in lines], columns=header, dtype=str).assign(**numbers)
    return frame.reindex(columns=[*_COLUMNS, *PROTOCOL]).fillna(dict.fromkeys(PROTOCOL, ""))


def _number(field: str, blank: bool) -> float:
    """Return a field's number; nan for a blank one that may be blank, infinity for what is none."""
    if not field.strip() and blank:
        return math.nan
    try:
        number = float(field)
    except ValueError:
        return math.inf
    return math.inf if math.isnan(number) else number


def _published_files() -> Iterable[Traversable]:
    """Find the files in the installed package, or in the checkout that an editable install points to."""
    try:
        found = [f for f in resources.files("ltbench.published").iterdir() if f.name.endswith(".csv")]
    except ModuleNotFoundError:
        found = []
    checkout = Path(ltbench.__file__).resolve().parents[1] / "results" / "published"
    found = found or list(checkout.glob("*.csv"))
    if not found:
        raise DataCorrupt("the published tables are not installed: install ltbench again")
    return found
