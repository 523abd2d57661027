"""Arrays of images as uint8 (N,C,H,W): layout, channels and range of values are recognised, or refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ltbench.data import Dataset
from ltbench.errors import DataCorrupt, UsageError

RANGES = ("uint8", "0..1", "-1..1")
_ROWS = 1024  # images converted at a time


def shape_text(array: NDArray[Any]) -> str:
    """Return an array's type and shape, for messages."""
    return f"{array.dtype} of shape {tuple(array.shape)}"


def to_nchw(path: Path, raw: NDArray[Any], dataset: Dataset) -> tuple[NDArray[Any], str]:
    """Return (N,C,H,W) and the layout's name; the data set says how many channels there are.

    Raises
    ------
    UsageError
        The axes may mean two things.
    DataCorrupt
        No images of the data set's shape.
    """
    channels, size, _ = dataset.shape
    if raw.ndim == 3 and channels == 1:
        raw, layout = raw[:, None], "N x H x W"
    elif raw.ndim != 4:
        raise DataCorrupt(f"{path}: images must be N x C x H x W or N x H x W x C, not {shape_text(raw)}")
    else:
        raw, layout = _channels_first(path, raw, dataset)
    if raw.shape[1] != channels and raw.shape[1] in (1, 3, 4):
        raw, layout = _other_channels(path, raw, dataset, layout)
    if raw.shape[1:] != dataset.shape:
        square = raw.shape[1] == channels and raw.shape[2] == raw.shape[3]
        hint = "make them that size"
        if square:
            hint += f", or compare at --set data.image_size={raw.shape[2]} where the data set has that size"
        raise DataCorrupt(
            f"{path} holds images {' x '.join(map(str, raw.shape[1:]))}, but {dataset.spec.dataset}'s are "
            f"{channels} x {size} x {size} here: {hint}"
        )
    return raw, layout


def _channels_first(path: Path, raw: NDArray[Any], dataset: Dataset) -> tuple[NDArray[Any], str]:
    """Return (N,C,H,W); which axis holds the channels is told by the data set's, then by any plausible, number."""
    for counts in ((dataset.shape[0],), (1, 3, 4)):
        first = raw.shape[1] in counts and raw.shape[2] == raw.shape[3]
        last = raw.shape[3] in counts and raw.shape[1] == raw.shape[2]
        if first and last:
            raise UsageError(
                f"{path}: {tuple(raw.shape)} may be NCHW or NHWC: images that small cannot be told"
            )
        if last:
            return raw.transpose(0, 3, 1, 2), "NHWC"
        if first:
            break
    return raw, "NCHW"


def _other_channels(path: Path, raw: NDArray[Any], dataset: Dataset, layout: str) -> tuple[NDArray[Any], str]:
    """Return grey images that were saved as three equal channels as grey; refuse what would need a choice."""
    name, kinds = dataset.spec.dataset, {1: "grey", 3: "colour", 4: "four-channel"}
    equal = raw.shape[1] == 3 and dataset.shape[0] == 1
    if equal and all(bool((part == part[:, :1]).all()) for part, _ in _parts(raw)):
        return raw[:, :1], f"{layout} of three equal channels, taken as grey"
    if dataset.shape[0] == 1:
        how = "save one channel an image, by the grey that you mean"
    elif raw.shape[1] == 1:
        how = "repeat the channel three times if that is what you mean"
    else:
        how = "lay transparency on a ground and save three channels"
    raise DataCorrupt(
        f"{path} holds {kinds[raw.shape[1]]} images ({raw.shape[1]} x {raw.shape[2]} x {raw.shape[3]}), but {name}'s are "
        f"{kinds[dataset.shape[0]]} ({' x '.join(map(str, dataset.shape))}): {how}"
    )


def to_uint8(path: Path, raw: NDArray[Any], given: str | None) -> tuple[NDArray[np.uint8], str]:
    """Return the images as uint8 and what their values were taken for.

    Raises
    ------
    UsageError
        The values may mean two things.
    DataCorrupt
        No numbers, not finite, or outside the range that is given.
    """
    low, high, integral = _extent(path, raw)
    if given is not None:
        _check_given(path, raw.dtype, low, high, integral, given)
    meaning = given or _recognise(path, raw.dtype, low, high, integral)
    scale, shift = {"uint8": (1.0, 0.0), "0..1": (255.0, 0.0), "-1..1": (127.5, 127.5)}[meaning]
    out = np.empty(raw.shape, np.uint8)
    outside = 0
    for part, rows in _parts(raw):
        values = part.astype(np.float64) * scale + shift if (scale, shift) != (1.0, 0.0) else part
        outside += int(((values < -0.5) | (values > 255.5)).sum())
        out[rows] = np.rint(np.clip(values, 0, 255)).astype(np.uint8)
    if outside > 0.05 * raw.size:
        raise DataCorrupt(
            f"{path} has {outside / raw.size:.0%} of its values outside the range {meaning} (they go from "
            f"{low:g} to {high:g}): give the right --range"
        )
    clipped = f", {outside / raw.size:.2%} of the values clipped" if outside else ""
    words = {"uint8": "values 0..255", "0..1": "values in [0, 1]", "-1..1": "values in [-1, 1]"}[meaning]
    return out, f"{raw.dtype}, {words}{clipped}"


def _check_given(
    path: Path, dtype: np.dtype[Any], low: float, high: float, integral: bool, given: str
) -> None:
    """Refuse a range that fits the values and cannot be meant: every image would be black, or grey.

    Raises
    ------
    UsageError
        Fractions of 1 said to be 0..255, or values none of which is below 0 said to be of -1..1.
    """
    seen = f"{path} holds {dtype} values from {low:g} to {high:g}"
    if given == "uint8" and not integral and high <= 1.001:
        right = "0..1" if low >= 0 else "-1..1"
        raise UsageError(f"{seen}, fractions that would all be black in 0..255: give --range {right}")
    if given == "-1..1" and low >= 0 and high > 0:
        raise UsageError(
            f"{seen}, of which none is below 0 and -1..1 would make no pixel dark: give --range 0..1, or save "
            "them as uint8 where all are so bright"
        )


def _parts(raw: NDArray[Any]) -> Iterator[tuple[NDArray[Any], slice]]:
    for start in range(0, len(raw), _ROWS):
        rows = slice(start, start + _ROWS)
        yield np.asarray(raw[rows]), rows


def _extent(path: Path, raw: NDArray[Any]) -> tuple[float, float, bool]:
    """Return the least and the greatest value, and whether all are whole numbers."""
    if raw.dtype.kind not in "iuf":
        raise DataCorrupt(f"{path} holds {raw.dtype} values: save images as uint8 or floating-point numbers")
    low, high, integral = np.inf, -np.inf, True
    for part, _ in _parts(raw):
        low, high = np.minimum(low, part.min()), np.maximum(high, part.max())  # unlike min, these keep a NaN
        integral = integral and (part.dtype.kind in "iu" or bool((part == np.rint(part)).all()))
    if not (np.isfinite(low) and np.isfinite(high)):
        raise DataCorrupt(
            f"{path} holds NaN or infinite values: leave those images out, or sample them again"
        )
    return float(low), float(high), integral


def _recognise(path: Path, dtype: np.dtype[Any], low: float, high: float, integral: bool) -> str:
    """Say what range values from `low` to `high` are in, or refuse what could mean two things."""
    seen = f"{path} holds {dtype} values from {low:g} to {high:g}"
    if integral and high <= 1:
        raise UsageError(
            f"{seen}, whole numbers only, as if cast before they were scaled: save them again, or give --range"
        )
    if integral and low >= 0 and high <= 255:
        if high < 128:
            raise UsageError(
                f"{seen}, nothing brighter than half of 0..255: if that is so, say --range uint8"
            )
        return "uint8"
    if dtype.kind == "f" and low >= -1.001 and high <= 1.001:
        if low <= -0.5:
            return "-1..1"
        if 0 <= low <= 0.25:
            return "0..1"
        raise UsageError(f"{seen}, which may mean [0, 1] or [-1, 1]: say which with --range 0..1 or -1..1")
    if low < -8 or high > 263:  # no overshoot that may be clipped, but another scale
        raise UsageError(
            f"{seen}, which is none of 0..255, [0, 1] and [-1, 1]: scale them to one of these (16 bits: divide by 257)"
        )
    mend = "clip them"
    if low < -1.5 and high < 8:  # no overshoot, and clipped it would look like [-1, 1]
        mend = "undo the division by a standard deviation (x * std + mean)"
    raise UsageError(
        f"{seen}, which is none of 0..255, [0, 1] and [-1, 1]: {mend}, or say what they mean with --range"
    )
