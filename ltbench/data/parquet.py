"""Parquet files of labelled images as the Hugging Face hub has them -> one `ImageSet`, rows in their order.

An image column is a struct of ``bytes`` (an encoded image) and ``path``; a label column is integers, whose names
stand in the schema's metadata under the key ``huggingface``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ltbench.data.image_file import decode, pixels_of
from ltbench.data.images import ImageSet
from ltbench.errors import DataCorrupt, DataMissing, UsageError

ROWS = 1000  # rows decoded at a time


def shards(folder: Path, split: str) -> tuple[Path, ...]:
    """Return a split's files ``SPLIT-00000-of-00002.parquet`` in order, none where there is none.

    Raises
    ------
    DataMissing : some of the files that their names count are not there.
    """
    paths = {}
    for path in sorted(folder.glob(f"{split}-*-of-*.parquet")):
        if match := re.fullmatch(rf"{split}-(\d+)-of-(\d+)\.parquet", path.name):
            paths[int(match[1]), int(match[2])] = path
    for number, count in paths:
        absent = [i for i in range(count) if (i, count) not in paths]
        if absent:
            name = f"{split}-{absent[0]:05d}-of-{count:05d}.parquet"
            raise DataMissing(f"{folder / name} is missing beside {paths[number, count].name}: get it too")
    return tuple(paths[key] for key in sorted(paths))


def read_images(
    paths: Sequence[Path], image: str, label: str, shape: tuple[int, int, int], num_classes: int
) -> tuple[ImageSet, tuple[str, ...]]:
    """Read all rows.

    Parameters
    ----------
    paths
        The files, in order.
    image, label
        Names of the two columns.
    shape
        (C,H,W) that every image must have; C is 1 or 3.
    num_classes
        Labels are 0..num_classes-1.

    Returns
    -------
    The images (N,C,H,W) with their labels, and the classes' names in the schema, empty where it has none.

    Raises
    ------
    UsageError
        pyarrow is not installed.
    DataCorrupt
        A file is truncated, has no such columns, or a row's image or label is not what it should be.
    """
    parquet = _pyarrow(paths[0])
    images: list[np.ndarray] = []
    labels: list[int] = []
    names: tuple[str, ...] = ()
    for path in paths:
        try:
            with parquet.ParquetFile(path) as file:
                names = names or _names(file.schema_arrow.metadata, label)
                if missing := {image, label} - set(file.schema_arrow.names):
                    raise DataCorrupt(
                        f"{path} has no column {' or '.join(sorted(missing))}; it has "
                        f"{', '.join(file.schema_arrow.names)}: it is another data set's"
                    )
                row = 0
                for rows in file.iter_batches(ROWS, columns=[image, label]):
                    for picture, number in zip(
                        rows.column(image).to_pylist(), rows.column(label).to_pylist(), strict=True
                    ):
                        where = f"{path}, row {row}"
                        images.append(_pixels(picture, where, shape))
                        if not isinstance(number, int) or not 0 <= number < num_classes:
                            raise DataCorrupt(f"{where} has the label {number!r}, not 0 to {num_classes - 1}")
                        labels.append(number)
                        row += 1
        except (OSError, ValueError) as error:  # pyarrow's errors are of either kind
            raise DataCorrupt(
                f"{path} is truncated or no Parquet file ({str(error).splitlines()[0]}): delete it and get it again"
            ) from error
    return ImageSet(np.stack(images), np.array(labels, np.int64)), names


def _pyarrow(path: Path) -> Any:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise UsageError(f"{path} is read by pyarrow: pip install 'ltbench[parquet]'") from error
    return parquet


def _pixels(picture: Any, where: str, shape: tuple[int, int, int]) -> np.ndarray:
    content = picture.get("bytes") if isinstance(picture, dict) else None
    if not isinstance(content, bytes):
        raise DataCorrupt(f"{where} holds no image bytes")
    pixels = pixels_of(decode(content, where, shape[0]).image)
    if pixels.shape != shape:
        raise DataCorrupt(f"{where} is {pixels.shape[2]}x{pixels.shape[1]}, not {shape[2]}x{shape[1]}")
    return pixels


def _names(metadata: dict[bytes, bytes] | None, label: str) -> tuple[str, ...]:
    """Return the classes' names that the hub writes into the schema."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        return tuple(map(str, features[label]["names"]))
    except (KeyError, TypeError, ValueError):
        return ()
