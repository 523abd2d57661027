"""Write a whole report, from stored scores only: one page, two Markdown files, summaries, figures, LaTeX on request."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ltbench import text
from ltbench.analysis.cell_results import MEASURE, CellResults
from ltbench.analysis.cells import PLACE, cells, series_table
from ltbench.analysis.published_files import load_published
from ltbench.errors import UsageError, nearest
from ltbench.files import ensure_writable, replacing, write_text
from ltbench.report.document import Document, build, make_scenes
from ltbench.report.figures.base import Scene
from ltbench.report.html import html_page
from ltbench.report.render import markdown_pages, write_latex
from ltbench.report.tables.grid import Table
from ltbench.report.tables.published import missing_runs, paper_tables, published_table
from ltbench.runs.results import Results, load_results, study_title

if TYPE_CHECKING:
    from ltbench.study.contrast import Contrast

Progress = Callable[[str], None]
LARGEST = 4 << 20  # bytes of a CSV; a larger one is written gzipped


@dataclass(frozen=True)
class Report:
    """What was written.

    Attributes
    ----------
    path : the report's folder.
    files : every file written, the page first.
    document : the report as data: `tables()`, `figures()`, `findings`, `league`, `top`.
    """

    path: Path
    files: list[Path]
    document: Document = field(repr=False)


def report_folder(root: Path) -> Path:
    """Return where the report of a folder of runs goes by default; a zip file's goes beside it."""
    return root.with_name(f"{root.stem}-report") if root.is_file() else root / "report"


def write_report(  # noqa: PLR0913 -- options, given by name
    roots: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    paper: bool = False,
    baseline: str = "ddpm",
    contrast: Contrast | None = None,
    title: str | None = None,
    latex: bool = False,
    pdf: bool = False,
    all_figures: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Turn the stored scores below `roots` into a report in the folder `out`.

    Parameters
    ----------
    roots
        One results folder or several, shown side by side.
    out
        Folder that is created or written over file by file.
    paper
        Also fill the papers' tables, published numbers beside ours, and say what is missing; implies `latex`,
        `pdf` and `all_figures`.
    baseline
        Method that the others are compared with, seed by seed.
    contrast
        The comparison declared beforehand in the study file, if any.
    title
        The report's; the title of the study file beside the runs, or the folders' names.
    latex, pdf, all_figures
        Also LaTeX of every table, PDF of every drawn figure, files of every figure.
    progress
        Called with what is being done.

    Raises
    ------
    UsageError, CheckpointError
        Nothing to report, no such baseline, or a file that cannot be read (see `load_scores`).
    StorageError
        `out` cannot be written.
    """
    tell = progress or (lambda _: None)
    out = Path(out)
    sources = [Path(roots)] if isinstance(roots, str | Path) else [Path(root) for root in roots]
    tell("reading scores")
    results = load_results(sources)
    methods = set(map(str, results.scores["method"].unique()))
    if baseline != "ddpm" and baseline not in methods:
        raise UsageError(f"no scores of a baseline called {baseline!r}{nearest(baseline, methods)}")
    ensure_writable(out)
    tell("comparing")
    found = cells(results.scores, results.runs)
    if not found:
        why = next(
            (str(reason) for reason in results.scores["reason"].unique() if str(reason)),
            "no reason is stored",
        )
        raise UsageError(f"none of the scores has a number ({why}): score other metrics or samples first")
    if all_figures or paper:
        tell("placing the bottleneck's features (t-SNE)")
        _embed(found, results)
    scenes = make_scenes(found, results, baseline, contrast)
    papers, missing = _papers(found, paper, sources[0])
    title = title or " and ".join(study_title(path) or text.one_line(path.resolve().name) for path in sources)
    tell("arranging tables and figures")
    document = build(scenes, results, title, papers=papers, missing=missing)
    files = _write(document, out, latex or paper)
    tell("drawing")
    from ltbench.report.figures.draw import draw  # a second of import that pages alone do not need

    chosen = document.figures(first=not (all_figures or paper))
    files += draw(
        chosen, out / "figures", pdf=pdf or paper, progress=lambda done, of: tell(f"drawing figures, {done} of {of}")
    )  # fmt: skip
    return Report(out, files, document)


def _papers(found: list[CellResults], paper: bool, root: Path) -> tuple[list[Table], list[str]]:
    published = load_published()
    beside = published_table(found, published, every=paper)
    tables = [beside] if beside is not None else []
    if not paper:
        return tables, []
    return [*tables, *paper_tables(found, published)], missing_runs(found, published, root)


def _embed(found: Sequence[CellResults], results: Results) -> None:
    """Compute the t-SNE of the leading series' probes where it is not kept yet, and keep it beside the probe."""
    from ltbench.analysis.protocols import main_series
    from ltbench.runs.run import write_embedding
    from ltbench.scoring.embedding import embed

    for cell in found:
        for one in main_series(cell):
            for name in one.runs[:1]:
                run = results.runs[name]
                if not run.embedding(one.step) and (places := embed(run.probe_features(one.step))):
                    write_embedding(run.folder, one.step, places)


# -- files ----------------------------------------------------------------------------------------------------


def _write(document: Document, out: Path, latex: bool) -> list[Path]:
    pages = {"index.html": html_page(document), **markdown_pages(document)}
    files = []
    for name, content in pages.items():
        files.append(out / name)
        write_text(files[-1], content)
    if latex:
        files += write_latex(document.tables(), out / "tables")
    for name, frame in _summaries(document.scenes).items():
        files.append(_write_csv(out / "tables" / f"{name}.csv", frame))
    return files


def _summaries(scenes: Sequence[Scene]) -> dict[str, pd.DataFrame]:
    """Return the report's numbers as tables: series and measures described once, then means and differences by key."""
    found = [scene.cell for scene in scenes]
    cell_rows = pd.DataFrame({"cell_number": range(len(found)), "cell": [cell.label for cell in found]})
    series = pd.concat([series_table(c).assign(cell=c.label) for c in found], ignore_index=True)
    for column in ("train_seeds", "sample_seeds", "runs"):
        series[column] = [";".join(map(str, values)) for values in series[column]]
    first = ["cell", "series", "label"]
    texts = dict.fromkeys(["series", "scope", "class_or_group", *MEASURE[:6], "role"], object)
    parts = [cell.summary.astype(texts).assign(cell_number=i) for i, cell in enumerate(found)]
    summary = pd.concat(parts, ignore_index=True)
    measures = summary[MEASURE].drop_duplicates(ignore_index=True)
    measures.insert(0, "measure", [f"m{i}" for i in range(len(measures))])
    columns = ["cell_number", "series", *PLACE, "metric", "role", "measure"]
    numbers = ["mean", "sd", "n", "sd_sampling", "n_sampling"]
    return {
        "cells": cell_rows,
        "series": series[[*first, *(c for c in series if c not in first)]],
        "measures": measures,
        "summary": summary.merge(measures, on=MEASURE, how="left")[[*columns, *numbers]],
        "contrasts": pd.concat([scene.differences for scene in scenes], ignore_index=True),
    }


def _write_csv(path: Path, frame: pd.DataFrame) -> Path:
    """Write a summary to seven digits; gzipped where it would be large; text that a spreadsheet would run is quoted."""
    texts = [str(c) for c in frame if frame[c].dtype == object or str(frame[c].dtype) in ("str", "string")]
    safe = frame.assign(
        **{c: frame[c].map(lambda v: text.csv_cell(v) if isinstance(v, str) else v) for c in texts}
    )
    buffer = io.StringIO()
    safe.to_csv(buffer, index=False, lineterminator="\n", float_format="%.7g")
    content = buffer.getvalue().encode()
    if large := len(content) > LARGEST:
        path = path.with_suffix(".csv.gz")
    with replacing(path) as temporary:
        temporary.write_bytes(gzip.compress(content, mtime=0) if large else content)
    return path
