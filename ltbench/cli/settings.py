"""Settings by name: from the fields of a run's spec to what `ltbench settings [KEY]` prints."""

from __future__ import annotations

from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from rich.table import Column, Table

from ltbench.cli.console import make_console, styled
from ltbench.diffusion.guidance import RULES
from ltbench.diffusion.registry import SAMPLERS
from ltbench.errors import UsageError, nearest
from ltbench.plugins import ExtensionPoint
from ltbench.study.keys import SECTIONS, SHORT

console = make_console()
_SET_BY_THE_HARNESS = ("data.content", "train.init_weights", "train.imported")
_ABOUT = {
    "data": "which images a model trains on",
    "model": "the network",
    "train": "how long and how it is trained",
    "sample": "how images are generated",
    "score": "what is measured",
}


@dataclass(frozen=True)
class Setting:
    """One key of ``--set`` or of a study file.

    Attributes
    ----------
    key
        With its section, as in ``train.steps``.
    type
        What a value is: ``int``, ``float``, or the words it may be.
    default
        As one writes it; "" for none.
    bounds
        ``>= 1`` and the like; "" where any value of the type will do.
    help
        What it does.
    choices
        The words it may be; empty where it is no choice.
    """

    key: str
    type: str
    default: str
    bounds: str
    help: str
    choices: tuple[str, ...] = ()


def settings() -> list[Setting]:
    """Return every setting a person may give, in the order of a run: data, model, train, sample, score."""
    rows = [Setting("train_seed", "int", "0", ">= 0", "seed of initial weights, order, noise and times")]
    for section, model in SECTIONS.items():
        for name, info in model.model_fields.items():
            if (key := f"{section}.{name}") not in _SET_BY_THE_HARNESS:
                rows.append(_setting(key, info))
    return rows


def find(key: str) -> list[Setting]:
    """Return the settings that `key` names: one, a section's, or those that end in it.

    Raises
    ------
    UsageError
        There is none; the sentence names the nearest.
    """
    key = key.strip().replace("-", "_").rstrip(".")
    everything = settings()
    full = SHORT.get(key, key)
    matching = [
        s for s in everything if s.key == full or s.key.startswith(f"{key}.") or s.key.endswith(f".{key}")
    ]
    if not matching:
        names = [
            *SECTIONS,
            *SHORT,
            *(s.key for s in everything),
            *(s.key.partition(".")[2] for s in everything),
        ]
        raise UsageError(f"no setting {key!r}{nearest(key, names)}; a method's own are in `ltbench methods`")
    return matching


def _setting(key: str, info: FieldInfo) -> Setting:
    registered: dict[str, ExtensionPoint[Any]] = {"sample.sampler": SAMPLERS, "sample.rule": RULES}
    choices = tuple(registered[key].all()) if key in registered else _choices(info.annotation)
    default = info.get_default()
    return Setting(
        key,
        " | ".join(choices) or _type_text(info.annotation),
        ",".join(map(str, default)) if isinstance(default, tuple) else _plain(default),
        ", ".join(filter(None, (_bound(limit) for limit in info.metadata))),
        info.description or "",
        choices,
    )


def _plain(value: Any) -> str:
    if value is None:
        return ""
    return (
        str(value).lower()
        if isinstance(value, bool)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )


def _choices(hint: Any) -> tuple[str, ...]:
    if get_origin(hint) in (Union, UnionType):
        return next(filter(None, map(_choices, get_args(hint))), ())
    return tuple(map(str, get_args(hint))) if get_origin(hint) is Literal else ()


def _type_text(hint: Any) -> str:
    if get_origin(hint) in (Union, UnionType):
        return " | ".join(_type_text(part) for part in get_args(hint) if part is not NoneType)
    if get_origin(hint) is tuple:
        return f"{_type_text(get_args(hint)[0])}, ..."
    return getattr(hint, "__name__", str(hint))


def _bound(limit: Any) -> str:
    for name, sign in (("ge", ">="), ("gt", ">"), ("le", "<="), ("lt", "<")):
        if hasattr(limit, name):
            return f"{sign} {getattr(limit, name):g}"
    return ""


def show_settings(key: str | None) -> None:
    """Print all settings by section, or those that a key names with how to write them."""
    shown = settings() if key is None else find(key)
    table = Table(
        Column("setting", overflow="fold", min_width=26),
        "default",
        "values",
        "what it is",
        box=None,
        header_style="bold",
    )
    section = ""
    for setting in shown:
        here = setting.key.partition(".")[0]
        if here != section and here in _ABOUT:
            table.add_row(styled((f"[{here}]", "bold")), "", "", styled((_ABOUT[here], "bold")))
        section = here
        values = f"{setting.type} {setting.bounds}".rstrip()
        table.add_row(setting.key, setting.default, values, setting.help)
    console.print(table)
    first = shown[0]
    example = first.choices[-1] if first.choices else first.default or "VALUE"
    console.print(
        f"\non the command line: --set {first.key}={example} (several, comma-separated, make a grid); "
        f"in a study file: `{first.key.rpartition('.')[2]} = ...` under [{first.key.rpartition('.')[0] or 'top'}]",
        soft_wrap=True,
    )
    if key is None:
        console.print("a method's own settings (coral.tau_sc=0.1): ltbench methods")
