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
from ltbench.analysis.cells import cells, summary_frames
from ltbench.analysis.protocols import main_series
from ltbench.analysis.published_files import load_published
from ltbench.errors import UsageError, nearest
from ltbench.files import ensure_writable, refuse_foreign, replacing, write_text
from ltbench.report.document import Document, build, make_scenes
from ltbench.report.html import html_page
from ltbench.report.render import markdown_pages, write_latex
from ltbench.report.tables.published import paper_tables, published_table
from ltbench.runs.results import load_results, study_title
from ltbench.study.missing import missing_runs

if TYPE_CHECKING:
    from ltbench.study.contrast import Contrast

Progress = Callable[[str], None]
# What each page has always said, by which it is told from one that a person wrote.
_MARKS = {"index.html": "Made by ltbench ", "report.md": "(details.md)", "details.md": "(report.md)"}
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
        `out` cannot be written, or holds a page of such a name that is no report's.
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
    for name, mark in _MARKS.items():
        refuse_foreign(out / name, mark)
    tell("comparing")
    found = cells(results.scores, results.runs)
    if not found:
        reasons = filter(None, map(str, results.scores["reason"].unique()))
        why = next(reasons, "no reason is stored")
        raise UsageError(f"none of the scores has a number ({why}): score other metrics or samples first")
    if all_figures or paper:
        tell("placing the bottleneck's features (t-SNE)")
        from ltbench.scoring.embedding import keep_embeddings

        leading = (one for cell in found for one in main_series(cell))
        keep_embeddings((results.runs[name], one.step) for one in leading for name in one.runs[:1])
    scenes = make_scenes(found, results, baseline, contrast)
    published = load_published()
    beside = published_table(found, published, every=paper)
    papers = [*([beside] if beside is not None else []), *(paper_tables(found, published) if paper else [])]
    missing = missing_runs(found, published, sources[0]) if paper else []
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


# -- files ----------------------------------------------------------------------------------------------------


def _write(document: Document, out: Path, latex: bool) -> list[Path]:
    pages = {"index.html": html_page(document), **markdown_pages(document)}
    for name, content in pages.items():
        write_text(out / name, content)
    files = [out / name for name in pages]
    files += write_latex(document.tables(), out / "tables") if latex else []
    frames = summary_frames([(scene.cell, scene.differences) for scene in document.scenes])
    return files + [_write_csv(out / "tables" / f"{name}.csv", frame) for name, frame in frames.items()]


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
