"""What can be named, ours and other packages': methods, data sets, metrics, extractors, samplers, guidance, presets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ltbench.errors import UsageError, nearest

if TYPE_CHECKING:
    import pandas as pd

    from ltbench.plugins import ExtensionPoint


KINDS = ("methods", "datasets", "metrics", "extractors", "samplers", "guidance", "presets")


def available(kind: str) -> pd.DataFrame:
    """Return what can be named: one row each with its name, title and origin.

    Parameters
    ----------
    kind
        ``methods``, ``datasets``, ``metrics``, ``extractors``, ``samplers``, ``guidance`` or ``presets``.

    Raises
    ------
    UsageError
        Another kind.

    Examples
    --------
    >>> import ltbench as lt
    >>> "coral" in set(lt.available("methods")["name"])
    True
    """
    import pandas as pd

    if kind not in KINDS:
        raise UsageError(f"nothing of the kind {kind!r}{nearest(str(kind), KINDS)}")
    if kind == "presets":
        from ltbench.study.presets import load_all

        rows = [(name, content.get("title", ""), "ltbench") for name, content in load_all().items()]
    elif kind == "extractors":
        from ltbench.extractors.registry import EXTRACTORS, known_extractors

        rows = [(row.name, row.title, EXTRACTORS.origin(row.name)) for row in known_extractors()]
    else:
        point = extension_points()[kind]
        rows = [
            (name, _title(extension.value), extension.origin)
            for name, extension in point.extensions().items()
        ]
    return pd.DataFrame(rows, columns=["name", "title", "origin"])


def extension_points() -> dict[str, ExtensionPoint[Any]]:
    """Return where other people's packages can add something, by kind."""
    from ltbench.data.registry import SOURCES
    from ltbench.diffusion.guidance import RULES
    from ltbench.diffusion.registry import SAMPLERS
    from ltbench.extractors.registry import EXTRACTORS
    from ltbench.method.registry import METHODS
    from ltbench.metrics.registry import METRICS

    return {
        "methods": METHODS,
        "datasets": SOURCES,
        "metrics": METRICS,
        "extractors": EXTRACTORS,
        "samplers": SAMPLERS,
        "guidance": RULES,
    }


def _title(extension: Any) -> str:
    """Return one line about an extension: a method states its paper, a metric what it measures."""
    for name in ("title", "paper", "description"):
        if text := getattr(extension, name, ""):
            return str(text)
    return ""
