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

from ltbench.files import append_rows, write_text


def append(path: Path, row: Mapping[str, Any]) -> None:
    """Append a row; a term that was never seen before gets a column, with 0 in the earlier rows."""
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
    columns, rows = _read(path)
    kept = [row for row in rows if (at := int(row["step"])) <= step and (at % every == 0 or at == last)]
    if kept:
        _write(path, columns, kept)
    else:
        path.unlink(missing_ok=True)


def read_table(path: Path, required: Iterable[str] = ()) -> pd.DataFrame | None:
    """Read a log that may still be growing: a torn last line is left out, a missing file is None."""
    if not path.is_file():
        return None
    text = path.read_text(encoding="utf-8")
    rows = list(csv.reader(text[: text.rfind("\n") + 1].splitlines()))
    if len(rows) < 2 or any(c not in rows[0] for c in required):
        return None
    rows = [row for row in rows if len(row) == len(rows[0])]
    table = pd.DataFrame(rows[1:], columns=rows[0])
    for column in table:
        numbers = pd.to_numeric(table[column], errors="coerce")
        if not numbers.isna().all() or (table[column] == "").all():
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
    return columns, [row for row in rows if row.get("step", "").isdigit()]


def _write(path: Path, columns: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), restval="0.0", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())
