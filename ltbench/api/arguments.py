"""Arguments of the public functions: from what a notebook holds to checked arrays and networks, or one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ltbench.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from ltbench.diffusion.guidance import Omega


def plain_array(values: Any, what: str) -> np.ndarray:
    """Return an array of what can be one and masks nothing.

    Raises
    ------
    UsageError
        Rows of unequal length, a tensor that has to be fetched first, or masked entries.
    """
    import numpy as np

    if isinstance(values, np.ma.MaskedArray) and (masked := int(np.ma.getmaskarray(values).sum())):
        raise UsageError(
            f"{what} have {masked} masked entries: leave those images out, and give a plain array"
        )
    try:
        return np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"{what} are no array ({str(error).partition('.')[0]}): give a NumPy array"
        ) from error


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
        raise UsageError(f"labels must be whole numbers, {wanted}, not {array.dtype} {array.shape}")
    if len(array) and not 0 <= int(array.min()) <= int(array.max()) < num_classes:
        raise UsageError(f"labels must be 0..{num_classes - 1}, not {array.min()}..{array.max()}")
    return array.astype(np.int64)


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


def checked_omega(function: Omega) -> Omega:
    """Return a caller's rule of guidance, refused where it returns no finite number or one for each image."""
    import numpy as np

    def omega(t: int, labels: Any) -> Any:
        values = function(t, labels)
        wanted = "it must return a finite number, or one for each image"
        try:
            array = np.asarray(values, np.float64)
        except (TypeError, ValueError) as error:
            raise UsageError(f"guidance returned a {type(values).__name__} at t = {t}: {wanted}") from error
        if array.shape not in ((), (len(labels),)) or not np.isfinite(array).all():
            got = f"an array {array.shape}" if array.ndim else str(values)
            raise UsageError(f"guidance returned {got} at t = {t}: {wanted}")
        return array

    return omega


def batch_like(prediction: Any, x: Tensor) -> None:
    """Raise `UsageError` unless a model's answer is a `Prediction` of the batch's shape."""
    eps = getattr(prediction, "eps", None)
    if eps is None or tuple(getattr(eps, "shape", ())) != tuple(x.shape):
        got = type(prediction).__name__ if eps is None else f"eps {tuple(eps.shape)}"
        raise UsageError(
            f"the model must return a Prediction whose eps is shaped as x_t, {tuple(x.shape)}; it returned {got}"
        )
