"""Each method at its best guidance: chosen among its own scales, valued on other seeds where there are enough."""

import pytest
from report_folders import make_spec, score_rows, write_run

from ltbench.analysis.best_guidance import best_guidances
from ltbench.analysis.cells import cells
from ltbench.runs.results import load_scores


def cell_of(root, values):
    """Return the cell of (method, guidance) -> overall distances, a seed each."""
    for (method, guidance), each in values.items():
        for seed, value in enumerate(each):
            spec = make_spec(method, seed, guidance=guidance)
            rows = [r | {"value": repr(float(value))} for r in score_rows(spec, metrics=("frechet",))]
            write_run(root, spec, rows, images=False)
    (cell,) = cells(load_scores(root))
    return cell


def test_each_method_has_its_own_best_scale_the_best_method_first(tmp_path):
    values = {
        ("ddpm", 0.0): (5, 6), ("ddpm", 1.0): (4, 5), ("coral", 0.0): (2, 3), ("coral", 1.0): (7, 8),
    }  # fmt: skip
    found = best_guidances(cell_of(tmp_path, values))
    assert [(one.label, best.chosen, best.mean, best.held_out) for one, best in found] == [
        ("CORAL", 0.0, pytest.approx(2.5), False),
        ("DDPM", 1.0, pytest.approx(4.5), False),
    ]


def test_with_four_seeds_the_value_is_of_seeds_that_did_not_choose(tmp_path):
    """Seeds 0 and 2 choose scale 0, whose value on 1 and 3 is 5; those choose scale 1, whose value on 0 and 2 is 7."""
    values = {("ddpm", 0.0): (1, 5, 1, 5), ("ddpm", 1.0): (7, 4, 7, 4)}
    ((_, best),) = best_guidances(cell_of(tmp_path, values))
    assert best.held_out
    assert best.chosen == 0.0
    assert best.mean == pytest.approx((5 + 5 + 7 + 7) / 4)


def test_a_single_scale_has_no_best(tmp_path):
    assert best_guidances(cell_of(tmp_path, {("ddpm", 0.0): (1, 2), ("coral", 0.0): (3, 4)})) == []
