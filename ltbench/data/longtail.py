"""The long-tail rule: how many images each class keeps, and which.

Rank k = 0 is the head, K - 1 the tail. The rule is the one of CIFAR-LT as released with CBDM and CORAL
(after Cui et al., CVPR 2019): ``n_k = int(n_max * rho ** (k / (K - 1)))`` in double precision, truncated;
the subset of a class is a shuffle of its positions by ``numpy.random.RandomState``, cut to n_k. The
legacy generator is used on purpose: numpy guarantees its stream for ever, so a split never changes.
"""

import hashlib
import math
import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ltbench.errors import UsageError

Int64Array = NDArray[np.int64]

MANY = 100  # ImageNet-LT (Liu et al., CVPR 2019): many > 100 images, few < 20, medium between
FEW = 20


def class_order(name: str, num_classes: int) -> tuple[int, ...]:
    """Return the labels from head to tail.

    Parameters
    ----------
    name
        ``identity`` (label 0 is the head), ``reversed``, or ``permuted:SEED``.
    num_classes
        Number of classes K.

    Raises
    ------
    UsageError
        No such order, or a seed that is no whole number.
    """
    if name == "identity":
        return tuple(range(num_classes))
    if name == "reversed":
        return tuple(reversed(range(num_classes)))
    kind, _, seed = name.partition(":")
    if kind != "permuted" or not re.fullmatch("[0-9]{1,10}", seed) or int(seed) >= 2**32:
        raise UsageError(
            f"unknown class order {name!r}: use identity, reversed or permuted:SEED with a seed in 0..2**32-1"
        )
    return tuple(np.random.RandomState(int(seed)).permutation(num_classes).tolist())


def by_count(counts: Sequence[int] | Int64Array) -> tuple[int, ...]:
    """Return the labels from the largest class to the smallest, ties in label order."""
    return tuple(np.argsort(-np.asarray(counts, np.int64), kind="stable").tolist())


def smallest_ratio(n_max: int) -> float:
    """Return the smallest imbalance ratio that leaves the tail one image, rounded up to 4 digits."""
    exponent = math.floor(math.log10(1 / n_max)) - 3
    digits = math.ceil(round(1 / n_max / 10.0**exponent, 6))
    return float(f"{digits}e{exponent}")


def read_ratio(value: object) -> tuple[object, str]:
    """Return an imbalance ratio as a person may write it, and how it was read where that is not as written.

    Parameters
    ----------
    value
        A ratio (``0.01``), a fraction (``"1/100"``), or the papers' imbalance factor (``100``): head / tail.

    Returns
    -------
    (ratio, words)
        What is no number is returned as it is, for the caller's check to refuse; words are "" for a plain ratio.

    Raises
    ------
    UsageError
        A division by zero, or a number in another script's digits.

    Examples
    --------
    >>> read_ratio("100")
    (0.01, '100 is read as the imbalance factor, so imbalance_ratio is 0.01 (tail / head)')
    """
    text = str(value).strip()
    if not text.isascii():  # Python reads other scripts' digits as numbers, and settings do not
        raise UsageError(f"imbalance_ratio {text!r} is no number: write 0.01, 1/100 or 100")
    above, slash, below = text.partition("/")
    try:
        number = float(above) / float(below) if slash else float(text)
    except ZeroDivisionError as error:
        raise UsageError(f"imbalance_ratio {text} divides by zero: it is tail count / head count") from error
    except ValueError:
        return value, ""
    if isinstance(value, bool) or not math.isfinite(number):
        return value, ""
    if number >= 5:  # below, as a ratio mistyped (2, 1.5), it stays for the check to refuse
        ratio = 1 / number
        return ratio, f"{text} is read as the imbalance factor, so imbalance_ratio is {ratio:g} (tail / head)"
    return (number, f"{text} is read as imbalance_ratio {number:g}") if slash else (value, "")


def class_sizes(
    pool_sizes: Sequence[int] | Int64Array,
    imbalance_ratio: float,
    profile: str = "exponential",
    class_order: Sequence[int] | None = None,
    head_count: int | None = None,
) -> Int64Array:
    """Return how many images each class keeps.

    Parameters
    ----------
    pool_sizes : (K,)
        Images of each label in the pool. The head keeps n_max = the smallest class of the pool.
    imbalance_ratio
        rho = tail count / head count, in (0, 1].
    profile
        ``exponential``; ``step`` (the first K // 2 ranks keep n_max, the others ``int(n_max * rho)``); or
        ``asis`` (every image of the pool; ratio and order are not used).
    class_order : (K,), optional
        Labels from head to tail; default: label order.
    head_count
        Images of the head class, at most n_max.

    Returns
    -------
    (K,) int64
        Counts by label, each at least 1.

    Raises
    ------
    UsageError
        A ratio outside (0, 1], or so small that a class would be empty; a head count the pool cannot give.
    """
    pool = np.asarray(pool_sizes, np.int64)
    num_classes = len(pool)
    if num_classes < 2 or pool.min() < 1:
        raise UsageError("a long-tailed set needs at least two classes with an image each")
    if profile == "asis":
        if head_count is not None:
            raise UsageError(
                "profile asis keeps every image: leave out head_count, or use profile exponential"
            )
        return pool.copy()
    if profile not in ("exponential", "step"):
        raise UsageError(f"unknown profile {profile!r}: use exponential, step or asis")
    if not 0 < imbalance_ratio <= 1:  # also refuses nan
        raise UsageError(
            f"imbalance ratio {imbalance_ratio:g} is not in (0, 1]: it is tail count / head count"
        )
    n_max = int(pool.min())
    if head_count is not None:
        if not 1 <= head_count <= n_max:
            raise UsageError(
                f"head_count {head_count} is not in 1..{n_max}, the size of the pool's smallest class"
            )
        n_max = head_count
    # Python floats, as in the released code: numpy's vectorised power may differ in the last bit.
    if profile == "step":
        by_rank = [
            n_max if k < num_classes // 2 else int(n_max * imbalance_ratio) for k in range(num_classes)
        ]
    else:
        by_rank = [int(n_max * imbalance_ratio ** (k / (num_classes - 1))) for k in range(num_classes)]
    if by_rank[-1] < 1:
        raise UsageError(
            f"imbalance ratio {imbalance_ratio:g} leaves the tail class without an image (the head has "
            f"{n_max}): the smallest ratio that works here is {smallest_ratio(n_max):g}"
        )
    counts = np.empty(num_classes, np.int64)
    counts[list(range(num_classes) if class_order is None else class_order)] = by_rank
    return counts


def _members(labels: NDArray[np.integer], num_classes: int) -> list[Int64Array]:
    """Return each class's positions in file order."""
    by_label = np.argsort(labels, kind="stable").astype(np.int64)
    return np.split(by_label, np.cumsum(np.bincount(labels, minlength=num_classes))[:-1])


def select(
    labels: NDArray[np.integer], counts: Sequence[int] | Int64Array, split_seed: int = 0
) -> Int64Array:
    """Return the positions of a random subset with `counts` images of each class.

    One ``RandomState(split_seed)`` shuffles the positions of every class, labels ascending, and each
    class keeps its first. A class's shuffle does not depend on the counts, so a smaller subset of the
    same seed is nested in a larger one.

    Parameters
    ----------
    labels : (N,) int
        Labels of the pool in file order.
    counts : (K,)
        Images to keep of each label, at most what the pool has.
    split_seed
        0 is the published split.

    Returns
    -------
    (sum(counts),) int64
        Positions in the pool, classes ascending, in the order of selection.
    """
    if not 0 <= split_seed < 2**32:
        raise UsageError(f"split seed {split_seed} is not in 0..2**32-1")
    rng = np.random.RandomState(split_seed)
    chosen = []
    for count, members in zip(counts, _members(labels, len(counts)), strict=True):
        if count > len(members):
            raise UsageError(
                f"the pool has {len(members)} images of a class, fewer than the {count} asked for"
            )
        rng.shuffle(members)
        chosen.append(members[:count])
    return np.concatenate(chosen)


def selection_sha256(labels: NDArray[np.integer], positions: Int64Array) -> str:
    """Return 16 hex digits that identify a selection whatever the images are.

    SHA-256 of the selected images' ranks within their class (file order), little-endian int64, in the
    order of `positions`.
    """
    ranks = np.empty(len(labels), np.int64)
    for members in _members(labels, int(labels.max()) + 1):
        ranks[members] = np.arange(len(members))
    return hashlib.sha256(ranks[positions].astype("<i8").tobytes()).hexdigest()[:16]


def thirds(head_to_tail: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """Group labels by rank: K // 3 head, K // 3 tail (at least one each), the rest middle (10: 3, 4, 3)."""
    labels = tuple(head_to_tail)
    end = max(1, len(labels) // 3)
    groups = {"head": labels[:end], "middle": labels[end:-end], "tail": labels[-end:]}
    return {name: members for name, members in groups.items() if members}


def shots(counts: Sequence[int] | Int64Array, head_to_tail: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """Group labels by their number of training images: many > 100, medium 20..100, few < 20."""
    groups: Mapping[str, list[int]] = {"many": [], "medium": [], "few": []}
    for label in head_to_tail:
        n = counts[label]
        groups["many" if n > MANY else "few" if n < FEW else "medium"].append(label)
    return {name: tuple(members) for name, members in groups.items() if members}
