"""Arguments of the public functions: from what a notebook holds to checked arrays and networks, or one sentence."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltbench.errors import UsageError
from ltbench.files import user_path
from ltbench.text import one_line

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


def plain_array(values: Any, what: str) -> np.ndarray:
    """Return an array of what can be one and masks nothing; a tensor is fetched from its device and its graph.

    Raises
    ------
    UsageError
        Rows of unequal length, masked entries, or an object that is no array, such as a generator.
    """
    import numpy as np
    import torch

    if isinstance(values, np.ma.MaskedArray) and (masked := int(np.ma.getmaskarray(values).sum())):
        raise UsageError(
            f"{what} have {masked} masked entries: leave those images out, and give a plain array"
        )
    if isinstance(values, list | tuple) and any(isinstance(value, torch.Tensor) for value in values):
        values = [value.detach().cpu() if isinstance(value, torch.Tensor) else value for value in values]
    try:
        if isinstance(values, torch.Tensor):
            values = values.detach().cpu()
            values = (values.float() if values.dtype == torch.bfloat16 else values).numpy()
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError, NotImplementedError) as error:
        raise UsageError(
            f"{what} are no array ({str(error).partition('.')[0]}): give a NumPy array"
        ) from error
    if array.dtype == object and array.ndim == 0:
        raise UsageError(
            f"{what} are a {type(values).__name__}, which is no array: give a NumPy array, of batches one array by "
            "numpy.concatenate"
        )
    return array


def pixels(images: Any, shape: tuple[int, int, int]) -> np.ndarray:
    """Return images (N,C,H,W) uint8 of a data set's shape (C,H,W); what could mean two things is refused.

    Raises
    ------
    UsageError
        Another type, layout or shape; the sentence says how to make them right.
    """
    import numpy as np

    array = plain_array(images, "images")
    seen = f"images must be uint8 (N,C,H,W), not {array.dtype} {array.shape}"
    if array.dtype != np.uint8:
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise UsageError(f"{seen}, and hold NaN or infinite values: leave those images out")
        ways = {
            "f": "from [0, 1] by (255 * images).round().astype('uint8'), from [-1, 1] by "
            "(127.5 * images + 127.5).round().clip(0, 255).astype('uint8')",
            "i": "if they are 0..255, by images.astype('uint8')",
            "u": "if they are 0..255, by images.astype('uint8')",
            "b": "if True is white, by 255 * images.astype('uint8')",
            "O": "stack images of one size with numpy.stack",
        }
        way = ways.get(array.dtype.kind)
        raise UsageError(seen + (f": {way}" if way else ""))
    channels, size, _ = shape
    if array.ndim == 3 and channels == 1:
        raise UsageError(f"{seen}: give grey images their channel, images[:, None]")
    if array.ndim != 4:
        raise UsageError(seen)
    if array.shape[1:] != shape and array.shape[1:] == (size, size, channels):
        raise UsageError(
            f"images are (N,H,W,C), {array.shape}: put the channels first, images.transpose(0, 3, 1, 2)"
        )
    return np.ascontiguousarray(array)


def a_path(value: Any, what: str) -> Path:
    """Return a path of text or a path; what is neither is refused by the argument's name."""
    if not isinstance(value, str | os.PathLike) or "\0" in str(value):
        raise UsageError(f"{what} must be a path, not {short(value)}")
    return user_path(Path(value))


def a_name(value: Any, what: str) -> str:
    """Return a name as text; what is no text is refused by the argument's name."""
    if not isinstance(value, str):
        raise UsageError(f"{what} must be a name, not {short(value)}")
    return value


def members(values: Any) -> list[Any] | None:
    """Return what a list, array, column, generator or another iterable holds; None for one value or a mapping."""
    if isinstance(values, str | bytes | os.PathLike | Mapping):
        return None
    try:
        each = iter(values)
    except TypeError:
        return None
    return list(each)


def some_names(names: str | Iterable[str], what: str) -> tuple[str, ...]:
    """Return names from any iterable of them or from text with commas.

    Raises
    ------
    UsageError
        They are none, or one is no text.
    """
    given = names.split(",") if isinstance(names, str) else members(names)
    if given is None:
        raise UsageError(f"{what} must be names, not {short(names)}")
    kept = tuple(name.strip() for name in (a_name(each, what) for each in given) if name.strip())
    if not kept:
        raise UsageError(f"{what} names nothing: give at least one name")
    return kept


def short(value: Any) -> str:
    """Return a value as an error shows it, in one line: its text where that is short, else its type."""
    text = one_line(repr(value))
    return text if len(text) <= 40 else f"a {type(value).__name__}"


def whole_numbers(labels: Any, num_classes: int, count: int | None = None) -> np.ndarray:
    """Return class labels (N,) int64, each in 0..num_classes-1.

    Parameters
    ----------
    labels
        A sequence, array or tensor.
    num_classes
        K.
    count
        How many there have to be; default: any number.

    Raises
    ------
    UsageError
        Another shape or type, or a label out of range.
    """
    import numpy as np

    array = plain_array(labels, "labels")
    if array.size == 0 and array.ndim == 1:
        array = array.astype(np.int64)  # an empty list has no type of its own
    wanted = "(N,)" if count is None else f"one for each of the {count} images"
    right = array.ndim == 1 if count is None else array.shape == (count,)
    if not right or array.dtype.kind not in "iu":
        raise UsageError(
            f"labels must be whole numbers, {wanted}, not {array.dtype} {array.shape}{_how_to_label(array, num_classes)}"
        )
    if len(array) and not 0 <= int(array.min()) <= int(array.max()) < num_classes:
        raise UsageError(f"labels must be 0..{num_classes - 1}, not {array.min()}..{array.max()}")
    return array.astype(np.int64)


def _how_to_label(array: np.ndarray, num_classes: int) -> str:
    """Return how to make labels (N,) of whole numbers out of a usual other form; blank for an unusual one."""
    if array.ndim == 2 and array.shape[1] == num_classes:
        return ": of one column a class make labels by labels.argmax(1)"
    if array.ndim == 2 and array.shape[1] == 1:
        return ": give the one column, labels[:, 0]"
    if array.ndim != 1 or array.dtype.kind in "iu":
        return ""
    if array.dtype.kind in "UO":
        return (
            ": give the class's numbers, of its names by [dataset.class_names.index(name) for name in labels]"
        )
    if array.dtype.kind == "f" and (array == array.round()).all():
        return ": give labels.astype(int)"
    return ""


def class_shares(counts: Any, num_classes: int) -> np.ndarray | None:
    """Return the share (K,) of each class in the training set, from its numbers of images, or None for None.

    Raises
    ------
    UsageError
        No number of images above 0 for each class.
    """
    import numpy as np

    if counts is None:
        return None
    array = plain_array(counts, "counts")
    if array.shape != (num_classes,) or array.dtype.kind not in "iuf" or not (array > 0).all():
        raise UsageError(
            f"counts must be the training images of each of the {num_classes} classes, all above 0"
        )
    shares: np.ndarray = array.astype(np.float64) / array.sum()
    return shares


def batch_like(prediction: Any, x: Tensor) -> None:
    """Raise `UsageError` unless a model's answer is a `Prediction` of the batch's shape."""
    import torch

    eps = getattr(prediction, "eps", None)
    if eps is None:
        got = type(prediction).__name__
    elif not isinstance(eps, torch.Tensor):
        got = f"eps as a {type(eps).__name__}, which is no tensor"
    elif eps.shape != x.shape:
        got = f"eps {tuple(eps.shape)}"
    else:
        return
    raise UsageError(
        f"the model must return a Prediction whose eps is shaped as x_t, {tuple(x.shape)}; it returned {got}"
    )
