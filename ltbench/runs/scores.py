"""``scores.csv``, one row a number: from measured rows to the file and back to a table, by one schema.

`SCHEMA` is the file's definition: later versions only add columns at its end, and a file that lacks a column
of a later version is read with that column blank. Everything that reads or writes scores does it here.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pandas.api.types import union_categoricals

from ltbench.errors import CheckpointError
from ltbench.files import write_json
from ltbench.runs.digests import check_digest, recording
from ltbench.runs.layout import SCORED, SCORES
from ltbench.spec import RunSpec, sample_key, train_key
from ltbench.text import checked_name, command, is_name, one_line


@dataclass(frozen=True)
class Column:
    """One column of ``scores.csv``.

    Attributes
    ----------
    name
        As in the file's header.
    kind
        Text, integer or number; blank is unknown, read as "" or nan. Integers are floats in a table,
        and whole ones are written without a point.
    meaning
        For the reader of a table.
    identity
        Whether it tells two numbers apart: rows that agree in all of these are one number.
    since
        The schema's version that added it; files of an earlier one lack it.
    prose
        Text that is a sentence (see `as_reason`) and no name.
    """

    name: str
    kind: Literal["text", "integer", "number"]
    meaning: str
    identity: bool = False
    since: int = 1
    prose: bool = False


SCHEMA = (
    Column("dataset", "text", "data set that the method was trained on"),
    Column("imbalance_ratio", "number", "images of the rarest class / of the most frequent one"),
    Column("class_order", "text", "which class is the head: identity, reversed, permuted:SEED"),
    Column("split_seed", "integer", "seed of the training subset's selection; 0 is the published split"),
    Column("method", "text", "method, or composition joined by +", identity=True),
    Column("variant", "text", "variant of the method's hyper-parameters"),
    Column("train_seed", "integer", "seed of initial weights, data order, noise and times"),
    Column("step", "integer", "optimiser steps trained", identity=True),
    Column("sampler", "text", "sampler of the images"),
    Column("nfe", "integer", "network evaluations an image, the mean over the set where a rule spares some"),
    Column("guidance", "number", "guidance scale omega"),
    Column("sample_seed", "integer", "seed of the sampling noise"),
    Column("scope", "text", "overall, class, group (mean of its classes) or pooled (one set)", identity=True),
    Column("class_or_group", "text", "label, or group's name; blank overall", identity=True),
    Column("n_train", "integer", "training images in the scope"),
    Column("metric", "text", "name of the number; .floor, .ci_low ... stand beside theirs", identity=True),
    Column("definition", "text", "metric and version of its definition", identity=True),
    Column("extractor", "text", "feature extractor; blank for metrics of pixels"),
    Column("reference", "text", "real images that were compared with"),
    Column("n_reference", "integer", "reference images behind this number; of one class, of a group's mean"),
    Column("n_generated", "integer", "images in the samples' place: of a .floor the held-out ones of a draw"),
    Column("value", "number", "the number"),
    Column("origin", "text", "ours, external (images or weights made elsewhere) or published", identity=True),
    Column("train_key", "text", "full key of the training", identity=True),
    Column("sample_key", "text", "full key of the sample set", identity=True),
    Column("extractor_hash", "text", "SHA-256 of the extractor's weights", since=2),
    Column("reference_hash", "text", "first 16 digits of the reference's SHA-256", since=2),
    Column("manifest", "text", "first 16 digits of the data cell's manifest hash", since=2),
    Column("grouping", "text", "grouping that a group belongs to: thirds, shots, cm, ccua, utlo", since=3),
    Column("labels", "text", "class labels of a group, such as 0-2 7", since=3),
    Column("reason", "text", "why there is no value, or a remark on how it was made", since=3, prose=True),
    Column("rule", "text", "rule of guidance and its parameters; blank: plain guidance", since=4),
)

COLUMNS = tuple(column.name for column in SCHEMA)
"""Names of the columns of ``scores.csv``, in order."""

NUMBERS = tuple(column.name for column in SCHEMA if column.kind != "text")
"""Those of them that hold numbers."""

LONGEST_REASON = 1000
_REQUIRED = tuple(column.name for column in SCHEMA if column.since == 1)
_BATCH = 32 << 20  # characters of rows that are parsed at once
_HASHED = {"extractor": "extractor_hash", "reference": "reference_hash"}  # a name, and what pins it


# -- reading --------------------------------------------------------------------------------------------


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
    header = rows[0] if rows else []
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
            for words in set(table[column.name]) - {""}:
                if not _is_reason(words):
                    shown = as_reason(words)[:60]
                    raise CheckpointError(f"{path}: {shown!r} is no sentence of one line: {advice}")
        elif column.kind == "text":
            for name in set(table[column.name]) - {""}:
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
    plain = '"' not in text and "\r" not in text and text.endswith("\n") and len(set(names)) == len(names)
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
            table = pd.read_csv(
                io.StringIO("".join(bodies)), names=names, dtype=types, keep_default_na=False, na_values=blank
            )  # fmt: skip
            table = _completed(table).assign(file=np.repeat(files, [body.count("\n") for body in bodies]))
            table = table.astype({n: "category" for n in table if n in kinds and kinds[n] == "text"})
            if _is_sound(table):
                return table
        except ValueError:  # of one of these files: each by itself says which and where
            pass
    tables = [read_scores(paths[i]).assign(file=i) for i in files]
    table = pd.concat(tables, ignore_index=True)
    return table.astype({n: "category" for n in table if kinds.get(str(n), "text") == "text" and n != "file"})


def _is_sound(table: pd.DataFrame) -> bool:
    """Say whether names are names and counts finite; if not, each file is read by itself, which says where."""
    for column in SCHEMA:
        if column.kind == "text":
            fits = _is_reason if column.prose else is_name
            if not all(name == "" or fits(name) for name in table[column.name].cat.categories):
                return False
        elif column.name != "value" and np.isinf(table[column.name]).any():
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


def as_reason(text: str) -> str:
    """Return a sentence as the column ``reason`` keeps it: one plain line, begun by a letter or digit."""
    words = one_line(text)
    if words and not words[0].isalnum():
        words = f"not computed: {words}"
    return words if len(words) <= LONGEST_REASON else words[: LONGEST_REASON - 3] + "..."


def _is_reason(text: str) -> bool:
    return as_reason(text) == text


def as_stored(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table as reading its file would: the schema's columns first, numbers as float64, blank ones nan.

    Raises
    ------
    ValueError
        Text stands where a number belongs.
    """
    table = _completed(table)
    for column in SCHEMA:
        if column.kind != "text":
            try:
                numbers = [np.nan if v is None or v == "" else float(v) for v in table[column.name]]
            except (TypeError, ValueError) as error:
                raise ValueError(f"column {column.name!r} is not a number ({error})") from error
            table[column.name] = np.array(numbers, dtype=float)
    return table


def _completed(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with the schema's columns first, in order; those it lacks are blank."""
    missing = {name: "" for name in COLUMNS if name not in table}
    extra = [name for name in table if name not in COLUMNS]
    return table.assign(**missing)[[*COLUMNS, *extra]]


# -- writing --------------------------------------------------------------------------------------------


def merge_scores(path: Path, table: pd.DataFrame, guard: Callable[[], None] | None = None) -> None:
    """Add rows to a ``scores.csv``; a number that is there already is replaced, nothing else is lost.

    A file to which nothing new is added keeps every byte.
    """
    stored = read_scores(path) if path.exists() else None
    if stored is not None:
        table = as_stored(table)
        kept = stored[~superseded(stored, table)]
        table = table if kept.empty else pd.concat([kept, table], ignore_index=True)
        if in_order(table).equals(in_order(stored)):
            return  # an older file's rows may stand in another order
    write_scores(path, in_order(table), guard)


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


def write_scores(path: Path, table: pd.DataFrame, guard: Callable[[], None] | None = None) -> None:
    """Write a table of `COLUMNS` as ``scores.csv``: integers without a point, numbers to their last bit."""
    kinds: dict[str, str] = {column.name: column.kind for column in SCHEMA}
    table = _completed(table)
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


# -- what makes two rows one number -----------------------------------------------------------------------


def identity(table: pd.DataFrame) -> pd.Series:
    """Return one key a row: rows with equal keys are one number, wherever they are found.

    An extractor and a reference are their hash; where a file of the first version has none, their name.
    """
    parts = [table[column.name].map(str) for column in SCHEMA if column.identity]
    parts += [table[pin].where(table[pin] != "", table[name]) for name, pin in _HASHED.items()]
    return _joined(parts)


def is_repeated(table: pd.DataFrame) -> np.ndarray:
    """Tell which rows are a number that an earlier row is already (see `identity`), for a table of any size."""
    pins = {}
    for name, pin in _HASHED.items():
        text = [f"{a}|{b}" if not b else str(b) for a, b in zip(*_pairs(table, name, pin), strict=True)]
        pins[pin] = pd.Categorical(text)[row_codes(table, [name, pin])] if len(text) else pd.Categorical([])
    columns = [column.name for column in SCHEMA if column.identity] + list(_HASHED.values())
    codes = row_codes(table.assign(**pins), columns)
    repeated = np.ones(len(table), bool)
    repeated[np.unique(codes, return_index=True)[1]] = False
    return repeated


def _pairs(table: pd.DataFrame, name: str, pin: str) -> tuple[list[str], list[str]]:
    first = table.iloc[np.unique(row_codes(table, [name, pin]), return_index=True)[1]]
    return list(first[name].astype(str)), list(first[pin].astype(str))


def superseded(old: pd.DataFrame, new: pd.DataFrame) -> pd.Series:
    """Tell which of the old rows the new ones replace; a row without hashes goes by the names instead."""
    same = identity(old).isin(set(identity(new)))
    unpinned = [(old[name] != "") & (old[pin] == "") for name, pin in _HASHED.items()]
    named = [column.name for column in SCHEMA if column.identity] + list(_HASHED)
    by_name = _joined([old[n].map(str) for n in named]).isin(set(_joined([new[n].map(str) for n in named])))
    return same | ((unpinned[0] | unpinned[1]) & by_name)


def _joined(parts: list[pd.Series]) -> pd.Series:
    return pd.Series(["|".join(row) for row in zip(*parts, strict=True)], parts[0].index, dtype=object)


# -- what belongs to a run ----------------------------------------------------------------------------------


def run_columns(spec: RunSpec, nfe: float) -> dict[str, Any]:
    """Return the columns that say which run a number belongs to, with the network evaluations of an image."""
    from ltbench.method.registry import create

    return {
        "dataset": spec.data.dataset,
        "imbalance_ratio": spec.data.imbalance_ratio,
        "class_order": spec.data.class_order,
        "split_seed": spec.data.split_seed,
        "method": spec.method.name,
        "variant": create(spec.method).variant,
        "train_seed": spec.train_seed,
        "step": spec.train.steps,
        "sampler": spec.sample.sampler,
        "nfe": nfe,
        "guidance": spec.sample.guidance,
        "rule": spec.sample.rule_label,
        "sample_seed": spec.sample.seed,
        "origin": "external" if spec.train.imported else "ours",
        "train_key": train_key(spec),
        "sample_key": sample_key(spec),
    }


def find_scores(root: Path) -> Iterator[Path]:
    """Yield every ``scores.csv`` at or below a folder, in the order of their paths."""
    yield from sorted(root.rglob(SCORES))


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
    """Note that a sample set's ``scores.csv`` has all numbers of some requests, which ends their score stages."""
    write_json(folder / SCORED, {"requests": dict(requests)}, guard)
