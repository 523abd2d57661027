"""``train.csv``: from the mean loss terms of the last steps to a row of the log, and back to a table.

One row every `LOG_EVERY` steps, a column a named loss term. Rows are appended. Before a training goes on
from a checkpoint, those that it will write again are cut off,
so that a log, like the weights, does not tell whether its training was ever interrupted.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ltbench.errors import CheckpointError
from ltbench.files import append_rows, read_text, write_text
from ltbench.runs.digests import check_digest, seal, unseal
from ltbench.text import foreign_separator, whole_number


def append(path: Path, row: Mapping[str, Any]) -> None:
    """Append a row; a term that was never seen before gets a column, with 0 in the earlier rows."""
    unseal(path)
    columns, rows = _read(path)
    new = [name for name in row if name not in columns]
    if new and rows:
        _write(path, [*columns, *new], [*rows, row])
    else:
        append_rows(path, [*columns, *new], [row])


def cut(path: Path, step: int, every: int, last: int) -> None:
    """Keep the rows up to `step`, without a line that a crash cut short.

    Parameters
    ----------
    path
        The training's log.
    step
        Where the training goes on.
    every
        Steps a row; others end a run of a length that is no multiple of it.
    last
        The length of this run: a shorter run's closing row goes when a longer run continues it.
    """
    unseal(path)
    columns, rows = _read(path)
    kept = [row for row in rows if (at := int(row["step"])) <= step and (at % every == 0 or at == last)]
    if kept:
        _write(path, columns, kept)
    else:
        path.unlink(missing_ok=True)


def finish(path: Path) -> None:
    """Note a log's content as whole: a change from now on is told."""
    seal(path)


def read_table(path: Path, required: Iterable[str] = ()) -> pd.DataFrame | None:
    """Read a log that may still be growing: a torn last line is left out, a missing file is None.

    Raises
    ------
    CheckpointError
        It is no text, or was changed after its training ended.
    """
    if not path.is_file():
        return None
    advice = "delete it; only its curves are lost"
    text = read_text(path, CheckpointError, advice)
    check_digest(path, advice)
    try:
        rows = list(csv.reader(text[: text.rfind("\n") + 1].splitlines()))
    except csv.Error as error:
        raise CheckpointError(f"{path} is no CSV file ({error}): {advice}") from error
    if rows and (mark := foreign_separator(rows[0])):
        raise CheckpointError(
            f"{path} has its columns separated by {mark}, as spreadsheets write them: {advice}"
        )
    if len(rows) < 2 or any(c not in rows[0] for c in required):
        return None
    if len(set(rows[0])) < len(rows[0]):
        raise CheckpointError(f"{path} has a column twice: {advice}")
    whole = [(line, row) for line, row in enumerate(rows, 1) if len(row) == len(rows[0])]
    table = pd.DataFrame([row for _, row in whole[1:]], columns=rows[0])
    for column in table:
        numbers = pd.to_numeric(table[column], errors="coerce")
        if not numbers.isna().all() or (table[column] == "").all():
            words = numbers.isna() & ~table[column].str.strip().str.casefold().isin(["", "nan", "-nan"])
            if words.any():
                at = int(words.to_numpy().argmax())
                raise CheckpointError(
                    f"{path}: column {column!r} is not a number in line {whole[at + 1][0]} "
                    f"({table[column].iloc[at][:40]!r}): {advice}"
                )
            table[column] = numbers
    return table


def _read(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Return the columns and the rows that are whole."""
    if not path.exists():
        return [], []
    text = path.read_text(encoding="utf-8", errors="replace")
    reader = csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1]))
    columns = list(reader.fieldnames or ())
    rows = [row for row in reader if len(row) == len(columns) and None not in row.values()]
    return columns, [row for row in rows if whole_number(row.get("step", "")) is not None]


def _write(path: Path, columns: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), restval="0.0", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())
