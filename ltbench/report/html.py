"""The document tree as one self-contained HTML page: works offline, from a file, without a server.

Figures travel as data and are drawn by the page's own script, so that filters act on them as on tables, marks answer
to the pointer, and the page stays small; pictures travel as PNG.
"""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Sequence
from dataclasses import fields
from importlib import resources
from typing import Any

import numpy as np
from markupsafe import Markup, escape
from PIL import Image as Picture

import ltbench
from ltbench.analysis.names import method_rank, method_title
from ltbench.report.document import Document
from ltbench.report.figures.model import Image, Mark, Panel, Style
from ltbench.report.render import environment
from ltbench.text import visible

LARGEST = 4 << 20  # bytes of pictures that a page may hold
_DIGITS = 5  # significant, of a number that is drawn


def html_page(document: Document) -> str:
    """Return the page; pictures beyond `LARGEST` are left out and said so."""
    figures = {figure.name: figure for figure in document.figures()}
    budget = LARGEST
    pictures: dict[str, Any] = {}
    for name, figure in figures.items():
        if figure.image is not None:
            packed = _picture(figure.image)
            size = sum(len(uri) for row in packed["rows"] for uri in row["strips"])
            if size <= budget:
                budget -= size
                pictures[name] = packed
    charts = {
        name: {"across": figure.across, "panels": _plain(figure.panels)}
        for name, figure in figures.items()
        if figure.image is None
    }
    cells, styles = [scene.cell for scene in document.scenes], document.scenes[0].styles
    methods = sorted(map(str, document.results.scores["method"].unique()), key=method_rank)
    return (
        environment(_escaped)
        .get_template("report.html.j2")
        .render(
            version=ltbench.__version__,
            title=document.top.title,
            top=document.top,
            cells=cells,
            guidances=sorted({one.scale for cell in cells for one in cell.series} - {""}, key=float),
            methods=[(m, method_title(m), styles[m].colour) for m in methods],
            colours={m: styles[m].colour for m in methods},
            runs=document.results.runs,
            pictures=pictures,
            charts=Markup(_script_json(charts)),
            css=_inline("report.css"),
            js=_inline("report.js"),
        )
    )


def _escaped(plain: str) -> str:
    """Escape text for HTML, control characters too, which autoescaping leaves: a page may be read in a terminal."""
    return escape(visible(plain, keep="\n\t"))


def _inline(name: str) -> Markup:
    """Return a template's file as it is: our own CSS or script, which needs no escaping."""
    return Markup((resources.files("ltbench.report") / "templates" / name).read_text(encoding="utf-8"))


# -- figures --------------------------------------------------------------------------------------------------


def _script_json(content: object) -> str:
    """Return JSON that is safe inside a script element."""
    said = json.dumps(content, separators=(",", ":"), ensure_ascii=False)
    return said.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _plain(part: Any) -> Any:
    """Return a part of a figure for JSON: what is not empty of it by name, numbers to five digits, None for nan."""
    if isinstance(part, Panel | Mark | Style):
        return {f.name: _plain(stated) for f in fields(part) if (stated := getattr(part, f.name))}
    if isinstance(part, str | bool):
        return part
    if isinstance(part, Sequence):
        return [_plain(v) for v in part]
    return float(f"{part:.{_DIGITS}g}") if part is not None and math.isfinite(part) else None


def _picture(image: Image) -> dict[str, Any]:
    """Return a picture's rows, each with a data URI a column ("" where nothing is kept)."""
    across = range(len(image.columns))
    rows = [
        {"name": name, "count": count, "strips": [_uri(image.strips.get((i, j))) for j in across]}
        for i, (name, count) in enumerate(image.rows)
    ]
    return {"columns": list(image.columns), "rows": rows}


def _uri(strip: np.ndarray | None) -> str:
    if strip is None:
        return ""
    grey = bool((strip[..., :1] == strip).all())
    buffer = io.BytesIO()
    Picture.fromarray(strip[..., 0] if grey else strip).save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
