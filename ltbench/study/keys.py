"""The keys of a study and how their values are read, from TOML and from the command line.

A key is a field of `RunSpec` with its section (``train.steps``), one of the short names in `SHORT`, or a
method's hyper-parameter (``coral.weight``).
"""

import difflib
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType, ModuleType
from typing import Any, TypeAlias, get_args, get_origin

from pydantic import BaseModel

from ltbench import spec
from ltbench.data import longtail
from ltbench.errors import UsageError, nearest

SECTIONS: Mapping[str, type[BaseModel]] = MappingProxyType(
    {
        "data": spec.DataSpec,
        "model": spec.ModelSpec,
        "train": spec.TrainSpec,
        "sample": spec.SampleSpec,
        "score": spec.ScoreSpec,
    }
)
SHORT: Mapping[str, str] = MappingProxyType(
    {
        "method": "method.name",
        "methods": "method.name",
        "dataset": "data.dataset",
        "imbalance_ratio": "data.imbalance_ratio",
        "class_order": "data.class_order",
        "split_seed": "data.split_seed",
        "seed": "train_seed",
        "seeds": "train_seed",
        "train_seeds": "train_seed",
        "sample_seed": "sample.seed",
        "guidance": "sample.guidance",
        "sampler": "sample.sampler",
    }
)


@dataclass(frozen=True)
class Value:
    """A setting and where it was written, for the sentence that refuses it."""

    value: Any
    where: str


Layer: TypeAlias = dict[str, Value]
"""Settings by full key, of one file, table or run."""


# --- keys ----------------------------------------------------------------------------------------------


def registry() -> ModuleType:
    """Return the methods' registry, imported on first use."""
    import ltbench.method.registry as methods  # imports torch, which `ltbench --help` must not wait for

    return methods


@cache
def _is_method(part: str) -> bool:
    try:
        registry().resolve(part, {})
    except UsageError:
        return False
    return True


@cache
def fields() -> dict[str, Any]:
    """Return every field's key and its annotation."""
    keys: dict[str, Any] = {"method.name": str, "train_seed": int}
    for section, model in SECTIONS.items():
        keys.update({f"{section}.{name}": info.annotation for name, info in model.model_fields.items()})
    return keys


def resolve_key(key: str, where: str) -> str:
    """Return the full key of `key` (``seeds`` -> ``train_seed``), or say which one was meant.

    Raises
    ------
    UsageError
        No setting has that name.
    """
    key = key.strip().replace("-", "_")
    key = key.removeprefix("method.hyperparameters.")
    if key in SHORT:
        return SHORT[key]
    if key in fields():
        return key
    section, _, rest = key.partition(".")
    if rest and section not in SECTIONS and section != "method" and _is_method(section):
        return key  # its name and value are the registry's to check
    if rest and section in SECTIONS:
        raise UsageError(f"{where}: unknown key {key!r}{_nearest_in(section, rest)}")
    if section in SECTIONS:
        first = next(iter(SECTIONS[section].model_fields))
        raise UsageError(f"{where}: {key!r} is a table; set one of its keys, as in {section}.{first}")
    close = nearest(key, [*SHORT, *_alike(key), *_short_guesses(key)])
    if rest and not _short_guesses(key) and not close.startswith("; did you mean"):
        raise UsageError(
            f"{where}: unknown key {key!r}: {section} is no section, and no method of that name is installed"
        )
    if not close.startswith("; did you mean"):
        sections = ", ".join(f"{name}.*" for name in SECTIONS)
        close = f"; keys are {sections}, METHOD.*, train_seed and {', '.join(SHORT)}"
    raise UsageError(f"{where}: unknown key {key!r}{close}")


def _alike(key: str) -> list[str]:
    """Return the full keys that `key` may be a slip of: of a dotted one, both section and name have to be alike."""
    section, dot, name = key.partition(".")

    def alike(a: str, b: str) -> bool:
        return difflib.SequenceMatcher(None, a, b).ratio() >= 0.6

    parts = ((known, *known.partition(".")[::2]) for known in fields())
    return [known for known, at, end in parts if not dot or (alike(section, at) and alike(name, end))]


def _nearest_in(section: str, name: str) -> str:
    """Return the end of the sentence for a name that a section lacks; what is alike is the name, not the section."""
    known = [field.partition(".")[2] for field in fields() if field.startswith(f"{section}.")]
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return (
        f"; did you mean {f'{section}.{close[0]}'!r}?"
        if close
        else f"; `ltbench settings {section}` lists its keys"
    )


def _short_guesses(key: str) -> list[str]:
    """Return the full keys that end in `key`: ``steps`` was meant as ``train.steps`` or ``sample.steps``."""
    tail = key.rpartition(".")[2]
    return [name for name in fields() if name.rpartition(".")[2] == tail]


def _is_table(key: str) -> bool:
    """Tell whether a key names a table: a section, or a method with its hyper-parameters."""
    return key in SECTIONS or key == "method" or (key not in SHORT and "." not in key and _is_method(key))


def flatten(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the entries of nested tables under dotted keys; an empty table where a value belongs is an entry too."""
    for key, value in table.items():
        if isinstance(value, Mapping) and (value or _is_table(prefix + key)):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


MOST_RUNS = 10_000
"""More runs than this are refused before they are expanded: a slip of the pen, or a study to be cut into parts."""


def too_many(where: str, number: int) -> str:
    """Return the sentence that refuses a grid by its size."""
    return (
        f"{where}: {number:,} runs are asked for, and a study has at most {MOST_RUNS:,}: give fewer values, or cut it "
        "into several studies"
    )


# --- values --------------------------------------------------------------------------------------------


def is_sequence(key: str) -> bool:
    """Say whether the field is itself a list."""
    return get_origin(fields().get(key)) is tuple


def is_integer(key: str) -> bool:
    """Say whether the field takes one whole number (or none)."""
    annotation = fields().get(key)
    return annotation is int or (int in get_args(annotation) and get_origin(annotation) is not tuple)


def read_axis(key: str, value: Any, where: str) -> list[Value]:
    """Return the settings one grid entry stands for: a list is an axis, except for a field that is a list."""
    if is_sequence(key):
        nested = isinstance(value, list) and value and all(isinstance(item, list) for item in value)
        return [Value(item, where) for item in value] if nested else [Value(value, where)]
    read = read_value(key, value, where)
    items = read if isinstance(read, list) else [read]
    if not items:
        raise UsageError(f"{where}: {key} is an empty list; give at least one value")
    return [Value(item, where) for given in items for item in _span(key, given, where)]


def read_value(key: str, value: Any, where: str) -> Any:
    """Return a setting's value, or list of them, an imbalance factor (``100``, ``1/100``: papers' way) read as a ratio."""
    if key != "data.imbalance_ratio":
        return value
    if isinstance(value, list):
        return [read_value(key, item, where) for item in value]
    try:
        ratio, words = longtail.read_ratio(value)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error
    if words:
        _say_once(f"{where}: {words}")
    return ratio


@cache
def _say_once(sentence: str) -> None:
    logging.getLogger("ltbench").warning(sentence)


def _span(key: str, value: Any, where: str) -> list[Any]:
    """Expand ``"0..4"`` (both ends included) where integers are wanted, and check that they are."""
    if not is_integer(key) or (isinstance(value, int) and not isinstance(value, bool)):
        return [value]
    text = str(value).strip()
    if re.search(r"[0-9]{19}", text):
        raise UsageError(f"{where}: {key} takes whole numbers below 10^18, not one of {len(text)} digits")
    if span := re.fullmatch(r"(-?[0-9]+)\.\.(-?[0-9]+)", text):
        first, last = int(span[1]), int(span[2])
        if last < first:
            raise UsageError(f"{where}: {key}={text} runs backwards; write {last}..{first}")
        if last - first >= MOST_RUNS:
            raise UsageError(too_many(where, last - first + 1))
        return list(range(first, last + 1))
    if re.fullmatch(r"[-+]?[0-9]+(_[0-9]+)*", text):
        return [int(text)]
    if text.lower() == "none":
        return [None]
    raise UsageError(f"{where}: {key} takes whole numbers, as in 0,1,2 or 0..4, not {text!r}")


def from_text(key: str, text: str) -> Any:
    """Read a command-line value: commas separate the entries of an axis or of a field that is a list."""
    text = text.strip()
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    items = [_scalar(key, item.strip()) for item in text.split(",") if item.strip()]
    return items if len(items) != 1 or is_sequence(key) else items[0]


def _scalar(key: str, text: str) -> Any:
    if key in fields():  # pydantic reads numbers and booleans from text
        return None if text.lower() == "none" and type(None) in get_args(fields()[key]) else text
    for read in (int, float):
        try:
            return read(text) if text.isascii() else text
        except ValueError:  # also an integer of thousands of digits
            continue
    return {"true": True, "false": False, "none": None}.get(text.lower(), text)


@cache
def canonical_method(name: str, where: str) -> str:
    """Return the registry's spelling of a method or composition.

    Raises
    ------
    UsageError
        No method or legal composition has that name.
    """
    try:
        return str(registry().resolve(name, {}).name)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error


def check_hyperparameter(key: str, value: Any, where: str) -> None:
    """Check a method's hyper-parameter even where no run uses it.

    Raises
    ------
    UsageError
        The method has no such hyper-parameter, or it does not take the value.
    """
    part, _, name = key.partition(".")
    if key not in fields():
        try:
            registry().resolve(part, {part: {name: value}})
        except UsageError as error:
            raise UsageError(f"{where}: {error}") from error
