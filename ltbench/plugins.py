"""Extension points: from files of the tree and entry points of installed packages to checked objects by name.

Methods, data sets, metrics, extractors and samplers are all found by this code. A registry declares its point
once, at module level, and asks it by name::

    METRICS = ExtensionPoint(
        "metric",                                        # what messages call one of them
        group="ltbench.metrics",                         # entry-point group of other people's packages
        name_of=lambda metric: metric.name,
        check=_check,                                    # raises TypeError or ValueError for a wrong object
        built_in=lambda: [("ltbench.metrics.frechet", FRECHET), ...],      # (origin, object), or instead
        scan=("ltbench.data.sources",), pick=lambda module: [module.SOURCE],   # every file of these packages
    )

    METRICS["kid"]          the object; an unknown name is a `UsageError` with the nearest known one
    METRICS.all()           name -> object, alphabetical
    METRICS.origin("kid")   the module, or the package with its version
    METRICS.foreign("kid")  whether it is another package's

An entry point (``[project.entry-points."ltbench.metrics"]`` with ``anything = "my_package:MY_METRIC"``) names
one object or a list of them. One that cannot be loaded or is refused by `check` is warned of once and left out;
asking for it by name says why. Names of the tree come first: a package cannot replace them.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import logging
import pkgutil
import re
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

import ltbench
from ltbench.errors import LtbenchError, UsageError, is_out_of_memory, nearest

T = TypeVar("T")
log = logging.getLogger("ltbench")
_NAME = re.compile(r"[a-z][a-z0-9_+.-]*")
_Load = Callable[[], Iterable[Any]]

_BESIDE = ("ltbench.methods", "ltbench.baselines")  # packages that stand beside ltbench/ in the checkout


@dataclass(frozen=True)
class Extension(Generic[T]):
    """One thing that was found.

    Attributes
    ----------
    name
        What a spec calls it.
    value
        The object itself.
    origin
        The module that defines it, or ``package NAME VERSION``.
    foreign
        Whether it is another package's: what its code raises is that package's fault, and told so.
    """

    name: str
    value: T
    origin: str
    foreign: bool = False


class ExtensionPoint(Generic[T]):
    """All things of one kind by name: those of the tree, then those of installed packages.

    Parameters
    ----------
    noun
        What a message calls one of them: ``metric``.
    group
        Entry-point group of other people's packages.
    name_of
        Returns the name of an object.
    check
        Raises TypeError or ValueError with a sentence for an object that cannot be used.
    built_in
        Returns (origin, object) pairs of the tree.
    scan, pick
        Packages of the tree whose every module is imported, and what of a module is meant.
    parts_of
        Returns names of things in an object, of which no other object may have one: a metric's numbers.
    """

    def __init__(
        self,
        noun: str,
        group: str,
        *,
        name_of: Callable[[T], str],
        check: Callable[[Any], None],
        built_in: Callable[[], Iterable[tuple[str, T]]] | None = None,
        scan: Sequence[str] = (),
        pick: Callable[[ModuleType], Iterable[Any]] | None = None,
        parts_of: Callable[[T], Iterable[str]] = lambda _: (),
    ) -> None:
        self.noun, self.group = noun, group
        self._name_of, self._check = name_of, check
        self._built_in, self._scan, self._pick, self._parts_of = built_in, scan, pick, parts_of
        self._lock = threading.RLock()
        self._found: dict[str, Extension[T]] | None = None
        self._broken: dict[str, str] = {}
        _POINTS.append(self)  # last: another thread may look through them

    def __getitem__(self, name: str) -> T:
        """Return the object called `name`, or raise `UsageError` with the nearest name or why it is broken."""
        extensions = self.extensions()
        if name in extensions:
            return extensions[name].value
        if name in self._broken:
            raise UsageError(f"{self.noun} {name!r} could not be loaded from {self._broken[name]}")
        raise UsageError(f"unknown {self.noun} {name!r}{nearest(name, extensions)}")

    def __contains__(self, name: object) -> bool:
        return name in self.extensions()

    def all(self) -> dict[str, T]:
        """Return every object by name, alphabetical."""
        return {name: extension.value for name, extension in self.extensions().items()}

    def origin(self, name: str) -> str:
        """Return where an object comes from: its module, or the package with its version."""
        self[name]
        return self.extensions()[name].origin

    def foreign(self, name: str) -> bool:
        """Tell whether the object called `name` is another package's; one that is not registered is not ours either."""
        extension = self.extensions().get(name)
        return extension is None or extension.foreign

    def broken(self) -> dict[str, str]:
        """Return the entry points and modules that could not be loaded, each with where it is and why."""
        self.extensions()
        return dict(self._broken)

    def forget(self) -> None:
        """Look for extensions again at the next question, as after installing a package in this process."""
        with self._lock:
            self._found, self._broken = None, {}

    def extensions(self) -> dict[str, Extension[T]]:
        """Return everything found with its origin, by name, alphabetical; looked for once a process."""
        with self._lock:
            if self._found is None:
                self._found = self._discover()
            return self._found

    def so_far(self) -> list[Extension[T]]:
        """Return what has been found already; empty before anyone has asked."""
        return list((self._found or {}).values())

    def _discover(self) -> dict[str, Extension[T]]:
        if self._scan:
            check_one_checkout()
        extensions: dict[str, Extension[T]] = {}
        owners: dict[str, str] = {}
        found = [(False, *each) for each in self._of_tree()]
        found += [(True, *each) for each in self._of_packages()]
        for foreign, label, origin, load in found:
            try:
                values = list(load())
            except (Exception, SystemExit) as error:  # a stranger's module must not stop the others
                self._leave_out(label, origin, error)
                continue
            for value in values:
                try:
                    self._add(value, origin, foreign, extensions, owners)
                except (Exception, SystemExit) as error:
                    own = self._name_or(label, value, extensions) if len(values) > 1 else label
                    self._leave_out(own, origin, error)
        return dict(sorted(extensions.items()))

    def _add(
        self,
        value: Any,
        origin: str,
        foreign: bool,
        extensions: dict[str, Extension[T]],
        owners: dict[str, str],
    ) -> None:
        """Add an object to those found, or raise what it cannot be used for."""
        self._check(value)
        name = self._name_of(value)
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(f"the name {name!r} must be lower-case letters, digits and _")
        if name in extensions:
            raise ValueError(f"the name {name!r} is taken by {extensions[name].origin}")
        parts = list(self._parts_of(value))
        if taken := next((part for part in parts if part in owners), None):
            raise ValueError(f"the name {taken!r} is taken by {owners[taken]}")
        owners |= dict.fromkeys(parts, f"{self.noun} {name} ({origin})")
        extensions[name] = Extension(name, value, origin, foreign)

    def _name_or(self, label: str, value: Any, extensions: dict[str, Extension[T]]) -> str:
        """Return the name by which a refused object of a list would be asked for; the label where it has none."""
        with contextlib.suppress(Exception):
            name = self._name_of(value)
            if isinstance(name, str) and _NAME.fullmatch(name) and name not in extensions:
                return name
        return label

    def _leave_out(self, label: str, origin: str, error: BaseException) -> None:
        self._broken[label] = f"{origin} ({in_words(error)})"
        log.warning(
            "%s %s is left out: it could not be loaded from %s", self.noun, label, self._broken[label]
        )

    def _of_tree(self) -> Iterator[tuple[str, str, _Load]]:
        for origin, value in self._built_in() if self._built_in else ():
            yield self._name_of(value), origin, lambda value=value: [value]  # type: ignore[misc]
        for package in self._scan:
            for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
                path = f"{package}.{module.name}"
                yield module.name, path, lambda path=path: self._picked(importlib.import_module(path))  # type: ignore[misc]

    def _picked(self, module: ModuleType) -> Iterable[Any]:
        assert self._pick is not None, "scan goes with pick"
        return self._pick(module)

    def _of_packages(self) -> Iterator[tuple[str, str, _Load]]:
        entries = metadata.entry_points(group=self.group)
        for entry in sorted(entries, key=lambda e: (e.dist.name if e.dist else "", e.name)):
            origin = f"package {entry.dist.name} {entry.dist.version}" if entry.dist else entry.value
            yield entry.name, origin, lambda entry=entry: _as_list(entry.load())  # type: ignore[misc]


_POINTS: list[ExtensionPoint[Any]] = []


def extension_of(value: object) -> Extension[Any] | None:
    """Return what a registered object is called and whose it is; None for one that no extension point has found."""
    found = (each for point in _POINTS for each in point.so_far())
    return next((extension for extension in found if extension.value is value), None)


@contextlib.contextmanager
def in_one_sentence(
    start: Callable[[], str], kind: type[LtbenchError] = UsageError, *, module: str = ""
) -> Iterator[None]:
    """Turn what a stranger's code raises into one sentence, ``START: ValueError: boom``, the exception its cause.

    Sentences of ltbench pass as they are, and so does the want of memory, which has advice of its own.

    Parameters
    ----------
    start
        Returns what failed, asked for only where something did.
    kind
        Class of the error.
    module
        The stranger's, whose last file and line on the way to the exception end the sentence. Not given where the
        sentence is kept beside a result, which would then change with the file's other lines.

    Raises
    ------
    kind
        The block raised any other exception.
    """
    try:
        yield
    except LtbenchError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        where = f", in {_line(error, module)}" if module else ""
        raise kind(f"{start()}: {in_words(error)}{where}") from error


def _line(error: BaseException, module: str) -> str:
    """Return where a module's package led to an exception, ``FILE line N``: a library's own line says not what to mend."""
    steps = list(traceback.walk_tb(error.__traceback__))
    package = module.partition(".")[0]
    own = [s for s in steps if str(s[0].f_globals.get("__name__", "")).partition(".")[0] == package]
    frame, line = (own or steps)[-1]
    return f"{Path(frame.f_code.co_filename).name} line {line}"


def in_words(error: BaseException) -> str:
    """Return an exception as one line, ``ValueError: boom``; of TorchScript's the last, which says what it is."""
    said = str(error).strip()
    if "TorchScript" in said.partition("\n")[0]:
        said = said.splitlines()[-1]
    start = f"{type(error).__name__}: "
    return " ".join(f"{start}{said.removeprefix(start)}".split()).removesuffix(":")


def check_one_checkout() -> None:
    """Refuse to work where the methods come from another checkout than the harness.

    An editable install maps ``ltbench.methods`` to the checkout that it was made in. A second checkout on the
    path would train the first one's methods and record its own commit.

    Raises
    ------
    UsageError
        One sentence naming both places and what to do.
    """
    here = Path(ltbench.__file__).resolve().parent
    for package in _BESIDE:
        spec = importlib.util.find_spec(package)
        places = [Path(place).resolve() for place in (spec.submodule_search_locations or ())] if spec else []
        if not places:
            raise UsageError(
                f"ltbench runs from {here.parent}, which is not installed, so that {package} is missing: "
                f"run `pip install -e {here.parent}`"
            )
        if places[0].parent not in (here, here.parent):
            raise UsageError(
                f"ltbench comes from {here.parent} and {package} from {places[0].parent}, which would train one checkout's "
                f"methods under the other's name: run `pip install -e {here.parent}`, or leave that folder"
            )


def _as_list(loaded: Any) -> list[Any]:
    return list(loaded) if isinstance(loaded, list | tuple) else [loaded]
