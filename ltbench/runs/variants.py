"""A method's defaults and variants from the text of its file, so that reading results needs no torch.

Methods import torch, which costs a reader of tables three seconds; what a hyper-parameter is by default, and which
constants a variant stands for, are literals of the file. Where they are not, and for other people's packages, the
method is loaded.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ltbench.errors import UsageError
from ltbench.spec import MethodSpec

_ROOMS = ("ltbench.baselines", "ltbench.methods")


@dataclass(frozen=True)
class Declared:
    """What a method's file states: hyper-parameter -> default, and variant -> the hyper-parameters it sets."""

    defaults: Mapping[str, Any]
    variants: Mapping[str, Mapping[str, Any]]

    def variant_of(self, given: Mapping[str, Any]) -> str:
        """Return the variant that the given hyper-parameters are, ``custom`` where none; "" without variants."""
        values = {**self.defaults, **given}
        deciding = {key for settings in self.variants.values() for key in settings}
        for name, settings in self.variants.items():
            if all(values[key] == settings.get(key, self.defaults[key]) for key in deciding):
                return name
        return "custom" if self.variants else ""


@functools.cache
def declared(method: str) -> Declared | None:
    """Return what the file of one of the tree's methods states; None where it is none, or no literal."""
    for room in _ROOMS:
        found = importlib.util.find_spec(f"{room}.{method}") if method.isidentifier() else None
        if found is not None and found.origin is not None:
            try:
                return _declared(ast.parse(Path(found.origin).read_text(encoding="utf-8")), method)
            except (ValueError, SyntaxError, OSError, KeyError):
                return None
    return None


def _declared(tree: ast.Module, method: str) -> Declared:
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    (stated,) = (s for node in classes.values() if (s := _assigned(node)).get("name") == method)
    fields = _assigned(classes["Hyperparameters"]) if "Hyperparameters" in classes else {}
    return Declared(fields, stated.get("VARIANTS", {}))


def _assigned(node: ast.ClassDef) -> dict[str, Any]:
    """Return the literals that a class body assigns; of a dataclass field its default."""
    out = {}
    for line in node.body:
        targets = line.targets if isinstance(line, ast.Assign) else [getattr(line, "target", None)]
        value = getattr(line, "value", None)
        if isinstance(value, ast.Call):  # field(default=1.0, metadata=...)
            value = next((k.value for k in value.keywords if k.arg == "default"), None)
        for target in targets:
            if isinstance(target, ast.Name) and value is not None and not isinstance(value, ast.Name):
                try:
                    out[target.id] = ast.literal_eval(value)
                except ValueError:
                    if target.id in ("name", "VARIANTS") or isinstance(line, ast.AnnAssign):
                        raise
    return out


def current_variant(spec: MethodSpec) -> str | None:
    """Return the variant that a spec's hyper-parameters are today; None of a method that is not installed here."""
    parts, given = spec.name.split("+"), spec.hyperparameters
    found = {part: declared(part) for part in parts}
    known = {
        part: d for part, d in found.items() if d is not None and set(given.get(part, {})) <= set(d.defaults)
    }
    if len(known) == len(parts) and not any("variant" in values for values in given.values()):
        named = {part: d.variant_of(given.get(part, {})) for part, d in known.items() if d.variants}
        return "+".join(f"{k}:{v}" for k, v in named.items()) if len(parts) > 1 else "".join(named.values())
    from ltbench.method.registry import create  # imports torch

    try:
        return create(spec).variant
    except UsageError:
        return None


def current_default(method: str, hyperparameter: str) -> Any:
    """Return a hyper-parameter's default today; None of a method that is not installed here."""
    if (found := declared(method)) is not None:
        return found.defaults.get(hyperparameter)
    from ltbench.method.registry import create_method  # imports torch

    try:
        return getattr(create_method(method).hp, hyperparameter, None)
    except UsageError:
        return None
