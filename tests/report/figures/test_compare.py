"""The figures of comparisons: what their axes hold."""

from ltbench.report.figures.compare import off_scale


def test_a_training_that_diverged_is_off_the_forests_axis_and_a_winner_is_not():
    """CM as published: +130 beside a baseline of 0.73. T2H's +26 beside 10 is a result, and so is a lead of any size."""
    assert off_scale(130.0, 0.73)
    assert not off_scale(26.3, 9.95)
    assert not off_scale(-9.9, 9.95)
    assert not off_scale(7.2, 0.73)
