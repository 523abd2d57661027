"""Write a whole report: tables, figures and pages, from stored scores only."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from rich.console import RenderableType

from ltbench.files import ensure_writable, replacing, write_text
from ltbench.report.aggregate import Cell, cells
from ltbench.report.figures.per_class import count_against_score, per_class_bars
from ltbench.report.figures.sheets import sample_sheet
from ltbench.report.figures.style import FigureFile, figure_style, method_styles
from ltbench.report.load import Results, load_results
from ltbench.report.statistics import Contrast, contrasts
from ltbench.report.tables import Table, contrast_table, overall_table, per_class_tables

_TERMINAL_CLASSES = 25  # a per-class table with more rows is printed in files only


@dataclass(frozen=True)
class ReportPaths:
    """What was written, and what to print.

    Attributes
    ----------
    out : the report's folder.
    files : every file written, the page to open first.
    terminal : rich renderables, in order.
    """

    out: Path
    files: list[Path]
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
    paper : also fill the papers' tables, published numbers beside ours.
    baseline : method that the others are compared with, seed by seed.
    contrast : the comparison declared beforehand in the study file, if any.

    Raises
    ------
    UsageError, CheckpointError
        Nothing to report, or a file that cannot be read (see `load_scores`).
    StorageError
        `out` cannot be written.
    """
    out = Path(out)
    results = load_results(roots)
    ensure_writable(out)
    styles = method_styles(results.scores["method"])
    terminal: list[RenderableType] = []
    tables: list[Table] = []
    figures: list[FigureFile] = []
    differences = []
    found = cells(results.scores)
    for cell in found:
        compared = contrasts(cell, baseline, contrast)
        differences.append(compared)
        overall, per_class = overall_table(cell), per_class_tables(cell)
        paired = contrast_table(cell, compared)
        tables += [overall, *per_class, *([paired] if paired else [])]
        terminal.append(overall.rich())
        terminal += [t.rich() for t in per_class[:1] if len(t.rows) <= _TERMINAL_CLASSES]
        with figure_style():
            figures += per_class_bars(cell, styles, out / "figures")
            figures += count_against_score(cell, styles, out / "figures")
            figures += sample_sheet(cell, out / "figures")
    files = _write_tables(out, results, found, tables, figures, pd.concat(differences, ignore_index=True))
    files += [path for figure in figures for path in (figure.png, figure.pdf)]
    return ReportPaths(out, files, terminal)


def _write_tables(
    out: Path,
    results: Results,
    found: list[Cell],
    tables: list[Table],
    figures: list[FigureFile],
    differences: pd.DataFrame,
) -> list[Path]:
    summary = pd.concat([_tidy_summary(cell) for cell in found], ignore_index=True)
    files = [out / "report.md"]
    write_text(files[0], _markdown(results, tables, figures))
    for name, frame in (("summary", summary), ("numbers", results.scores), ("contrasts", differences)):
        files.append(out / "tables" / f"{name}.csv")
        with replacing(files[-1]) as temporary:
            frame.to_csv(temporary, index=False, lineterminator="\n")
    return files


def _tidy_summary(cell: Cell) -> pd.DataFrame:
    """Join the summary with what its series are, a row a number, every number with its run folders."""
    named = cell.series.drop(columns=["runs", "train_seeds", "sample_seeds"])
    table = named.merge(cell.summary, on="series", how="right")
    table.insert(0, "cell", cell.label)
    return table


def _markdown(results: Results, tables: list[Table], figures: list[FigureFile]) -> str:
    parts = ["# Results\n", *(f"{note}\n" for note in results.notes)]
    parts += [table.markdown() for table in tables]
    parts += [
        f"**{f.title}**\n\n![{f.title}](figures/{f.name}.png)\n\n<sub>{f.caption}</sub>\n" for f in figures
    ]
    parts.append(_provenance(results))
    return "\n".join(parts)


def _provenance(results: Results) -> str:
    rows = results.scores.groupby("run").agg(series=("series", lambda s: " ".join(sorted(set(s)))))
    lines = [f"| {run} | {row.series} |" for run, row in rows.iterrows()]
    return "\n".join(["**Runs**\n", "| Folder | Series in summary.csv |", "| :-- | :-- |", *lines, ""])
