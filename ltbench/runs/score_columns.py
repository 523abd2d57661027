"""The columns of ``scores.csv``: names, kinds and meanings, and from measured rows to a table that has them all.

`SCHEMA` is the file's definition: later versions only add columns at its end, and a file that lacks a column
of a later version is read with that column blank.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from ltbench.runs.variants import current_variant
from ltbench.specs import RunSpec, sample_key, train_key
from ltbench.text import one_line


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


PINNED_BY = {"extractor": "extractor_hash", "reference": "reference_hash"}  # a name, and what pins it


def as_reason(text: str) -> str:
    """Return a sentence as the column ``reason`` keeps it: one plain line, begun by a letter or digit."""
    words = one_line(text)
    if words and not words[0].isalnum():
        words = f"not computed: {words}"
    return words if len(words) <= LONGEST_REASON else words[: LONGEST_REASON - 3] + "..."


def is_reason(text: str) -> bool:
    """Tell whether text is a sentence as the column ``reason`` keeps it."""
    return as_reason(text) == text


def as_stored(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table as reading its file would: the schema's columns first, numbers as float64, blank ones nan.

    Raises
    ------
    ValueError
        Text stands where a number belongs.
    """
    table = completed(table)
    for column in SCHEMA:
        if column.kind != "text":
            values = table[column.name].to_numpy(object)  # Arrow's strings are slow one by one
            try:
                numbers = np.array([np.nan if v is None or v == "" else float(v) for v in values], float)
            except (TypeError, ValueError) as error:
                raise ValueError(_no_number(column.name, values)) from error
            for i in np.flatnonzero(np.isinf(numbers)):
                if isinstance(values[i], str) and "inf" not in values[i].casefold():  # 1e400
                    raise ValueError(
                        f"column {column.name!r} is too large in line {i + 2} ({values[i][:40]!r})"
                    )
            table[column.name] = numbers
    return table


def _no_number(name: str, values: Iterable[object]) -> str:
    """Return which of a column's values is no number: line 1 is the header."""
    for line, value in enumerate(values, 2):
        try:
            float(value or 0)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            comma = "; decimals take a point" if re.fullmatch(r"-?[0-9.]*,[0-9]+", str(value)) else ""
            return f"column {name!r} is not a number in line {line} ({str(value)[:40]!r}{comma})"
    return f"column {name!r} is not a number"


def completed(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with the schema's columns first, in order; those it lacks are blank."""
    missing = {name: "" for name in COLUMNS if name not in table}
    extra = [name for name in table if name not in COLUMNS]
    return table.assign(**missing)[[*COLUMNS, *extra]]


def run_columns(spec: RunSpec, nfe: float) -> dict[str, Any]:
    """Return the columns that say which run a number belongs to, with the network evaluations of an image.

    A variant is blank where its method is not installed.
    """
    return {
        "dataset": spec.data.dataset,
        "imbalance_ratio": spec.data.imbalance_ratio,
        "class_order": spec.data.class_order,
        "split_seed": spec.data.split_seed,
        "method": spec.method.name,
        "variant": current_variant(spec.method) or "",
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
