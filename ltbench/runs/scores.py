"""``scores.csv``, one row a number: from measured rows to the file and back to a table, by the schema of `score_columns`.

Everything that reads or writes scores does it here.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_string_dtype, union_categoricals

from ltbench.errors import CheckpointError, UsageError
from ltbench.files import locked, write_json
from ltbench.runs.digests import check_digest, recording
from ltbench.runs.layout import SCORED, SCORES, files_below
from ltbench.runs.score_columns import SCHEMA, as_reason, as_stored, completed, is_reason
from ltbench.runs.score_rows import in_order, superseded
from ltbench.text import checked_name, command, foreign_separator, is_name

_REQUIRED = tuple(column.name for column in SCHEMA if column.since == 1)
_BATCH = 32 << 20  # characters of rows that are parsed at once


# -- reading --------------------------------------------------------------------------------------------


def find_scores(root: Path) -> Iterator[Path]:
    """Yield every ``scores.csv`` at or below a folder, in the order of their paths."""
    yield from files_below(root, SCORES)


def read_scores(path: Path) -> pd.DataFrame:
    """Read a ``scores.csv``, refusing a file that was cut off or changed by hand into something else.

    Returns
    -------
    DataFrame with `COLUMNS`, then any that a later version added; numbers as float64, blank ones nan.

    Raises
    ------
    CheckpointError
        The file is truncated, lacks a column of the first version, or holds text where a number belongs.
    """
    advice = f"delete it and run `{command('ltbench', 'evaluate', path.parent)}`"
    try:
        text = path.read_text(encoding="utf-8-sig")
        rows = list(csv.reader(io.StringIO(text), strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CheckpointError(f"{path} is not a CSV file ({error}): {advice}") from error
    if "\0" in text:
        raise CheckpointError(f"{path} holds a NUL character, as no text does: {advice}")
    header = rows[0] if rows else []
    if mark := foreign_separator(header):
        raise CheckpointError(
            f"{path} has its columns separated by {mark}, as spreadsheets write them: {advice}"
        )
    missing = [name for name in _REQUIRED if name not in header]
    if missing:
        raise CheckpointError(f"{path} lacks the column {missing[0]!r}: {advice}")
    if len(set(header)) < len(header):
        raise CheckpointError(f"{path} has a column twice: {advice}")
    bad = next((i for i, row in enumerate(rows, 1) if len(row) != len(header)), None)
    if bad is not None or not text.endswith("\n"):
        raise CheckpointError(f"{path} is cut off at line {bad or len(rows)}: {advice}")
    try:
        table = as_stored(pd.DataFrame(rows[1:], columns=header))
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}: {advice}") from error
    for column in SCHEMA:
        if column.prose:
            for words in set(table[column.name].unique()) - {""}:
                if not is_reason(words):
                    shown = as_reason(words)[:60]
                    raise CheckpointError(f"{path}: {shown!r} is no sentence of one line: {advice}")
        elif column.kind == "text":
            for name in set(table[column.name].unique()) - {""}:
                checked_name(name, column.name, path, CheckpointError, advice)
        elif column.name != "value" and np.isinf(table[column.name]).any():
            raise CheckpointError(f"{path}: column {column.name!r} holds a number without end: {advice}")
    check_digest(path, advice)
    return table


def read_many(paths: Sequence[Path]) -> pd.DataFrame:
    """Read many ``scores.csv`` into one table, in the order of the paths; errors as `read_scores`.

    Returns
    -------
    The columns of `read_scores` with text as categories, and ``file``: the number of the path a row came from.
    """
    batches: list[pd.DataFrame] = []
    header, bodies, files, size = "", list[str](), list[int](), 0
    for i, path in enumerate(paths):
        first, body = _plain_lines(path)
        if bodies and (first != header or size > _BATCH):
            batches.append(_batch(header, bodies, files, paths))
            bodies, files, size = [], [], 0
        header, size = first, size + len(body)
        bodies.append(body)
        files.append(i)
    if bodies:
        batches.append(_batch(header, bodies, files, paths))
    for path in paths:
        check_digest(path, f"delete it and run `{command('ltbench', 'evaluate', path.parent)}`")
    return _stacked(batches)


def _plain_lines(path: Path) -> tuple[str, str]:
    """Return header and rows of a file that a plain reader reads right; "" as header for one to look at closely."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return "", ""
    first, _, body = text.partition("\n")
    names, commas = first.split(","), first.count(",")
    plain = (
        '"' not in text
        and "\0" not in text
        and "\r" not in text
        and text.endswith("\n")
        and len(set(names)) == len(names)
    )
    plain = (
        plain
        and set(_REQUIRED) <= set(names)
        and all(line.count(",") == commas for line in body.splitlines())
    )
    return (first, body) if plain else ("", "")


def _batch(header: str, bodies: list[str], files: list[int], paths: Sequence[Path]) -> pd.DataFrame:
    kinds = {column.name: column.kind for column in SCHEMA}
    if header:
        names = header.split(",")
        number = [name for name in names if kinds.get(name, "text") != "text"]
        types: dict[str, Any] = {name: "float64" if name in number else "category" for name in names}
        blank = {name: [""] for name in number}
        try:
            table = _parsed("".join(bodies), names, types, blank)
            if any(not is_string_dtype(table[n].cat.categories) for n in names if types[n] == "category"):
                # names of digits alone, as a hash may be, were read as numbers: 007, 12e45
                plain = {name: str if kind == "category" else kind for name, kind in types.items()}
                table = _parsed("".join(bodies), names, plain, blank).astype(types)
            table = completed(table).assign(file=np.repeat(files, [body.count("\n") for body in bodies]))
            table = table.astype({n: "category" for n in table if n in kinds and kinds[n] == "text"})
            if _is_sound(table):
                return table
        except ValueError:  # of one of these files: each by itself says which and where
            pass
    tables = [read_scores(paths[i]).assign(file=i) for i in files]
    table = pd.concat(tables, ignore_index=True)
    return table.astype({n: "category" for n in table if kinds.get(str(n), "text") == "text" and n != "file"})


def _parsed(
    text: str, names: list[str], types: Mapping[str, Any], blank: Mapping[str, list[str]]
) -> pd.DataFrame:
    return pd.read_csv(
        io.StringIO(text), names=names, dtype=dict(types), keep_default_na=False, na_values=dict(blank)
    )


def _is_sound(table: pd.DataFrame) -> bool:
    """Say whether names are names and numbers finite; if not, each file is read by itself, which says where."""
    for column in SCHEMA:
        if column.kind == "text":
            fits = is_reason if column.prose else is_name
            if not all(name == "" or fits(name) for name in table[column.name].cat.categories):
                return False
        elif np.isinf(table[column.name]).any():
            return False
    return True


def _stacked(batches: list[pd.DataFrame]) -> pd.DataFrame:
    """Put tables below one another; what one of them lacks is blank."""
    if len(batches) == 1:
        return batches[0]
    columns = dict.fromkeys(name for table in batches for name in table)
    out = {}
    for name in columns:
        parts = [t[name] if name in t else pd.Series([""] * len(t), dtype="category") for t in batches]
        text = isinstance(parts[0].dtype, pd.CategoricalDtype)
        out[name] = union_categoricals(parts) if text else np.concatenate([part.to_numpy() for part in parts])
    return pd.DataFrame(out)


# -- writing --------------------------------------------------------------------------------------------


def merge_scores(path: Path, table: pd.DataFrame, guard: Callable[[], None] | None = None) -> None:
    """Add rows to a ``scores.csv``; a number that is there already is replaced, nothing else is lost.

    A file to which nothing new is added keeps every byte. Of one that was deleted no request is answered any more.
    """
    with locked(path.parent):
        stored = read_scores(path) if path.exists() else None
        if stored is None:
            (path.parent / SCORED).unlink(missing_ok=True)  # else the new table would bring its notes back
        if stored is not None:
            table = as_stored(table)
            kept = stored[~superseded(stored, table)]
            table = table if kept.empty else pd.concat([kept, table], ignore_index=True)
            if in_order(table).equals(in_order(stored)):
                return  # an older file's rows may stand in another order
        write_scores(path, in_order(table), guard)


def write_scores(path: Path, table: pd.DataFrame, guard: Callable[[], None] | None = None) -> None:
    """Write a table of `COLUMNS` as ``scores.csv``: integers without a point, numbers to their last bit.

    Raises
    ------
    UsageError
        A name that no reader would take: the file stays as it was.
    """
    kinds: dict[str, str] = {column.name: column.kind for column in SCHEMA}
    table = completed(table)
    for column in SCHEMA:
        if column.kind == "text" and not column.prose:
            for name in {_as_text(value, "text") for value in table[column.name].unique()} - {""}:
                checked_name(name, column.name, path, UsageError, "give it another and score again")
    columns = [[_as_text(v, kinds.get(str(name), "text")) for v in table[name]] for name in table]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows(zip(*columns, strict=True))
    content = text.getvalue()
    if path.exists() and path.read_text(encoding="utf-8") == content:
        return
    with recording(path, guard) as temporary:
        temporary.write_text(content, encoding="utf-8")


def _as_text(value: Any, kind: str) -> str:
    if isinstance(value, str):
        return value
    if value is None or value != value:  # nan
        return ""
    if kind == "text":
        return str(value)
    number = float(value)
    return str(int(number)) if kind == "integer" and number.is_integer() else repr(number)


# -- which requests are answered -----------------------------------------------------------------------------


def scored_requests(folder: Path) -> dict[str, Any]:
    """Return the requests (key -> `ScoreSpec` as stored) whose numbers a sample set's ``scores.csv`` has.

    None where that file was deleted, or where the list itself is damaged: scoring again costs minutes.
    """
    if not (folder / SCORES).exists():
        return {}
    try:
        return dict(json.loads((folder / SCORED).read_text(encoding="utf-8"))["requests"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def record_requests(
    folder: Path, requests: Mapping[str, Any], guard: Callable[[], None] | None = None
) -> None:
    """Note, beside what is noted, that a sample set's ``scores.csv`` has all numbers of some requests.

    This ends their score stages.
    """
    with locked(folder):  # another process may have noted its own since the caller looked
        write_json(folder / SCORED, {"requests": scored_requests(folder) | dict(requests)}, guard)
