"""Hyper-parameters of one method: given values, typed and checked, to its frozen dataclass, and back to what differs."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from ltbench.errors import UsageError, nearest
from ltbench.method import Method
from ltbench.plugins import extension_of, in_one_sentence
from ltbench.specs import matching_variant, one_zero


def checked(method: type[Method], hyperparameters: Mapping[str, Any]) -> Any:
    """Return the method's `Hyperparameters` with a variant's values applied, then those given.

    Its field ``variant``, where there is one, names the variant that the result is, ``custom`` where none.

    Raises
    ------
    UsageError
        Unknown hyper-parameter or variant; a value of the wrong type or out of range.
    """
    given = {key: _typed(method, key, value) for key, value in hyperparameters.items()}
    variant = given.pop("variant", None)
    if variant is not None and variant not in method.VARIANTS:
        raise UsageError(
            f"unknown variant {variant!r} of {method.name}{nearest(str(variant), method.VARIANTS)}"
        )
    with refused(method, TypeError):  # a dataclass's own check may speak of a type
        values = method.Hyperparameters(**{**(stated(method, variant) if variant else {}), **given})
    if method.VARIANTS:
        values = dataclasses.replace(values, variant=variant_of(method, values))
    return values


@contextlib.contextmanager
def refused(method: type[Method], *also: type[Exception]) -> Iterator[None]:
    """Tell what a method's own code raises as one sentence: settings that it refuses, or a fault of a package's code.

    A fault of the tree's own methods stays what it is.

    Parameters
    ----------
    method
        Whose code the block runs.
    also
        What refuses a setting here, beside ValueError, ArithmeticError and AssertionError (an `assert`).

    Raises
    ------
    UsageError
        The settings are refused, or a package's code raised any exception; its sentence names file and line.
    """
    refusals: tuple[type[Exception], ...] = (ValueError, ArithmeticError, AssertionError, *also)
    fault = f"the code of method {method.name} failed, which no setting mends"
    found = extension_of(method)
    own = found is not None and not found.foreign
    told = in_one_sentence(lambda: fault, module=method.__module__)
    with contextlib.nullcontext() if own else told:
        try:
            yield
        except refusals as error:
            reason = str(error) or f"its settings are refused ({type(error).__name__})"
            raise UsageError(f"{method.name}: {reason}") from error


@functools.cache
def hints(hyperparameters: type) -> dict[str, Any]:
    """Return field name -> type of a Hyperparameters class, also where its annotations are text."""
    return get_type_hints(hyperparameters, include_extras=True)


@functools.cache
def _adapter(hint: Any) -> TypeAdapter[Any]:
    return TypeAdapter(hint, config=ConfigDict(allow_inf_nan=False))


def _typed(method: type[Method], key: str, value: Any) -> Any:
    """Return `value` as the type of the hyper-parameter `key`, or say what it must be."""
    names = [f.name for f in dataclasses.fields(method.Hyperparameters)]
    if key not in names:
        hint = nearest(key, names) if names else ": it has none"
        raise UsageError(f"unknown hyper-parameter {key!r} of {method.name}{hint}")
    hint = hints(method.Hyperparameters)[key]
    expected = f"{method.name}.{key} must be {type_in_words(hint)}, not {value!r}"
    if isinstance(value, bool) and bool not in (hint, *get_args(hint)):  # pydantic would read true as 1.0
        raise UsageError(expected)
    try:
        return one_zero(_adapter(hint).validate_python(value))
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"].startswith(("greater_than", "less_than")):
            expected = f"{method.name}.{key} {first['msg'].removeprefix('Input ')}, not {value!r}"
        raise UsageError(expected) from error


def type_in_words(hint: Any) -> str:
    """Return what a value of the type must be: ``a number``, ``one of a, b``."""
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(map(str, get_args(hint)))
    if args := get_args(hint):
        return " or ".join(
            "none" if a is type(None) else type_in_words(a) for a in args if not _is_metadata(a)
        )
    return {float: "a number", int: "an integer", bool: "true or false", str: "text"}.get(hint, str(hint))


def _is_metadata(argument: Any) -> bool:
    """Return True for what ``Annotated`` carries beside its type."""
    return not isinstance(argument, type) and get_origin(argument) is None


def variant_of(method: type[Method], values: Any) -> str:
    """Return the first variant that agrees with `values` in every field that any variant sets.

    A field marked ``by_cell``, a constant that the paper chooses for each data set, decides only for the variants
    that set it.
    """
    by_cell = {f.name for f in dataclasses.fields(method.Hyperparameters) if f.metadata.get("by_cell")}
    variants = {name: stated(method, name) for name in method.VARIANTS}
    return matching_variant(vars(values), vars(method.Hyperparameters()), variants, by_cell)


def stated(method: type[Method], variant: str) -> dict[str, Any]:
    """Return what a variant sets, typed as given values are: a key hashes 2 and 2.0 differently."""
    return {key: _typed(method, key, value) for key, value in method.VARIANTS[variant].items()}


def differing(method: Method) -> dict[str, Any]:
    """Return the hyper-parameters that differ from the class's; the variant's name follows from them."""
    current, default = dataclasses.asdict(method.hp), dataclasses.asdict(method.Hyperparameters())
    return {key: value for key, value in current.items() if key != "variant" and value != default[key]}
