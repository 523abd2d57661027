"""The numbers of a committed study's report, held one by one: a rewrite of tables and pages must not move one."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ltbench.analysis import differences as of_differences
from ltbench.analysis.cells import cells, series_table
from ltbench.report.document import build, make_scenes
from ltbench.report.render import write_latex
from ltbench.report.tables.scores import overall_table
from ltbench.runs.bundle import read_bundle, unpack
from ltbench.runs.results import load_results, load_scores

DIGITS = Path(__file__).parents[2] / "results" / "digits"
GOLDENS = Path(__file__).parents[1] / "goldens"
SERIES = ["method", "variant", "sampler", "nfe", "guidance"]
PLACE = ["scope", "class_or_group", "metric", "n_generated"]
CELL = "digits_lt, ratio 0.05"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("digits")
    unpack(read_bundle(DIGITS), root)
    return root


@pytest.fixture(scope="module")
def cell(folders):
    (found,) = cells(load_scores(sorted(folders.glob("digits_lt-r0.05-*-s*"))))
    return found


def numbers(cell):
    """Mean, standard deviation and n of what leads, one a row."""
    table = cell.summary.merge(series_table(cell)[["series", *SERIES]], on="series")
    table = table[table["scope"].isin(("overall", "group")) & (table["role"] == "")]
    table = table[table["metric"].isin(("frechet", "recall", "agreement", "memorisation_rate"))]
    return table[[*SERIES, *PLACE, "mean", "sd", "n"]]


def differences(cell):
    """Paired differences with DDPM of what leads, one a row."""
    table = of_differences.differences(cell, "ddpm").merge(
        series_table(cell)[["series", *SERIES]], on="series"
    )
    table = table[table["metric"].isin(("frechet", "recall"))]
    return table[[*SERIES, *PLACE, "mean", "low", "high", "agree", "n"]]


@pytest.mark.parametrize("what", [numbers, differences])
def test_numbers_of_the_committed_digits_study_stay(cell, what):
    found = what(cell).astype(dict.fromkeys([*SERIES[:3], *PLACE[:3]], str))
    golden = pd.read_csv(GOLDENS / f"report_{what.__name__}.csv", keep_default_na=False, na_values=["nan"])
    keys = [*SERIES, *PLACE]
    both = golden.merge(found, on=keys, how="outer", suffixes=("", "_now"), indicator=True)
    assert set(both["_merge"]) == {"both"}
    assert len(both) == len(golden) > 100
    for column in [c for c in golden if c not in keys]:
        np.testing.assert_allclose(both[f"{column}_now"], both[column], rtol=1e-7, atol=1e-12, err_msg=column)


def test_printed_scores_are_the_means_of_the_stored_ones(cell, folders):
    """Read from scores.csv by hand, past everything between the file and the page."""
    rows = pd.concat(
        pd.read_csv(path) for path in folders.glob("digits_lt-r0.05-coral-s*/samples/*/scores.csv")
    )
    rows = rows[(rows["scope"] == "overall") & (rows["metric"] == "frechet") & (rows["guidance"] == 0)]
    rows = rows[(rows["sample_seed"] == 0) & (rows["sampler"] == "dpmsolver++") & (rows["nfe"] == 20)]
    values = rows["value"].to_numpy()
    assert len(values) == 5
    expected = f"{values.mean():.2f} ± {values.std(ddof=1):.2f}"
    table = overall_table(cell)
    assert any(expected in row for row in table.rows if row[0].startswith("CORAL"))


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here (texlive-latex-base)")
def test_every_table_of_the_committed_study_compiles(folders, tmp_path):
    results = load_results(folders)
    found = cells(results.scores, results.runs)
    document = build(make_scenes(found, results, "ddpm"), results, "digits")
    tables = document.tables()
    write_latex(tables, tmp_path)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all-tables.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
    for complaint in ("Overfull", "Float too large", "Missing character"):
        assert complaint not in done.stdout
    assert len(tables) > 30
