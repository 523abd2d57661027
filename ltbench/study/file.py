"""From a preset or study file and the command line to a list of runs, all checked before any starts.

A study file is TOML. Its base tables (``[data]``, ``[train]``, ...) hold for every run; ``[for.coral]``
overrides them for one method; every ``[[grid]]`` block is a table of key -> value or list, expanded as a
Cartesian product, and the blocks are joined in order. What the command line sets wins over all of them:
it replaces the key in every block. A key is any field of `RunSpec` (``train.steps``), one of `SHORT`, or a
method's hyper-parameter (``coral.weight``), which applies only to the runs whose method contains it.
"""

import itertools
import json
import math
import tomllib
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ltbench import spec
from ltbench.errors import UsageError, nearest
from ltbench.files import parsing, read_text
from ltbench.specs import RunSpec
from ltbench.study.builder import RunBuilder
from ltbench.study.contrast import Contrast, read_contrast
from ltbench.study.curve import with_snapshots
from ltbench.study.keys import (
    MOST_RUNS,
    SECTIONS,
    SHORT,
    Layer,
    Value,
    canonical_method,
    check_hyperparameter,
    flatten,
    from_text,
    is_sequence,
    read_axis,
    read_value,
    resolve_key,
    too_many,
)
from ltbench.study.presets import find_preset
from ltbench.study.selection import Selection, read_selection

_ABOUT = (
    "title",
    "description",
    "contrast",
    "select",
    "default_for",
    "for",
    "grid",
)  # top-level keys that are no run's field
_WORDS = {"title", "description", "default_for", "contrast", "select"}  # what describes runs and states none


@dataclass(frozen=True)
class Study:
    """What a study file and the command line ask for.

    Attributes
    ----------
    title, description
        The file's own words; the title defaults to the file's name.
    runs
        Every run once, in the order of the grid.
    source
        The file, or None where only flags were given.
    contrast
        The one planned comparison, or None (see `ltbench.study.contrast`).
    select
        What is tuned before anything is reported, or None (see `ltbench.study.selection`).
    """

    title: str
    description: str
    runs: tuple[RunSpec, ...]
    source: Path | None = None
    contrast: Contrast | None = None
    select: Selection | None = None


@dataclass
class _File:
    base: Layer = field(default_factory=dict)
    per_method: dict[str, Layer] = field(default_factory=dict)
    blocks: list[dict[str, list[Value]]] = field(default_factory=lambda: [{}])


# --- layers --------------------------------------------------------------------------------------------


def _read_file(path: Path) -> dict[str, Any]:
    text = read_text(path, advice="save it as TOML in UTF-8")
    with parsing(path):
        try:
            content: dict[str, Any] = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"{path} is not valid TOML: {error}") from error
        _check_values(content, path.name)
    return content


def _check_values(value: Any, where: str) -> None:
    """Refuse what no setting can be, in a list or table of any depth: numbers beyond 64 bits."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            _check_values(item, where if len(where) > 80 else f"{where}: {key}")
    elif isinstance(value, list):
        for item in value:
            _check_values(item, where)
    elif isinstance(value, int) and abs(value) >= 2**63:
        raise UsageError(f"{where}: a whole number there is beyond 64 bits")


def _layer(table: Any, where: str) -> Layer:
    if not isinstance(table, Mapping):
        raise UsageError(f"{where}: expected a table of keys and values, not {table!r}")
    layer: Layer = {}
    for name, value in flatten(table):
        if name in SECTIONS and isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
            raise UsageError(f"{where}: [[{name}]] makes a list of a table: write [{name}]")
        key, place = resolve_key(name, where), f"{where}: {name}"
        if key in layer:
            raise UsageError(f"{place} sets {key} again, as {layer[key].where} does: keep one of them")
        layer[key] = Value(read_value(key, value, place), place)
    for key, item in layer.items():
        for value in item.value if isinstance(item.value, list) else [item.value]:
            check_hyperparameter(key, value, item.where)
    return layer


def _parse(content: dict[str, Any], name: str) -> _File:
    plain = {key: value for key, value in content.items() if key not in _ABOUT}
    for key in plain:
        if key not in {*SHORT, *SECTIONS, "method", "train_seed"} and not isinstance(plain[key], Mapping):
            known = [*_ABOUT, *SECTIONS, *SHORT, "train_seed"]
            raise UsageError(f"{name}: unknown key {key!r}{nearest(key, known)}")
    file = _File(base=_layer(plain, name))
    for key, setting in file.base.items():
        if isinstance(setting.value, list) and not is_sequence(key):
            raise UsageError(f"{setting.where} is a list; put it in a [[grid]] block to run each value")
    overrides = content.get("for", {})
    if not isinstance(overrides, Mapping):
        raise UsageError(f"{name}: 'for' must hold tables, as in [for.coral]")
    for method, table in overrides.items():
        where = f"{name}: [for.{method}]"
        canonical = canonical_method(method, where)
        if canonical in file.per_method:
            raise UsageError(f"{where} sets {canonical} again: keep one table of that method")
        file.per_method[canonical] = _layer(table, where)
    blocks = content.get("grid", [{}])
    if isinstance(blocks, Mapping):
        blocks = [blocks]
    if not isinstance(blocks, list):
        raise UsageError(f"{name}: 'grid' must be a table of lists, as in [[grid]]")
    if not blocks:
        raise UsageError(f"{name}: 'grid' is empty: give it a [[grid]] block or leave it out")
    file.blocks = []
    for number, block in enumerate(blocks, start=1):
        where = f"{name}: [[grid]] {number}" if len(blocks) > 1 else f"{name}: [[grid]]"
        layer = _layer(block, where)
        file.blocks.append({key: read_axis(key, given.value, given.where) for key, given in layer.items()})
    return file


def _command_line(sets: Sequence[str], flags: Mapping[str, Any]) -> dict[str, list[Value]]:
    """Read ``--methods a,b`` and ``--set a.b=1,2``; a later one replaces an earlier one."""
    out: dict[str, list[Value]] = {}
    for flag, value in flags.items():
        if value is None or value == () or value == []:
            continue
        where = f"--{flag.replace('_', '-')}"
        key = resolve_key(flag, where)
        given = from_text(key, value) if isinstance(value, str) else value
        out[key] = read_axis(key, list(given) if isinstance(given, tuple) else given, where)
    for entry in sets:
        name, equals, text = entry.partition("=")
        if not equals:
            raise UsageError(f"--set {entry}: write it as KEY=VALUE, as in --set train.steps=2000")
        key = resolve_key(name, "--set")
        if not text.strip():
            raise UsageError(f"--set {entry}: no value after '='")
        out[key] = read_axis(key, from_text(key, text), f"--set {key}")
        for item in out[key]:
            check_hyperparameter(key, item.value, item.where)
    return out


def asked(key: str, sets: Sequence[str], flags: Mapping[str, Any]) -> list[Any]:
    """Return the values that ``--set`` entries and flags give a full key, as a study reads them; [] for none.

    Raises
    ------
    UsageError
        An entry or flag that no study takes.
    """
    own = {flag: value for flag, value in flags.items() if resolve_key(flag, f"--{flag}") == key}
    return [item.value for item in _command_line(sets, own).get(key, ())]


# --- the grid ------------------------------------------------------------------------------------------


def _expand(file: _File, override: Mapping[str, list[Value]]) -> Iterator[Layer]:
    """Yield the settings of every run: base < [for.METHOD] < [[grid]] < command line."""
    blocks = [{**block, **override} for block in file.blocks]
    number = sum(math.prod(len(values) for values in axes.values()) for axes in blocks)
    if number > MOST_RUNS:
        longest = max((values for axes in blocks for values in axes.values()), key=len)
        raise UsageError(too_many(longest[0].where, number))
    for axes in blocks:
        for values in itertools.product(*axes.values()):
            chosen = dict(zip(axes, values, strict=True))
            named = chosen.get("method.name") or file.base.get("method.name") or Value("ddpm", "default")
            method = canonical_method(str(named.value), named.where)
            parts = method.split("+")
            settings = {**file.base, **_for_method(file, method, parts), **chosen}
            settings["method.name"] = Value(method, named.where)
            yield {key: item for key, item in settings.items() if _applies(key, parts)}


def _for_method(file: _File, method: str, parts: Sequence[str]) -> Layer:
    """Return what [for.X] sets: all of it for X itself, X's hyper-parameters for compositions with X."""
    layer: Layer = {}
    for part in parts:
        for key, item in file.per_method.get(part, {}).items():
            if key.startswith(f"{part}.") or part == method:
                layer[key] = item
    return {**layer, **file.per_method.get(method, {})}


def _applies(key: str, parts: Iterable[str]) -> bool:
    section = key.partition(".")[0]
    return section in SECTIONS or section in ("method", "train_seed") or section in parts


def _unused(file: _File, override: Mapping[str, list[Value]], used: set[str]) -> None:
    """Refuse a hyper-parameter of a method that no run has (a file's, unless --methods chose others)."""
    given = dict(override)
    if "method.name" not in override:
        for block in file.blocks:
            given.update(block)
        given.update({key: [item] for key, item in file.base.items()})
    for key, values in given.items():
        if key not in used:
            part = key.partition(".")[0]
            raise UsageError(f"{values[0].where}: no run has method {part!r}; add it to the methods")


def load_study(
    preset: str | Path | None = None,
    sets: Sequence[str] = (),
    flags: Mapping[str, Any] = MappingProxyType({}),
) -> Study:
    """Return the study that a preset or study file, ``--set`` entries and flags describe.

    Parameters
    ----------
    preset
        A preset's name, the path of a TOML file, or None for the defaults of `RunSpec`.
    sets
        ``KEY=VALUE[,VALUE...]`` entries, as given to ``--set``.
    flags
        Flag's name (a key of `SHORT` or any full key) -> text or list; None is left out.

    Raises
    ------
    UsageError
        One sentence naming file or flag, key and what is allowed, for the first thing wrong.
    """
    with parsing("what was asked for" if preset is None else str(preset)):
        return _load(None if preset is None else find_preset(preset), sets, flags)


def _load(path: Path | None, sets: Sequence[str], flags: Mapping[str, Any]) -> Study:
    content: dict[str, Any] = {} if path is None else _read_file(path)
    name = "" if path is None else path.name
    file = _parse(content, name)
    override = _command_line(sets, flags)
    builder = RunBuilder()
    runs: dict[Hashable, RunSpec] = {}
    used: set[str] = set()
    for settings in _expand(file, override):
        used.update(settings)
        for run in with_snapshots(builder.run(settings)):
            runs.setdefault(_identity(run), run)
    _unused(file, override, used)
    study = Study(
        title=_text(content, "title", name) or (path.stem if path else "study"),
        description=_text(content, "description", name),
        runs=tuple(runs.values()),
        source=path,
        contrast=read_contrast(content.get("contrast"), name, tuple(runs.values())),
        select=read_selection(content.get("select"), name),
    )
    if path is not None and not {key for key, value in content.items() if not _is_bare(value)} - _WORDS:
        raise UsageError(
            f"{path} is empty: it names no data set, method or setting; `ltbench presets` lists files that do"
        )
    return study


def _identity(run: RunSpec) -> Hashable:
    """Return what makes two runs one: the sample set, and what is scored on it."""
    return spec.sample_key(run), run.score, run.train.snapshots


def _is_bare(value: Any) -> bool:
    """Tell whether a table or list holds nothing, or nothing but such tables and lists."""
    if isinstance(value, Mapping | list):
        return all(map(_is_bare, value.values() if isinstance(value, Mapping) else value))
    return False


def _text(content: Mapping[str, Any], key: str, name: str) -> str:
    value = content.get(key, "")
    if not isinstance(value, str):
        raise UsageError(f"{name}: {key} must be text, not {json.dumps(value, default=str)}")
    return value
