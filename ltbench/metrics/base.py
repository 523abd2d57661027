"""What a metric is: its definition (inputs, outputs, scopes, minimum), from arrays by name to numbers by name.

A metric is a pure function on arrays of one extractor's output. `Metric.inputs` says which arguments it
takes, out of this vocabulary (rows are images, already cut to the scope being scored):

    reference, generated           arrays of `Metric.needs`: real images scored against; the samples
    training, heldout              the same kind: the long-tailed training images; real images in neither
    generated_labels, training_labels, heldout_labels, reference_labels   (n,) int64 class labels
    num_classes                    K of the data set
    seed                           for metrics that draw (clusterings, subsets, trainings)

Those that need the bottleneck are the probe's and take, beside the seed:

    features, labels               bottleneck features of balanced held-out real images; (n,) int64 class labels
    train_counts                   (K,) images a class in the training set
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from ltbench.errors import UsageError
from ltbench.plugins import extension_of, in_one_sentence

Needs = Literal["features", "logits", "class_logits", "images", "bottleneck"]
Scope = Literal["overall", "class", "pooled"]
Value = float | np.ndarray

EVERY: tuple[Scope, ...] = ("overall", "class")
POOLED: tuple[Scope, ...] = ("overall", "class", "pooled")

_SETS = ("reference", "generated", "training", "heldout")
GIVEN = frozenset([*_SETS, *(f"{name}_labels" for name in _SETS), "num_classes", "seed"])
PROBED = frozenset(["features", "labels", "train_counts", "seed"])


@dataclass(frozen=True)
class Output:
    """One number that a metric returns, and how it is shown.

    Attributes
    ----------
    name
        The name in ``scores.csv``.
    better
        Which direction is better; None where neither is (a ceiling, an expected rate).
    per_class
        The value is (K,), one number a class, from one computation on the whole set.
    title
        What tables and figures call it on any extractor (default: the name in words).
    inception_title
        What it is called on Inception's features alone, such as FID; None where that is no
        other name.
    decimals
        Digits after the point.
    companion
        (name, title) of the output that this one is read against, in the place of a floor.
    auxiliary
        Stands beside another output and has no table or figure of its own.
    averaged
        Its mean over a group's classes is a number of its kind, as that of p-values is not.
    rank
        Place in print, smallest first: the order in which papers show them.
    """

    name: str
    better: Literal["higher", "lower"] | None
    per_class: bool = False
    title: str = ""
    inception_title: str | None = None
    decimals: int = 3
    companion: tuple[str, str] | None = None
    auxiliary: bool = False
    averaged: bool = True
    rank: int = 1000

    def __post_init__(self) -> None:
        if not self.title:
            object.__setattr__(self, "title", self.name.replace("_", " ").capitalize())


@dataclass(frozen=True)
class Metric:
    """A metric's definition.

    Attributes
    ----------
    name
        Registry name.
    needs
        What it is computed on: ``features``; ``logits`` of any classifier; ``class_logits`` of a
        classifier of the data set's own classes; ``images`` (uint8, N,C,H,W); ``bottleneck`` (pooled features
        of the trained network, for the probe stage).
    inputs
        Names of the arguments it takes, see the module.
    function
        (**inputs, **settings) -> one number; or a dict of as many values as `outputs`, by their names (in
        full, or without the metric's own in front) or, under other keys, in their order.
    outputs
        The numbers it returns.
    description
        One line.
    source
        The paper it is defined in.
    version
        Bumped whenever the same arrays would give another number.
    settings
        Fixed keyword arguments; part of the definition.
    scopes
        Where it may be computed: ``overall`` (all images), ``class``, ``pooled`` (a group's images as
        one set). Means over a group's classes follow from ``class``.
    minimum
        Fewest images of each input.
    extractor
        The one extractor of a named protocol, or None for any.
    default
        Part of the set measured when the user names none.
    prepare
        Reference -> an object that ``function`` takes in its place, worth keeping when one reference
        meets many sets (methods, floor draws, bootstrap replicates).
    floor
        Real images in the samples' place say something (else the metric is calibrated by itself).
    elsewhere
        Why it is not computed at the scopes it lacks; the reason beside the dash.
    quick
        Cheap enough to be computed some hundred times, for the image bootstrap.
    """

    name: str
    needs: Needs
    inputs: tuple[str, ...]
    function: Callable[..., Any]
    outputs: tuple[Output, ...]
    description: str
    source: str
    version: int = 1
    settings: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    scopes: tuple[Scope, ...] = EVERY
    minimum: int = 1
    extractor: str | None = None
    default: bool = True
    prepare: Callable[[Any], Any] | None = None
    floor: bool = True
    elsewhere: str = ""
    quick: bool = False

    @property
    def definition(self) -> str:
        """Name and version, such as ``frechet/1``; stands with every number."""
        return f"{self.name}/{self.version}"

    @property
    def called(self) -> str:
        """What a sentence about its mistakes calls it: ``metric NAME``, with the package that it is of."""
        found = extension_of(self)
        return f"metric {self.name}" + (f" ({found.origin})" if found else "")

    def guarded(self, doing: str) -> contextlib.AbstractContextManager[None]:
        """Tell what a package's function raises in one sentence; a fault of the tree's own stays what it is."""
        if isinstance(self.function, Lazy):  # the catalogue's, whether or not anyone has asked for it by name
            return contextlib.nullcontext()
        return in_one_sentence(lambda: f"{self.called} {doing}")

    def __call__(self, **available: Any) -> dict[str, Value]:
        """Return output name -> value, taking this metric's inputs out of ``available``.

        Raises
        ------
        UsageError
            What the metric itself refuses; its function failed, or returned other than one real number an output,
            (K,) where that is one a class.
        """
        with self.guarded("failed"):
            value = self.function(**{name: available[name] for name in self.inputs}, **self.settings)
        values = self._in_order(value) if isinstance(value, Mapping) else [value]
        if len(values) != len(self.outputs):
            raise UsageError(
                f"{self.called} returned {len(values)} value{'s' * (len(values) != 1)} and has {len(self.outputs)} "
                f"outputs: {', '.join(output.name for output in self.outputs)}"
            )
        classes = available.get("num_classes")
        return {
            output.name: self._as_value(output, v, classes)
            for output, v in zip(self.outputs, values, strict=True)
        }

    def check_finite(self, values: Mapping[str, Value]) -> None:
        """Refuse NaN or infinity where a number belongs; of a number a class, NaN says that there is none.

        Raises
        ------
        UsageError
            A number is not finite.
        """
        for name, value in values.items():
            if np.ndim(value) == 0 and not np.isfinite(value):
                raise UsageError(f"{self.called} returned {value} for {name}")
            for k in np.flatnonzero(np.isinf(value)) if np.ndim(value) else ():
                raise UsageError(f"{self.called} returned {np.asarray(value)[k]} for {name} of class {k}")

    def _in_order(self, value: Mapping[str, Any]) -> list[Any]:
        """Return a dict's values in the outputs' order, by name if all keys are names, as they stand if none is.

        A name is an output's, whole or without the metric's own before it.
        """
        full = [output.name for output in self.outputs]
        short = [name.removeprefix(f"{self.name}_") for name in full]
        for names in (full, short):
            if set(value) == set(names):
                return [value[name] for name in names]
        # Keys of its own go by order; one that is an output's name must be that output's.
        misplaced = (key in short and short.index(key) != place for place, key in enumerate(value))
        if set(value) & set(full) or any(misplaced):
            raise UsageError(
                f"{self.called} returned {', '.join(map(str, value))}, and its outputs are {', '.join(full)}: name them so"
            )
        return list(value.values())

    def _as_value(self, output: Output, value: Any, classes: int | None) -> Value:
        """Return what stands for an output as a float, or as (K,) float64 where it is one number a class."""
        said = type(value).__name__
        # Rows of unequal length, and tensors of no numbers, make no array.
        with contextlib.suppress(ValueError, TypeError, RuntimeError):
            array = _as_array(value)
            if array.dtype.kind in "biuf":
                if not output.per_class and array.ndim == 0:
                    return float(array)
                if output.per_class and array.ndim == 1 and classes in (None, len(array)):
                    return array.astype(np.float64, copy=False)
                said = f"an array of shape {array.shape}" if array.ndim else said
        wanted = f"{classes or 'K'} numbers belong, one a class" if output.per_class else "one number belongs"
        raise UsageError(f"{self.called} returned {said} for {output.name}, where {wanted}")


class Lazy:
    """A function of this package by path, imported at its first call; equal in signature to that function."""

    def __init__(self, path: str) -> None:
        self._path = path

    @functools.cached_property
    def _function(self) -> Callable[..., Any]:
        module, _, name = self._path.partition(":")
        target: Any = importlib.import_module(f"ltbench.metrics.{module}")
        for part in name.split("."):
            target = getattr(target, part)
        return target  # type: ignore[no-any-return]

    @property
    def __wrapped__(self) -> Callable[..., Any]:
        return self._function

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self._function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return self._function(*args, **kwargs)


@functools.cache
def lazily(path: str) -> Callable[..., Any]:
    """Return the function at ``module:name`` of this package, its module imported at the first call.

    So that what a metric is called can be asked without importing torch and SciPy. Equal paths give the same
    object, which makes two metrics share one prepared reference.
    """
    return Lazy(path)


def _as_array(value: Any) -> np.ndarray:
    """Return an array of what a metric gave; a tensor is fetched from its device, and NumPy knows no bfloat16."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if "bfloat16" in str(value.dtype) else value
    return np.asarray(value)
