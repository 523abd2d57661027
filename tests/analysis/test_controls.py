"""A long tail's controls, and the fit that tells rarity from difficulty, on distances of a known law."""

import numpy as np
import pytest
from report_folders import COUNTS, make_spec, score_rows, write_classes, write_run

from ltbench.analysis.cells import cells
from ltbench.analysis.controls import (
    balanced_controls,
    change,
    class_points,
    rarity_fits,
    reordered,
    series_alike,
)
from ltbench.runs.results import load_scores

DIFFICULTY = np.array([3, 1, 4, 1.5, 9, 2, 6, 5, 3.5, 8])


def orders_of(root):
    """Return the published split of FD = difficulty x count^-.3, and its cell of reversed order."""
    for order, counts in (("identity", COUNTS), ("reversed", COUNTS[::-1])):
        write_classes(root, DIFFICULTY * np.array(counts, float) ** -0.3, counts, order=order)
    found = cells(load_scores(root))
    return next(c for c in found if c.published), found


def test_the_fit_gives_back_the_law_that_made_the_distances(tmp_path):
    cell, found = orders_of(tmp_path)
    (one,) = cell.series
    ((seed, (slope, share, terms)),) = rarity_fits(cell, reordered(cell, found), one).items()
    assert seed == 0
    assert slope == pytest.approx(0.3 * np.log(10), abs=1e-4)  # b of log FD = a - b log10 n
    assert share == pytest.approx(1, abs=1e-6)
    at_equal_counts = np.exp(terms - terms.min())
    assert at_equal_counts[[str(k) for k in range(10)]].to_numpy() == pytest.approx(DIFFICULTY, rel=1e-4)


def test_one_order_alone_has_no_fit(tmp_path):
    cell, _ = orders_of(tmp_path)
    assert rarity_fits(cell, [], cell.series[0]) == {}


def test_an_order_is_another_cell_of_the_same_series(tmp_path):
    cell, found = orders_of(tmp_path)
    (other,) = reordered(cell, found)
    assert reordered(other, found) == []
    assert change(cell, other) == "class order reversed"
    assert [one.method for one in series_alike(other, cell.series[0])] == ["ddpm"]
    points = class_points(other, cell.series[0]).set_index("class_or_group")
    assert list(points.loc[["0", "9"], "n_train"]) == [COUNTS[9], COUNTS[0]]


def test_balanced_controls_have_the_heads_or_the_tails_count_most_images_first(tmp_path):
    write_classes(tmp_path, np.arange(10))
    spec = make_spec(ratio=1.0)
    for count in (6, 50, 120):  # 50: neither the head's nor the tail's
        data = spec.data.model_copy(update={"head_count": None if count == 120 else count})
        one = spec.model_copy(update={"data": data})
        write_run(tmp_path, one, score_rows(one, counts=(count,) * 10), images=False)
    found = cells(load_scores(tmp_path))
    tail = next(c for c in found if c.imbalance_ratio < 1)
    labels = [c.label for c in balanced_controls(tail, found)]
    assert labels == ["digits_lt, ratio 1", "digits_lt, ratio 1, head count 6"]
    assert not any(balanced_controls(c, found) for c in found if c is not tail)
