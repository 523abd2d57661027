"""A method's defaults and variants from the text of its file, so that reading results needs no torch.

Methods import torch, which costs a reader of tables three seconds; what a hyper-parameter is by default, and which
constants a variant stands for, are literals of the file. Where they are not, and for other people's packages, the
method is loaded.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import importlib.util
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ltbench.errors import UsageError
from ltbench.specs import MethodSpec, matching_variant

_ROOMS = ("ltbench.baselines", "ltbench.methods")


@dataclass(frozen=True)
class Declared:
    """What a method's file states: hyper-parameter -> default, variant -> the hyper-parameters it sets, and which
    hyper-parameters a paper chooses for each data set."""

    defaults: Mapping[str, Any]
    variants: Mapping[str, Mapping[str, Any]]
    by_cell: frozenset[str]

    def variant_of(self, given: Mapping[str, Any]) -> str:
        """Return the variant that the given hyper-parameters are, ``custom`` where none; "" without variants."""
        if not self.variants:
            return ""
        return matching_variant({**self.defaults, **given}, self.defaults, self.variants, self.by_cell)


@functools.cache
def declared(method: str) -> Declared | None:
    """Return what the file of one of the tree's methods states; None where it is none, or no literal."""
    for room in _ROOMS:
        found = importlib.util.find_spec(f"{room}.{method}") if method.isidentifier() else None
        if found is not None and found.origin is not None:
            try:
                return _declared(ast.parse(Path(found.origin).read_text(encoding="utf-8")), method)
            except (ValueError, SyntaxError, OSError, TypeError):
                return None
    return None


def _declared(tree: ast.Module, method: str) -> Declared:
    names = _assigned(tree.body, {})
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    bodies = {name: _assigned(node.body, names) for name, node in classes.items()}
    ((owner, stated),) = ((name, body) for name, body in bodies.items() if body.get("name") == method)
    if "VARIANTS" not in stated and any(target == "VARIANTS" for target, _ in _lines(classes[owner].body)):
        raise ValueError("its variants are no constants")
    fields = list(_lines(classes["Hyperparameters"].body)) if "Hyperparameters" in classes else []
    by_cell = {name for name, value in fields if _keyword(value, "metadata", {}).get("by_cell")}
    return Declared(bodies.get("Hyperparameters", {}), stated.get("VARIANTS", {}), frozenset(by_cell))


def _lines(body: Sequence[ast.stmt]) -> Iterator[tuple[str, ast.expr]]:
    """Yield (name, value) of what a module or class assigns."""
    for line in body:
        if isinstance(line, ast.Assign | ast.AnnAssign) and line.value is not None:
            for target in line.targets if isinstance(line, ast.Assign) else [line.target]:
                if isinstance(target, ast.Name):
                    yield target.id, line.value


def _assigned(body: Sequence[ast.stmt], names: Mapping[str, Any]) -> dict[str, Any]:
    """Return the constants that a module or class assigns; of a dataclass field its default; others are left out."""
    out: dict[str, Any] = {}
    for name, value in _lines(body):
        with contextlib.suppress(ValueError):
            known = {**names, **out}
            out[name] = _keyword(value, "default") if isinstance(value, ast.Call) else _constant(value, known)
    return out


def _keyword(call: ast.expr, name: str, *otherwise: Any) -> Any:
    """Return the constant that a call's keyword is, as in ``field(default=1.0, metadata={...})``."""
    if isinstance(call, ast.Call):
        for keyword in call.keywords:
            if keyword.arg == name:
                return _constant(keyword.value, {})
    if otherwise:
        return otherwise[0]
    raise ValueError(f"no {name}")


def _constant(node: ast.expr, names: Mapping[str, Any]) -> Any:
    """Return a literal, a name for one, or dictionaries of them joined by ``|``; ValueError for anything else."""
    if isinstance(node, ast.Name) and node.id in names:
        return names[node.id]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _constant(node.left, names) | _constant(node.right, names)
    if isinstance(node, ast.Dict) and all(key is not None for key in node.keys):
        keys = [ast.literal_eval(key) for key in node.keys if key is not None]
        return dict(zip(keys, (_constant(value, names) for value in node.values), strict=True))
    return ast.literal_eval(node)


def current_variant(spec: MethodSpec) -> str | None:
    """Return the variant that a spec's hyper-parameters are today; None of a method that is not installed here."""
    parts, given = spec.name.split("+"), spec.hyperparameters
    found = {part: declared(part) for part in parts}
    known = {
        part: d
        for part, d in found.items()
        if d is not None and {*given.get(part, {}), *itertools.chain(*d.variants.values())} <= set(d.defaults)
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
