"""The report as one self-contained HTML page: works offline, from a file, without a server."""

import base64
import io
import json
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, select_autoescape
from markupsafe import Markup
from PIL import Image

import ltbench
from ltbench.report.aggregate import Cell, main_series
from ltbench.report.content import Content, Section
from ltbench.report.figures.sheets import main_folder, spread
from ltbench.report.figures.style import method_styles
from ltbench.report.load import Run
from ltbench.runs.samples import first_of_each_class
from ltbench.report.markdown import LIMITS
from ltbench.report.naming import class_title
from ltbench.report.tables import Table

_STRIP = 8  # images a class and method
_MOST_CLASSES = 20


def html_page(content: Content) -> str:
    """Return the page, figures and samples embedded."""
    methods = content.results.scores["method"].unique()
    styles = method_styles(methods)
    page = _environment().get_template("report.html.j2")
    return page.render(
        version=ltbench.__version__,
        content=content,
        limits=LIMITS,
        findings=content.findings(),
        sections=[_section(section, styles) for section in content.sections],
        datasets=sorted({s.cell.dataset for s in content.sections}),
        ratios=sorted({s.cell.imbalance_ratio for s in content.sections}, reverse=True),
        metrics=_metrics(content),
        runs=[_run(run) for _, run in sorted(content.results.runs.items())],
        css=_inline("report.css"),
        js=_inline("report.js"),
    )


@cache
def _environment() -> Environment:
    loader = PackageLoader("ltbench.report", "templates")
    environment = Environment(
        loader=loader, autoescape=select_autoescape(default=True), trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["data_uri"] = _png_uri
    return environment


def _inline(name: str) -> Markup:
    """Return a template's file as it is: our own CSS or script, which needs no escaping."""
    text = (resources.files("ltbench.report") / "templates" / name).read_text(encoding="utf-8")
    return Markup(text)


def _png_uri(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def _section(section: Section, styles: dict[str, Any]) -> dict[str, Any]:
    cell = section.cell
    return {
        "label": cell.label,
        "dataset": cell.dataset,
        "ratio": cell.imbalance_ratio,
        "colours": {s["label"]: styles[s["method"]].colour for _, s in cell.series.iterrows()},
        "overall": section.overall,
        "statistics": section.statistics,
        "details": section.details,
        "per_class": [(_metric_of(table), table) for table in section.per_class],
        "figures": section.figures,
        "samples": _samples(cell),
    }


def _metric_of(table: Table) -> str:
    """Return the metric's title of a per-class table, as the filter names it."""
    return table.title.split(" per class")[0].rstrip(" ↓↑")


def _metrics(content: Content) -> list[str]:
    names = {_metric_of(table): None for section in content.sections for table in section.per_class}
    return list(names)


def _samples(cell: Cell) -> list[dict[str, Any]]:
    """Return for each class the strips of all methods, as data URIs, the same images that the sheet shows first."""
    classes = spread(cell.classes(), _MOST_CLASSES)
    names = list(classes["class_or_group"])
    strips: list[tuple[str, dict[str, np.ndarray]]] = []
    for _, one in main_series(cell).iterrows():
        folder = main_folder(cell, one["series"])
        found = first_of_each_class(folder, _STRIP, names) if folder is not None else None
        if found:
            strips.append((one["label"], found))
    return [
        {
            "name": class_title(cell.dataset, label),
            "n_train": int(n_train),
            "strips": [
                (name, _strip_uri(found[label])) for name, found in strips if len(found.get(label, ()))
            ],
        }
        for label, n_train in classes.itertuples(index=False)
        if strips
    ]


def _strip_uri(images: np.ndarray) -> str:
    """Encode images (n,C,H,W) side by side."""
    strip = np.moveaxis(np.concatenate(list(images), axis=2), 0, -1)
    buffer = io.BytesIO()
    Image.fromarray(strip[..., 0] if strip.shape[-1] == 1 else strip).save(
        buffer, format="PNG", optimize=True
    )
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _run(run: Run) -> dict[str, Any]:
    """Return what is on record of a run: stages, code, machine, and the whole spec."""
    stages = [stage for stage in run.provenance.get("stages", []) if isinstance(stage, dict)]
    code = stages[-1].get("code", {}) if stages else {}
    machine = run.provenance.get("machine", {})
    return {
        "name": run.name,
        "commit": (code.get("git_commit") or "")[:10] + ("+" if code.get("git_dirty") else ""),
        "version": code.get("ltbench", ""),
        "machine": ", ".join(
            filter(None, (machine.get("host"), machine.get("processor"), *machine.get("gpus", [])))
        ),
        "torch": machine.get("libraries", {}).get("torch", ""),
        "stages": [
            (s.get("stage", ""), _seconds(s.get("wall_seconds")), s.get("device", "")) for s in stages
        ],
        "finished": stages[-1].get("finished", "") if stages else "",
        "spec": "" if run.spec is None else json.dumps(run.spec.model_dump(mode="json"), indent=1),
    }


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:,.1f} s"
