"""``scores.csv``: one row a number. This file owns the schema; later versions only add columns at the end."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from ltbench.errors import DataCorrupt
from ltbench.files import replacing
from ltbench.spec import RunSpec, sample_key, train_key

COLUMNS = (
    "dataset", "imbalance_ratio", "class_order", "split_seed", "method", "variant", "train_seed", "step",
    "sampler", "nfe", "guidance", "sample_seed", "scope", "class_or_group", "n_train", "metric", "definition",
    "extractor", "reference", "n_reference", "n_generated", "value", "origin", "train_key", "sample_key",
    "extractor_hash", "reference_hash", "manifest",
)  # fmt: skip
"""The columns of ``scores.csv``, in order; later versions only add at the end."""

_IDENTITY = [
    "scope", "class_or_group", "metric", "definition", "extractor_hash", "reference_hash", "sample_key"
]  # fmt: skip
_TEXT = {
    name: str
    for name in ("class_or_group", "variant", "extractor", "extractor_hash", "reference_hash", "manifest")
}


def run_columns(spec: RunSpec) -> dict[str, Any]:
    """Return the columns that say which run a number belongs to."""
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
        "nfe": spec.sample.nfe,
        "guidance": spec.sample.guidance,
        "sample_seed": spec.sample.seed,
        "origin": "external" if spec.train.imported else "ours",
        "train_key": train_key(spec),
        "sample_key": sample_key(spec),
    }


def _number(text: str) -> float:
    return float(text) if text else math.nan


def read_scores(path: Path) -> pd.DataFrame:
    """Read a ``scores.csv``.

    Raises
    ------
    DataCorrupt : the file is truncated or lacks a column.
    """
    try:
        with open(path, "rb") as handle:
            handle.seek(-1, os.SEEK_END)
            if handle.read() != b"\n":
                raise ValueError("the last line is cut short")
        # pandas' own reading of decimals was a bit off before 3.0: numbers would drift with every merge.
        table = pd.read_csv(path, dtype=_TEXT, keep_default_na=False, converters={"value": _number})
    except (OSError, ValueError, pd.errors.ParserError) as error:
        raise DataCorrupt(f"{path} cannot be read: delete it and score that run again") from error
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise DataCorrupt(
            f"{path} lacks the columns {', '.join(missing)}: delete it and score that run again"
        )
    return table


def merge_scores(path: Path, table: pd.DataFrame, guard: Callable[[], None]) -> None:
    """Add rows to a ``scores.csv``; a number that is there already is replaced, nothing else is lost."""
    if path.exists():
        table = pd.concat([read_scores(path), table], ignore_index=True)
        table = table.drop_duplicates(_IDENTITY, keep="last", ignore_index=True)
    with replacing(path, guard) as temporary:
        table.to_csv(temporary, index=False)
