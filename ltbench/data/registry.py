"""The sources of images by name: a file with a ``SOURCE`` in ltbench/data/sources/, or an entry point.

A file's ``SOURCE`` is one `Source`, or several in a tuple. Another package offers its own through the
entry-point group ``ltbench.datasets``.
"""

from collections.abc import Iterable
from types import ModuleType
from typing import Any

from ltbench.data.source import Source
from ltbench.plugins import ExtensionPoint


def _of_module(module: ModuleType) -> Iterable[Any]:
    sources = getattr(module, "SOURCE", ())  # a file without one helps the others
    return sources if isinstance(sources, tuple) else (sources,)


def _check(source: Any) -> None:
    if not isinstance(source, Source):
        raise TypeError(f"{source!r} is not an ltbench.data.Source")
    if source.channels not in (1, 3) or source.default_size not in source.sizes:
        raise ValueError(f"{source.name} needs 1 or 3 channels and a default size among its sizes")
    if source.num_classes and source.class_names and len(source.class_names) != source.num_classes:
        raise ValueError(f"{source.name} has {source.num_classes} classes, {len(source.class_names)} names")


SOURCES: ExtensionPoint[Source] = ExtensionPoint(
    "data set",
    group="ltbench.datasets",
    name_of=lambda source: source.name,
    check=_check,
    scan=("ltbench.data.sources",),
    pick=_of_module,
)


def get_source(name: str) -> Source:
    """Return the source called `name`; of ``folder_lt:NAME`` the first part is the source.

    Raises
    ------
    UsageError
        An unknown name, with the nearest one.
    """
    return SOURCES[name.partition(":")[0]]
