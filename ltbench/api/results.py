"""Results: stored scores to tables, comparisons paired by seed, and reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ltbench.api.arguments import a_name, a_path
from ltbench.errors import UsageError, nearest

if TYPE_CHECKING:
    import pandas as pd

    from ltbench.study.contrast import Contrast


def load_scores(*roots: str | Path) -> pd.DataFrame:
    """Return every stored score below some folders of runs.

    Parameters
    ----------
    roots
        Folders that ``ltbench run --out`` or `run` wrote, or bundles; default: ``runs``.

    Returns
    -------
    pandas.DataFrame
        One row a number: the columns of ``scores.csv`` (`ltbench.runs.score_columns.SCHEMA` explains each), then ``run``
        and ``folder`` (where it lies), ``cell`` (the data in words), ``settings`` (JSON) and ``series`` (equal where
        nothing but seeds differs).

    Raises
    ------
    UsageError
        A root is no folder or holds no scores.
    CheckpointError
        A ``scores.csv`` or ``spec.json`` is truncated or not what it should be.

    Examples
    --------
    >>> import ltbench as lt
    >>> scores = lt.load_scores("runs")
    >>> sorted(scores["scope"].unique())[:2]
    ['class', 'group']
    """
    from ltbench.runs import results

    return results.load_scores([a_path(root, "each folder of runs") for root in roots or ("runs",)])


def compare(
    scores: pd.DataFrame, baseline: str = "ddpm", *, metric: str = "frechet", where: str = "overall"
) -> pd.DataFrame:
    """Compare every method with a baseline, paired by training seed.

    Parameters
    ----------
    scores
        What `load_scores` returns.
    baseline
        The method that is taken away from the others, at the same step and the most alike protocol.
    metric, where
        A metric, and ``overall`` or a group: ``tail``, ``macro``, ``worst``.

    Returns
    -------
    pandas.DataFrame
        One row a series and extractor: ``cell``, ``label``, ``baseline_label``, ``extractor``, ``n`` common seeds and
        which (``seeds``), ``mean``, ``low`` and ``high`` (95 % t interval of the mean difference; nan for one
        seed), ``agree`` (seeds with the mean's sign) and ``p`` (a sentence).

    Raises
    ------
    UsageError
        No scores of that metric in that place, or nothing to compare with the baseline.

    Examples
    --------
    >>> import ltbench as lt
    >>> scores = lt.load_scores("runs")
    >>> doubled = scores.assign(method="other", series="other", train_key="other", value=2 * scores["value"])
    >>> import pandas as pd
    >>> lt.compare(pd.concat([scores, doubled]), where="tail")["n"].tolist()
    [1]
    """
    import pandas as pd

    from ltbench.runs.score_columns import COLUMNS, SCHEMA

    columns = getattr(scores, "columns", ())
    if lacking := [name for name in ("cell", "settings", "series", *COLUMNS) if name not in columns]:
        raise UsageError(
            f"compare takes the table that load_scores returns, and this has no column {lacking[0]!r}"
        )
    if not pd.api.types.is_numeric_dtype(scores["value"]):
        raise UsageError(
            f"compare takes numbers in the column 'value', which holds {scores['value'].dtype} values"
        )
    for name, value in {"baseline": baseline, "metric": metric, "where": where}.items():
        a_name(value, name)
    if baseline not in set(scores["method"]):
        raise UsageError(
            f"no scores of a baseline called {baseline!r}{nearest(baseline, _names(scores['method']))}"
        )
    from ltbench.analysis.cells import cells
    from ltbench.analysis.differences import differences

    blank = [column.name for column in SCHEMA if column.kind == "text" and scores[column.name].isna().any()]
    # A table that went through a CSV file has NaN where nothing was written.
    scores = scores.assign(**{name: scores[name].astype(object).fillna("") for name in blank})
    tables = [differences(cell, baseline) for cell in cells(scores)]
    tables = [table[table["scope"] != "pooled"] for table in tables if len(table)]
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
    if table.empty:
        raise UsageError(
            f"no method has a seed in common with a baseline called {baseline!r}, and finite scores of both"
        )
    places = table["class_or_group"].replace("", "overall")
    here = (table["metric"] == metric) & (places == where)
    if not here.any():
        known = metric in set(table["metric"])
        hint = nearest(where, _names(places)) if known else nearest(metric, _names(table["metric"]))
        raise UsageError(f"no {metric!r} in {where!r} to compare{hint}")
    table = table[here]
    columns = [
        "cell",
        "label",
        "baseline_label",
        "extractor",
        "n",
        "seeds",
        "mean",
        "low",
        "high",
        "agree",
        "p",
    ]
    return table[columns].reset_index(drop=True)


def _names(column: pd.Series) -> list[str]:
    """Return what a column of names holds, each once, as text."""
    return [str(name) for name in column.unique()]


@dataclass(frozen=True)
class Report:
    """A written report.

    Attributes
    ----------
    path
        Its folder, with ``index.html`` and ``report.md``.
    findings
        Sentences, what was declared beforehand first.
    tables
        Name -> table as it is printed.
    figures
        Name -> PNG file.
    """

    path: Path
    findings: tuple[str, ...] = ()
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict, repr=False)
    figures: Mapping[str, Path] = field(default_factory=dict, repr=False)


def report(
    *roots: str | Path,
    out: str | Path | None = None,
    baseline: str = "ddpm",
    paper: bool = False,
    contrast: Contrast | None = None,
) -> Report:
    """Write the report of all runs in some folders: tables, figures and one HTML page.

    Parameters
    ----------
    roots
        Folders of runs, shown side by side; default: ``runs``.
    out
        Where it goes; default: ``report`` in the first root; of a zip file, ``NAME-report`` beside it.
    baseline
        The method that the others are compared with, seed by seed.
    paper
        Also fill the papers' tables, published numbers beside ours.
    contrast
        The comparison declared beforehand: ``load_study(...).contrast``.

    Returns
    -------
    Report
        ``path``, ``findings``, ``tables`` and ``figures``.

    Raises
    ------
    UsageError
        Nothing to report, or no such baseline.
    CheckpointError
        A file is truncated or not what it should be.

    Examples
    --------
    >>> import ltbench as lt
    >>> written = lt.report("runs")
    >>> (written.path / "index.html").exists(), len(written.tables) > 0
    (True, True)
    """
    import pandas as pd

    from ltbench.report import report_folder, write_report
    from ltbench.study.contrast import Contrast

    given = [a_path(root, "each folder of runs") for root in roots or ("runs",)]
    target = a_path(out, "out") if out is not None else report_folder(given[0])
    a_name(baseline, "baseline")
    if contrast is not None and not isinstance(contrast, Contrast):
        raise UsageError(
            f"contrast must be what load_study(...).contrast is, not a {type(contrast).__name__}"
        )
    written = write_report(given, target, paper=paper, baseline=baseline, contrast=contrast)
    tables = {
        table.name: pd.DataFrame([list(map(str, row)) for row in table.rows], columns=table.columns)
        for table in written.document.tables()
    }
    figures = {path.stem: path for path in written.files if path.suffix == ".png"}
    return Report(target, tuple(written.document.findings), tables, figures)
