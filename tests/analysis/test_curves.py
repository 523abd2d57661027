"""Curves over one factor: what may stand on one, and which are kept of many."""

import pytest
from report_folders import make_spec, score_rows, write_run

from ltbench.analysis.cells import cells
from ltbench.analysis.curves import curves_that_fit, label_curves, varied
from ltbench.runs.results import load_results


def curves_of(root, factor):
    results = load_results(root)
    (cell,) = cells(results.scores)
    return varied(cell.series, factor, results.runs)


def test_a_guidance_curve_is_of_one_number_of_sampler_steps(tmp_path):
    """At guidance 0 the points of a sampler sweep stood on the curve: a vertical line in the figure."""
    for seed in (0, 1):
        for steps, guidance in ((5, 0.0), (20, 0.0), (20, 1.0), (20, 2.0), (50, 0.0)):
            if seed == 0 or guidance < 2:
                write_run(tmp_path, make_spec("ddpm", seed, steps=steps, guidance=guidance), images=False)
    (curve,) = curves_of(tmp_path, "guidance")
    assert list(zip(curve.x, [one.nfe for one in curve.series], strict=True)) == [(0, 20), (1, 40), (2, 40)]
    assert curve.seeds == (0, 1)
    alone = curve.without("guidance")
    assert alone.guidance != alone.guidance
    assert alone.nfe != alone.nfe
    assert alone.step == curve.series[0].step
    assert [other.x for other in curves_of(tmp_path, "nfe")] == [[5, 20, 50]]


def test_a_hyperparameter_that_is_not_set_stands_at_its_default(tmp_path):
    """CORAL's temperature is 0.1 where none is set: a study's own trainings stand on one curve with the default's."""
    write_run(tmp_path, make_spec("coral"), images=False)
    for value in (0.05, 0.5):
        write_run(tmp_path, make_spec("coral", hyper={"coral": {"tau_sc": value}}), images=False)
    (curve,) = curves_of(tmp_path, "coral.tau_sc")
    assert curve.x == pytest.approx([0.05, 0.1, 0.5])
    assert [one.label for one in label_curves([curve], "coral.tau_sc")] == ["CORAL"]


def test_of_many_curves_each_methods_longest_is_kept(tmp_path):
    for method in ("ddpm", "coral"):
        for steps in (5, 10, 15, 20, 25, 40, 50, 100):
            for guidance in (0.0, 1.0, 2.0) if steps == 20 else (0.0, 1.0):
                spec = make_spec(method, steps=steps, guidance=guidance)
                write_run(tmp_path, spec, score_rows(spec, metrics=("frechet",)), images=False)
    curves = curves_of(tmp_path, "guidance")
    assert len(curves) == 16
    assert sorted((curve.series[0].method, curve.x) for curve in curves_that_fit(curves)) == [
        ("coral", [0, 1, 2]),
        ("ddpm", [0, 1, 2]),
    ]
    assert len(curves_that_fit([curve for curve in curves if curve.series[0].method == "ddpm"])) == 8
