"""Rows of scores: what makes two of them one number, which replace which, and the one order that they are stored in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ltbench.runs.score_columns import PINNED_BY, SCHEMA


def row_codes(table: pd.DataFrame, columns: Sequence[str]) -> np.ndarray:
    """Number the combinations of some columns, (n,) int64: rows that agree in all have one number; nan equals nan."""
    total = np.zeros(len(table), np.int64)
    for column in columns:
        values = table[column]
        if isinstance(values.dtype, pd.CategoricalDtype):
            code, size = values.cat.codes.to_numpy().astype(np.int64) + 1, len(values.cat.categories) + 1
        else:
            found, unique = pd.factorize(values)
            code, size = found.astype(np.int64) + 1, len(unique) + 1
        if size > 2 or (
            len(code) and code.min() != code.max()
        ):  # numbers stay small: columns may hold many values
            total = np.unique(total * size + code, return_inverse=True)[1]
    return total


_SCOPES = ("overall", "class", "group", "pooled")


def in_order(table: pd.DataFrame) -> pd.DataFrame:
    """Return rows in the one order of a stored file, whatever they were computed or merged in.

    By extractor, definition, reference, scope, place (classes by number), then name: a floor follows its score.
    """
    scope = [_SCOPES.index(s) if s in _SCOPES else len(_SCOPES) for s in table["scope"]]
    place = [int(p) if str(p).isdecimal() else -1 for p in table["class_or_group"]]
    keys = pd.DataFrame({"scope": scope, "number": place}, table.index).assign(
        **{name: table[name].map(str) for name in ("extractor", "definition", "reference", "class_or_group")},
        **{
            name: table[name].map(str)
            for name in ("metric", "extractor_hash", "reference_hash", "sample_key")
        },
    )
    order = [
        *("extractor", "definition", "reference", "scope", "number", "class_or_group", "metric"),
        *("extractor_hash", "reference_hash", "sample_key"),
    ]
    return table.loc[keys.sort_values(order, kind="stable").index].reset_index(drop=True)


def identity(table: pd.DataFrame) -> pd.Series:
    """Return one key a row: rows with equal keys are one number, wherever they are found.

    An extractor and a reference are their hash; where a file of the first version has none, their name.
    """
    parts = [table[column.name].map(str) for column in SCHEMA if column.identity]
    parts += [table[pin].where(table[pin] != "", table[name]) for name, pin in PINNED_BY.items()]
    return _joined(parts)


def is_repeated(table: pd.DataFrame) -> np.ndarray:
    """Tell which rows are a number that an earlier row is already (see `identity`), for a table of any size."""
    repeated = np.ones(len(table), bool)
    repeated[np.unique(number_codes(table), return_index=True)[1]] = False
    return repeated


def number_codes(table: pd.DataFrame) -> np.ndarray:
    """Return (n,) int64, equal where rows are one number (see `identity`), for a table of any size."""
    pins = {}
    for name, pin in PINNED_BY.items():
        text = [f"{a}|{b}" if not b else str(b) for a, b in zip(*_pairs(table, name, pin), strict=True)]
        pins[pin] = pd.Categorical(text)[row_codes(table, [name, pin])] if len(text) else pd.Categorical([])
    columns = [column.name for column in SCHEMA if column.identity] + list(PINNED_BY.values())
    return row_codes(table.assign(**pins), columns)


def _pairs(table: pd.DataFrame, name: str, pin: str) -> tuple[list[str], list[str]]:
    first = table.iloc[np.unique(row_codes(table, [name, pin]), return_index=True)[1]]
    return list(first[name].astype(str)), list(first[pin].astype(str))


def superseded(old: pd.DataFrame, new: pd.DataFrame) -> pd.Series:
    """Tell which of the old rows the new ones replace; a row without hashes goes by the names instead."""
    same = identity(old).isin(set(identity(new)))
    unpinned = [(old[name] != "") & (old[pin] == "") for name, pin in PINNED_BY.items()]
    named = [column.name for column in SCHEMA if column.identity] + list(PINNED_BY)
    by_name = _joined([old[n].map(str) for n in named]).isin(set(_joined([new[n].map(str) for n in named])))
    return same | ((unpinned[0] | unpinned[1]) & by_name)


def _joined(parts: list[pd.Series]) -> pd.Series:
    return pd.Series(["|".join(row) for row in zip(*parts, strict=True)], parts[0].index, dtype=object)
