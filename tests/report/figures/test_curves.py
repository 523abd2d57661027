"""Curves: what may stand on one, and which are drawn of many."""

from report_folders import (
    make_spec,
    score_rows,
    write_run,
)
from report_scenes import drawn_of, scenes_of

from ltbench.analysis.cells import cells
from ltbench.report import load_results
from ltbench.report.document import make_scenes
from ltbench.report.figures.base import figures_of
from ltbench.report.figures.curves import at_most, varied


def test_one_guidance_axis_is_of_one_kind_of_sampler(tmp_path):
    """A scale of guidance means one thing to a deterministic and another to a stochastic sampler."""
    for sampler, steps in (("dpmsolver++", 20), ("ancestral", 1000)):
        for guidance in (0.0, 1.0):
            write_run(
                tmp_path, make_spec("ddpm", sampler=sampler, steps=steps, guidance=guidance), images=False
            )
    results = load_results(tmp_path)
    (cell,) = cells(results.scores)
    (scene,) = make_scenes([cell], results, "ddpm")
    curves = figures_of(scene, ["guidance"])["guidance"]
    assert sorted(f.name for f in curves) == [
        "digits-r0.05-guidance-deterministic",
        "digits-r0.05-guidance-stochastic",
    ]
    assert all(len(panel.marks) == 1 for f in curves for panel in f.panels)


def test_a_guidance_curve_is_of_one_number_of_sampler_steps(tmp_path):
    """At guidance 0 the points of a sampler sweep stood on the curve: a vertical line in the figure."""
    for seed in (0, 1):
        for steps, guidance in ((5, 0.0), (20, 0.0), (20, 1.0), (20, 2.0), (50, 0.0)):
            if seed == 0 or guidance < 2:
                spec = make_spec("ddpm", seed, steps=steps, guidance=guidance)
                write_run(tmp_path, spec, images=False)
    (scene,) = scenes_of(tmp_path)
    (curve,) = varied(scene, "guidance")
    assert list(zip(curve.x, [one.nfe for one in curve.series], strict=True)) == [(0, 20), (1, 40), (2, 40)]
    assert [curve.x for curve in varied(scene, "nfe")] == [[5, 20, 50]]
    (figure,) = drawn_of(tmp_path, "guidance")
    assert "training seeds 0,1 (n=2)" in figure.caption
    assert "Some points have fewer seeds" in figure.caption


def test_of_many_curves_each_methods_longest_is_drawn(tmp_path):
    for method in ("ddpm", "coral"):
        for steps in (5, 10, 15, 20, 25, 40, 50, 100):
            for guidance in (0.0, 1.0, 2.0) if steps == 20 else (0.0, 1.0):
                spec = make_spec(method, steps=steps, guidance=guidance)
                write_run(tmp_path, spec, score_rows(spec, metrics=("frechet",)), images=False)
    (scene,) = scenes_of(tmp_path)
    curves = varied(scene, "guidance")
    assert len(curves) == 16
    assert sorted((curve.series[0].method, curve.x) for curve in at_most(curves)) == [
        ("coral", [0, 1, 2]),
        ("ddpm", [0, 1, 2]),
    ]
    assert len(at_most([curve for curve in curves if curve.series[0].method == "ddpm"])) == 8
