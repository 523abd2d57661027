"""Write a whole report: tables, figures and pages, from stored scores only."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from rich.console import RenderableType

from ltbench.errors import UsageError, nearest
from ltbench.files import ensure_writable, replacing, write_text
from ltbench.report.aggregate import Cell, cells
from ltbench.report.class_tables import groups_table, per_class_tables, tail_table
from ltbench.report.content import Content, Section
from ltbench.report.figures.bottleneck import entanglement_curves, tsne_panels
from ltbench.report.figures.confusion import confusion_matrices
from ltbench.report.figures.cost import cost_quality
from ltbench.report.figures.curves import factor_curves, training_curves
from ltbench.report.figures.memorised import memorisation_pairs
from ltbench.report.figures.per_class import count_against_score, per_class_bars
from ltbench.report.figures.sheets import sample_sheet
from ltbench.report.figures.style import FigureFile, MethodStyle, figure_style, method_styles
from ltbench.report.figures.twins import class_counts
from ltbench.report.html import html_page
from ltbench.report.latex import write_latex
from ltbench.report.load import Results, load_results
from ltbench.report.markdown import details_page, markdown_page
from ltbench.report.paper import load_published, missing_runs, paper_tables, published_table
from ltbench.report.runs_tables import cost_table, entanglement_table
from ltbench.report.statistics import contrasts
from ltbench.study.contrast import Contrast
from ltbench.report.statistics_tables import contrast_table, rank_table, spread_table
from ltbench.report.tables import overall_table, settings_table
from ltbench.report.twins import balanced, twin_tables

_TERMINAL_MEASURES = 6  # columns that fit a terminal
_TERMINAL_CLASSES = 25  # a per-class table with more rows is printed in files only


@dataclass(frozen=True)
class ReportPaths:
    """What was written, and what to print.

    Attributes
    ----------
    out : the report's folder.
    files : every file written, the pages first.
    content : what the pages show: tables, figures and findings.
    terminal : rich renderables, in order.
    """

    out: Path
    files: list[Path]
    content: Content
    terminal: list[RenderableType] = field(default_factory=list)


def write_report(
    roots: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    paper: bool = False,
    baseline: str = "ddpm",
    contrast: Contrast | None = None,
) -> ReportPaths:
    """Turn the stored scores below `roots` into a report in the folder `out`.

    Parameters
    ----------
    roots : one results folder or several, shown side by side.
    out : folder that is created or written over file by file.
    paper : also fill the papers' tables, published numbers beside ours, and say what is missing.
    baseline : method that the others are compared with, seed by seed.
    contrast : the comparison declared beforehand in the study file (`Study.contrast`), if any.

    Raises
    ------
    UsageError, CheckpointError
        Nothing to report, no such baseline, or a file that cannot be read (see `load_scores`).
    StorageError
        `out` cannot be written.
    """
    out = Path(out)
    results = load_results(roots)
    methods = set(results.scores["method"])
    if baseline != "ddpm" and baseline not in methods:
        raise UsageError(f"no scores of a baseline called {baseline!r}{nearest(baseline, methods)}")
    ensure_writable(out)
    found = cells(results.scores)
    styles = method_styles(methods)
    with figure_style():
        sections = [_section(cell, found, results, styles, out, baseline, contrast) for cell in found]
    content = Content(results, sections, baseline, across=twin_tables(found))
    beside = published_table(found, load_published())
    if beside is not None:
        content.paper.append(beside)
    if paper:
        content.paper += paper_tables(found)
        content.missing += missing_runs(found, load_published())
    terminal = [table for section in sections for table in _printed(section)]
    terminal += [table.rich() for table in content.paper]
    return ReportPaths(out, _write(content, out), content, terminal)


def _section(
    cell: Cell,
    found: list[Cell],
    results: Results,
    styles: dict[str, MethodStyle],
    out: Path,
    baseline: str,
    contrast: Contrast | None,
) -> Section:
    """Make the tables and figures of one data cell."""
    compared = contrasts(cell, baseline, contrast)
    folder = out / "figures"
    leading = (
        groups_table(cell),
        contrast_table(cell, compared),
        tail_table(cell),
        entanglement_table(cell, results.runs),
        cost_table(cell, results.runs),
    )
    details = (spread_table(cell), rank_table(cell), settings_table(cell))
    figures: list[FigureFile] = [
        *per_class_bars(cell, styles, folder),
        *count_against_score(cell, styles, folder),
        *class_counts(cell, found, folder),
        *factor_curves(cell, results.runs, styles, folder),
        *sample_sheet(cell, folder),
        *confusion_matrices(cell, folder),
        *memorisation_pairs(cell, folder),
        *cost_quality(cell, results.runs, styles, folder),
        *entanglement_curves(cell, results.runs, styles, folder),
        *tsne_panels(cell, next(iter(balanced(cell, found)), None), results.runs, folder, baseline),
        *training_curves(cell, results.runs, styles, folder),
    ]
    return Section(
        cell,
        overall_table(cell),
        per_class_tables(cell),
        [t for t in leading if t is not None],
        figures,
        compared,
        [t for t in details if t is not None],
    )


def _printed(section: Section) -> list[RenderableType]:
    """Choose what the terminal shows: overall, the first per-class table, the paired differences."""
    short = [t for t in section.per_class[:1] if len(t.rows) <= _TERMINAL_CLASSES]
    paired = next((t for t in section.statistics if t.name.startswith("contrasts-")), None)
    return [
        overall_table(section.cell, _TERMINAL_MEASURES).rich(),
        *(t.rich(2) for t in short),
        *([paired.rich()] if paired else []),
    ]


def _write(content: Content, out: Path) -> list[Path]:
    files = [out / "index.html", out / "report.md", out / "details.md"]
    for path, page in zip(files, (html_page, markdown_page, details_page), strict=True):
        write_text(path, page(content))
    files += write_latex([*content.tables(), *content.paper], out / "tables")
    summary = pd.concat([_tidy_summary(s.cell) for s in content.sections], ignore_index=True)
    differences = pd.concat([s.contrasts for s in content.sections], ignore_index=True)
    for name, frame in (
        ("summary", summary),
        ("numbers", content.results.scores),
        ("contrasts", differences),
    ):
        files.append(out / "tables" / f"{name}.csv")
        with replacing(files[-1]) as temporary:
            frame.to_csv(temporary, index=False, lineterminator="\n")
    return files + [path for section in content.sections for f in section.figures for path in (f.png, f.pdf)]


def _tidy_summary(cell: Cell) -> pd.DataFrame:
    """Join the summary with what its series are, a row a number, every number with its run folders."""
    named = cell.series.drop(columns=["runs", "train_seeds", "sample_seeds"])
    table = named.merge(cell.summary, on="series", how="right")
    table.insert(0, "cell", cell.label)
    return table
