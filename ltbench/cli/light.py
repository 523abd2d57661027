"""Import registries without their libraries: stand-ins for torch and the like, as Sphinx's autodoc mocks imports.

A listing needs a method's name, paper and defaults, not its tensors. Inside `light_imports`, modules that are
imported see empty stand-ins for `HEAVY`; afterwards they are forgotten, so the process can import them truly.
"""

from __future__ import annotations

import abc
import contextlib
import importlib.abc
import importlib.machinery
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any, TypeVar

T = TypeVar("T")
HEAVY = (
    "torch",
    "torchvision",
    "diffusers",
    "scipy",
    "sklearn",
    "matplotlib",
    "pandas",
    "transformers",
    "cleanfid",
)


class _Meta(abc.ABCMeta):
    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _stand_in(name)


class _StandIn(metaclass=_Meta):
    """A class to inherit from, a function to call, a decorator: whatever an import statement wants it to be."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __call__(self, *given: Any, **_: Any) -> Any:
        return given[0] if len(given) == 1 and callable(given[0]) else self

    def __class_getitem__(cls, _: Any) -> Any:
        return cls

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _stand_in(name)()

    def __getitem__(self, _: Any) -> Any:
        return self


def _stand_in(name: str) -> Any:
    return _Meta(name, (_StandIn,), {"__module__": "stand_in"})


class _Module(ModuleType):
    __path__: list[str] = []  # noqa: RUF012 - so that submodules can be imported

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _stand_in(name)


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(
        self, fullname: str, _path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition(".")[0] not in HEAVY:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return _Module(spec.name)

    def exec_module(self, module: ModuleType) -> None: ...


@contextlib.contextmanager
def light_imports() -> Iterator[None]:
    """Let imports in the block see stand-ins for `HEAVY`; a process that has the real torch keeps it."""
    if "torch" in sys.modules:
        yield
        return
    before, finder = set(sys.modules), _Finder()
    sys.meta_path.insert(0, finder)
    logging.disable(logging.WARNING)  # what fails here is imported again in earnest, and warned of then
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        sys.meta_path.remove(finder)
        for name in set(sys.modules) - before:
            if name.partition(".")[0] not in sys.stdlib_module_names | {"numpy", "pydantic", "rich"}:
                _forget(name)


def _forget(name: str) -> None:
    module = sys.modules.pop(name)
    parent, _, child = name.rpartition(".")
    if parent in sys.modules and vars(sys.modules[parent]).get(child) is module:
        delattr(sys.modules[parent], child)


def lightly(listing: Callable[[], T], complete: Callable[[T], bool] = lambda _: True) -> T:
    """Return what `listing` returns under `light_imports`; where that fails or is not complete, with the real libraries.

    Parameters
    ----------
    listing
        Imports what it needs, and returns plain values or objects that need their libraries no more.
    complete
        False for a result that lacks something, as a package that computes while it is imported.
    """
    try:
        with light_imports():
            result = listing()
            if complete(result):
                return result
    except Exception:  # an extension may do anything while it is imported
        pass
    return listing()
