"""Feature arrays: from any layout of numbers to checked float tensors (n, d), and sets split by class."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ltbench.errors import UsageError

Array = np.ndarray | Tensor
LARGEST = 1e48  # features beyond it overflow in a cubic kernel's sums; float32 stays below


def as_tensor(x: Any, name: str, what: str = "features") -> Tensor:
    """Return real numbers of any layout (negative strides, foreign byte order) as a detached tensor.

    Parameters
    ----------
    x
        Array or tensor; what is neither, or holds no real numbers, is refused.
    name, what
        How messages call the set and its content.

    Raises
    ------
    UsageError
        None, objects, text, complex numbers, rows of unequal length, masked entries, or a tensor without values.
    """
    if isinstance(x, Tensor):
        tensor = _with_values(x, f"{name} {what}")
        if tensor.is_complex():
            raise UsageError(f"{name} {what} are complex: take their real part, or their absolute value")
        return tensor
    _refuse_masked(x, f"{name} {what}")
    try:
        array = np.asarray(x)
    except ValueError as error:  # ragged
        raise UsageError(f"{name} {what} are no array ({error})") from error
    if array.dtype.kind == "c":
        raise UsageError(f"{name} {what} are complex: take their real part, or their absolute value")
    if array.dtype.kind not in "fiub":
        held = type(x).__name__ if array.ndim == 0 else f"{array.dtype} values"
        raise UsageError(f"{name} {what} must be an array of numbers, got {held}")
    if array.dtype not in (np.float32, np.float64, np.uint8):
        array = array.astype(np.float64)
    array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    # an axis of length 1 keeps a negative stride and counts as contiguous
    return torch.from_numpy(array if all(stride >= 0 for stride in array.strides) else array.copy())


def _with_values(x: Tensor, what: str) -> Tensor:
    """Return a tensor, detached, dense and not quantised, or say that it holds no values."""
    if x.device.type == "meta":
        raise UsageError(f"{what} are a tensor on the device meta, which holds no values")
    dense = x.detach() if x.layout == torch.strided else x.detach().to_dense()
    return dense.dequantize() if dense.is_quantized else dense


def _refuse_masked(x: Any, what: str) -> None:
    """Raise `UsageError` for a masked array that masks anything: its values would count all the same."""
    if isinstance(x, np.ma.MaskedArray) and (masked := int(np.ma.getmaskarray(x).sum())):
        raise UsageError(
            f"{what} have {masked} masked entries: leave those images out, and give a plain array"
        )


def as_features(x: Array, name: str, minimum: int = 1) -> Tensor:
    """Return ``x`` as a detached float tensor (n, d) on its own device, or say what is wrong with it.

    Parameters
    ----------
    x
        (n, d) numpy array or tensor; float32 and float64 are kept, other types become float64.
    name
        How messages call the set, such as ``reference`` or ``generated``.
    minimum
        Fewest rows that the statistic is defined for.

    Raises
    ------
    UsageError
        No numbers, not two-dimensional, too few rows, no columns, or a value that is NaN, infinite or too
        large to be squared and summed.
    """
    tensor = as_tensor(x, name)
    if tensor.ndim != 2 or tensor.shape[1] == 0:
        raise UsageError(f"{name} features must be (images, dimensions), got shape {tuple(tensor.shape)}")
    if len(tensor) < minimum:
        raise UsageError(f"this metric needs at least {minimum} {name} images, got {len(tensor)}")
    if tensor.dtype not in (torch.float32, torch.float64):
        tensor = tensor.double()
    # a row's sum is finite iff its values are, short of overflow: float64 so that large float32 values pass
    finite = torch.isfinite(tensor.sum(dim=1, dtype=torch.float64))
    if not bool(finite.all()):
        bad = torch.nonzero(~finite)[:, 0]
        raise UsageError(
            f"{len(bad)} of {len(tensor)} {name} images have NaN or infinite features"
            f" (first: row {int(bad[0])}); check the images and the extractor"
        )
    if tensor.dtype == torch.float64 and len(tensor) and bool((tensor.abs() > LARGEST).any()):
        raise UsageError(
            f"{name} features are as large as {float(tensor.abs().max()):.3g}, which overflows when squared:"
            " check the extractor, or scale both sets alike"
        )
    return tensor


def same_width(reference: Tensor, generated: Tensor) -> None:
    """Raise `UsageError` unless both sets have equally many feature dimensions.

    Raises
    ------
    UsageError
        They have not.
    """
    if reference.shape[1] != generated.shape[1]:
        raise UsageError(
            f"reference features have {reference.shape[1]} dimensions and generated ones"
            f" {generated.shape[1]}; extract both with the same extractor"
        )


def as_labels(labels: Array, n: int, num_classes: int | None = None, name: str = "generated") -> np.ndarray:
    """Return labels as int64 (n,), each in ``0..num_classes-1`` where that is given.

    Raises
    ------
    UsageError
        Wrong length, not integers, masked, or out of range.
    """
    _refuse_masked(labels, f"{name} labels")
    if isinstance(labels, Tensor):
        out = _with_values(labels, f"{name} labels").cpu().numpy()
    else:
        try:
            out = np.asarray(labels)
        except ValueError as error:  # ragged
            raise UsageError(f"{name} labels are no array ({error})") from error
    if out.shape != (n,):
        raise UsageError(f"{name} labels must be one per image, ({n},), got shape {out.shape}")
    if not np.issubdtype(out.dtype, np.integer):
        raise UsageError(f"{name} labels must be integers, got {out.dtype}")
    if n and (out.min() < 0 or (num_classes is not None and out.max() >= num_classes)):
        limit = "0 or more" if num_classes is None else f"in 0..{num_classes - 1}"
        raise UsageError(f"{name} labels must be {limit}, got {out.min()}..{out.max()}")
    return out.astype(np.int64)


def by_class(x: Any, labels: Array) -> dict[int, Any]:
    """Split rows by label, keeping their order.

    One stable sort for all classes, so that the cost does not grow with classes x images.

    Parameters
    ----------
    x
        (n, ...) numpy array or tensor.
    labels
        (n,) integers.

    Returns
    -------
    dict
        Label -> its rows, labels ascending.
    """
    y = as_labels(labels, len(x), name="class")
    order = np.argsort(y, kind="stable")
    present, starts = np.unique(y[order], return_index=True)
    pieces = np.split(order, starts[1:]) if len(present) else []
    if isinstance(x, Tensor):
        return {
            int(c): x[torch.from_numpy(rows).to(x.device)] for c, rows in zip(present, pieces, strict=True)
        }
    return {int(c): x[rows] for c, rows in zip(present, pieces, strict=True)}


def in_blocks(n: int, size: int) -> Iterator[slice]:
    """Yield slices that cut ``range(n)`` into blocks of ``size`` rows."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))
