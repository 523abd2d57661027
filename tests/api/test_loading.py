"""Studies loaded from Python."""

import numpy as np

import ltbench as lt


def test_a_setting_may_be_numpys():
    steps = {"train.steps": np.int64(3), "seeds": np.arange(2)}
    plain = lt.load_study("demo", methods="ddpm", **{"train.steps": 3, "seeds": [0, 1]})
    assert lt.load_study("demo", methods="ddpm", **steps).runs == plain.runs
