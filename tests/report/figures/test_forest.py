"""The forest plot: what its axis holds."""

from report_folders import make_spec, score_rows, write_run
from report_scenes import drawn_of

from ltbench.report.figures.axes import plot
from ltbench.report.figures.forest import off_scale


def test_a_training_that_diverged_is_off_the_forests_axis_and_a_winner_is_not():
    """CM as published: +130 beside a baseline of 0.73. T2H's +26 beside 10 is a result, and so is a lead of any size."""
    assert off_scale(130.0, 0.73)
    assert not off_scale(26.3, 9.95)
    assert not off_scale(-9.9, 9.95)
    assert not off_scale(7.2, 0.73)
    assert off_scale(80.0, 21.6, typical=15.0)
    assert not off_scale(80.0, 21.6, typical=20.0)
    assert not off_scale(60.0, 21.6, typical=1.0)


def test_one_seed_that_diverged_takes_its_method_off_the_axis(tmp_path):
    """Means +40 beside a baseline of 5: no tenfold, but the seed at +118 left the other methods one point of width."""
    for method, values in {"ddpm": (5, 5, 5), "coral": (6, 7, 123), "cbdm": (6, 7, 8)}.items():
        for seed, value in enumerate(values):
            spec = make_spec(method, seed)
            rows = [row | {"value": str(float(value))} for row in score_rows(spec, metrics=("frechet",))]
            write_run(tmp_path, spec, rows, images=False)
    (figure,) = drawn_of(tmp_path, "forest")
    for panel in figure.panels:
        assert sorted(panel.categories) == ["CBDM", "CORAL: +40.3, off the axis"]
        assert [mark.label for mark in panel.marks] == ["CBDM"]


def test_a_panel_whose_methods_are_all_off_the_axis_is_drawn(tmp_path):
    for method, value in (("ddpm", 5.0), ("coral", 500.0)):
        for seed in (0, 1):
            spec = make_spec(method, seed)
            rows = [row | {"value": repr(value + seed)} for row in score_rows(spec, metrics=("frechet",))]
            write_run(tmp_path / "runs", spec, rows, images=False)
    (figure,) = drawn_of(tmp_path / "runs", "forest")
    assert [len(panel.marks) for panel in figure.panels] == [0, 0]
    drawn = [axes for axes in plot(figure).axes if axes.get_yticklabels()]
    assert [axes.get_yticklabels()[0].get_text() for axes in drawn] == ["CORAL: +495, off the axis"] * 2
