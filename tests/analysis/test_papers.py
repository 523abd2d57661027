"""Published data cells beside our results: which cell, series and measure of ours stand for a paper's."""

import math

import pandas as pd
from report_folders import make_spec, score_rows, write_run

from ltbench.analysis.cells import cells
from ltbench.analysis.papers import papers_of
from ltbench.runs.results import load_scores


def published(**columns):
    row = {"dataset": "digits_lt", "imbalance_ratio": 0.05, "method": "coral", "metric": "fid", "value": 3.0}
    return pd.DataFrame([row | columns])


def cells_of(root, *specs, extractor="inception"):
    for spec in specs:
        write_run(root, spec, score_rows(spec, extractor=extractor, metrics=("frechet",)), images=False)
    return cells(load_scores(root))


def test_a_published_cell_is_ours_of_the_same_data_ratio_and_split(tmp_path):
    found = cells_of(tmp_path, make_spec(), make_spec(order="reversed"))
    (paper,) = papers_of(found, published())
    assert paper.cell.published
    assert paper.name("-r") == "digits_lt-r0.05"
    (other,) = papers_of(found, published(imbalance_ratio=0.1))
    assert other.cell is None
    assert other.series == []
    assert other.column("fid") is None
    (unstated,) = papers_of(found, published(imbalance_ratio=math.nan))
    assert unstated.cell.published
    assert unstated.name("-r") == "digits_lt"


def test_fid_is_inceptions_frechet_distance_alone(tmp_path):
    (paper,) = papers_of(cells_of(tmp_path / "a", make_spec()), published())
    assert paper.column("fid").measure.extractor == "inception"
    (ours,) = papers_of(cells_of(tmp_path / "b", make_spec(), extractor="digits_cnn"), published())
    assert ours.column("fid") is None
    assert ours.column("a measure of another name") is None


def test_of_one_method_the_most_trained_and_finest_sampled_stands(tmp_path):
    found = cells_of(tmp_path, make_spec("ddpm", steps=20), make_spec("ddpm", steps=50))
    (paper,) = papers_of(found, published())
    assert [(one.method, one.nfe) for one in paper.series] == [("ddpm", 50)]
    assert paper.absent == ["coral"]
