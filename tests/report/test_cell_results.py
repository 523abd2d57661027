"""One data cell's results: the numbers of a measure at a place, by series and seed."""

import pytest

from ltbench.report import load_scores
from ltbench.report.cells import cells


def test_by_seed_takes_the_main_sampling_seed_only(contrast_study):
    (cell,) = cells(load_scores(contrast_study))
    wide = cell.by_seed("overall", cell.measures("overall")[0])
    key = next(one.key for one in cell.series if one.method == "ddpm")
    rows = cell.points[(cell.points["series"] == key) & (cell.points["sample_seed"] == 0)]
    expected = rows[(rows["scope"] == "overall") & (rows["metric"] == "frechet") & (rows["role"] == "")]
    assert wide[key].dropna().to_list() == pytest.approx(
        expected.sort_values("train_seed")["value"].to_list()
    )
