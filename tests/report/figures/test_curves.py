"""Curves: what may stand on one, and which are drawn of many."""

from report_folders import make_spec, write_run
from report_scenes import drawn_of

from ltbench.analysis.cells import cells
from ltbench.report.document import make_scenes
from ltbench.report.figures.base import figures_of
from ltbench.runs.results import load_results


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


def test_a_guidance_curve_says_its_seeds_and_that_some_points_have_fewer(tmp_path):
    for seed in (0, 1):
        for steps, guidance in ((5, 0.0), (20, 0.0), (20, 1.0), (20, 2.0), (50, 0.0)):
            if seed == 0 or guidance < 2:
                spec = make_spec("ddpm", seed, steps=steps, guidance=guidance)
                write_run(tmp_path, spec, images=False)
    (figure,) = drawn_of(tmp_path, "guidance")
    assert "training seeds 0,1 (n=2)" in figure.caption
    assert "Some points have fewer seeds" in figure.caption
