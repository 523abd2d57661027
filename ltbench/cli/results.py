"""What `ltbench report`, `evaluate` and their like print: from stored runs to tables on the terminal."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from ltbench.cli.console import make_console
from ltbench.errors import UsageError
from ltbench.specs import ScoreSpec

if TYPE_CHECKING:
    import pandas as pd

    from ltbench.report.tables.grid import Table

console = make_console()


def make_report(
    roots: Sequence[Path],
    out: Path | None,
    baseline: str,
    paper: bool = False,
    study: Path | None = None,
    *,
    latex: bool = False,
    pdf: bool = False,
    all_figures: bool = False,
    checklist: bool = False,
    title: str | None = None,
) -> None:
    """Write the report of all runs in some folders; show the league and where the report is."""
    from ltbench.cli.tables import terminal_table
    from ltbench.report import report_folder, write_report
    from ltbench.study.file import load_study

    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    declared = None if study is None else load_study(study)
    target = out or report_folder(roots[0])
    with console.status("reading scores") as status:
        written = write_report(
            list(roots),
            target,
            paper=paper,
            baseline=baseline,
            contrast=None if declared is None else declared.contrast,
            title=title if declared is None else declared.title,
            latex=latex,
            pdf=pdf,
            all_figures=all_figures,
            progress=status.update,
        )
    tables = written.document.tables()
    asked = [t for t in tables if t.name == "checklist"] if checklist else []
    for table in [*written.document.league[:1], *asked]:
        console.print(terminal_table(table, console.width))
    for sentence in written.document.findings:
        console.print(f"- {sentence}", markup=False)
    console.print(
        f"report: {written.path / 'index.html'} (report.md, tables and figures beside it)",
        markup=False,
        soft_wrap=True,
    )


def compare_results(a: Path, b: Path) -> None:
    """Show which numbers of two result folders differ beyond their spread over seeds."""
    from ltbench.analysis.comparison import compare
    from ltbench.cli.tables import terminal_table
    from ltbench.report.tables.comparison import comparison_table

    console.print(terminal_table(comparison_table(compare(a, b)), console.width, notes=2))


def evaluate_runs(
    folders: Sequence[Path], request: ScoreSpec, recompute: bool, data_root: Path | None, device: str | None
) -> None:
    """Score the sample sets below some folders and say of each how many numbers were added."""
    from ltbench.scoring.evaluate import evaluate_sets

    for samples, table in evaluate_sets(folders, request, recompute, data_root, device):
        blank = int(table["value"].isna().sum())
        console.print(
            f"{samples.scores_file}: {len(table) - blank} numbers"
            + (f", {blank} that cannot be computed" if blank else "")
            + (" (all are there)" if table.empty else "")
        )
        for reason in table.loc[table["value"].isna(), "reason"].drop_duplicates().head(3):
            console.print(f"  {reason}")


def show_numbers(scores: pd.DataFrame, name: str) -> None:
    """Show one sample set's main numbers: each metric of all images, its mean over classes, and its floor."""
    from ltbench.cli.tables import terminal_table

    console.print(terminal_table(numbers_table(scores, name), console.width, notes=2))


def numbers_table(scores: pd.DataFrame, name: str) -> Table:
    """Return the table of a sample set's main numbers.

    Parameters
    ----------
    scores
        Rows of its ``scores.csv``.
    name
        What the samples are called.

    Returns
    -------
    Table
        A row a metric and extractor, in the papers' order: over all images, the mean over classes, and the floor, which
        real images have at the same place.
    """
    from ltbench.analysis.names import MISSING, metric_rank, metric_title, number, output_of, split_metric
    from ltbench.report.tables.grid import FLOOR, Table

    places = [("overall", ""), ("group", "macro")]
    values: dict[tuple[str, str], list[str]] = {}
    columns = ("metric", "scope", "class_or_group", "extractor", "value")
    for stored, scope, of, extractor, value in zip(*(scores[name] for name in columns), strict=True):
        (metric, role), place = split_metric(stored), (scope, of)
        if place not in places or role not in ("", "floor") or output_of(metric).auxiliary:
            continue
        if role == "floor" and place != places[0]:
            continue
        entry = values.setdefault((metric, extractor), [MISSING] * 3)
        entry[2 if role else places.index(place)] = number(value, output_of(metric).decimals)
    shown = sorted(values, key=lambda key: (metric_rank(key[0]), key[1]))
    plain = scores[scores["scope"] == "overall"]
    counts = [f"{int(n):,}" for n in (plain["n_generated"].max(), plain["n_reference"].max()) if n > 0]
    return Table(
        "numbers",
        name,
        ["Measure", "All images", "Mean of classes", FLOOR],
        [[metric_title(*key), *values[key]] for key in shown],
        notes=[" images against ".join(counts) + " real ones" if len(counts) == 2 else ""],
    )


def score_request(
    metrics: str, extractors: str, groups: str, reference: str, bootstrap: int | None, resize: str = "own"
) -> ScoreSpec:
    """Return a request out of the command line's comma-separated names."""
    from ltbench.data.groupings import check_grouping

    for flag, text in (("metrics", metrics), ("extractors", extractors), ("groups", groups)):
        if not _names(text):
            raise UsageError(f"--{flag} {text!r} names nothing: give names, separated by commas")
    for name in _names(groups):
        check_grouping(name)
    for name, value in (("reference", reference), ("resize", resize)):
        choices = get_args(ScoreSpec.model_fields[name].annotation)
        if value not in choices:
            raise UsageError(f"--{name} {value!r} is none of {', '.join(choices)}")
    return ScoreSpec.model_validate(
        {
            "metrics": _names(metrics),
            "extractors": _names(extractors),
            "groups": _names(groups),
            "reference": reference,
            "resize": resize,
            "bootstrap": bootstrap,
        }
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
