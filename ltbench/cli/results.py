"""What `ltbench report`, `evaluate` and their like print: from stored runs to tables on the terminal."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from ltbench.cli.console import make_console
from ltbench.errors import UsageError
from ltbench.spec import ScoreSpec

console = make_console()


def make_report(
    roots: Sequence[Path], out: Path | None, baseline: str, paper: bool = False, study: Path | None = None
) -> None:
    """Write the report of all runs in some folders and show its tables."""
    from ltbench.study.file import load_study
    from ltbench.report.write import write_report

    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    contrast = None if study is None else load_study(study).contrast
    target = out or roots[0] / "report"
    written = write_report(list(roots), target, paper=paper, baseline=baseline, contrast=contrast)
    for renderable in written.terminal:
        console.print(renderable)
    console.print(
        f"report: {written.out / 'index.html'} (report.md, tables and figures beside it)", soft_wrap=True
    )


def compare_results(a: Path, b: Path) -> None:
    """Show which numbers of two result folders differ beyond their spread over seeds."""
    from ltbench.report.compare import compare

    console.print(compare(a, b).table().rich())


def evaluate_runs(
    folders: Sequence[Path], request: ScoreSpec, recompute: bool, data_root: Path | None, device: str | None
) -> None:
    """Score the sample sets below some folders and say of each how many numbers were added."""
    from ltbench.api import evaluate_sets

    for found, table in evaluate_sets(folders, request, recompute, data_root, device):
        blank = int(table["value"].isna().sum())
        console.print(
            f"{found.scores_file}: {len(table) - blank} numbers"
            + (f", {blank} that cannot be computed" if blank else "")
            + (" (all are there)" if table.empty else "")
        )
        for reason in table.loc[table["value"].isna(), "reason"].drop_duplicates().head(3):
            console.print(f"  {reason}")


def score_request(
    metrics: str, extractors: str, groups: str, reference: str, bootstrap: int | None
) -> ScoreSpec:
    """Return a request out of the command line's comma-separated names."""
    from ltbench.data.groupings import check_grouping

    for name in _names(groups):
        check_grouping(name)
    choices = get_args(ScoreSpec.model_fields["reference"].annotation)
    if reference not in choices:
        raise UsageError(f"--reference {reference!r} is none of {', '.join(choices)}")
    return ScoreSpec.model_validate(
        {
            "metrics": _names(metrics),
            "extractors": _names(extractors),
            "groups": _names(groups),
            "reference": reference,
            "bootstrap": bootstrap,
        }
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
