"""Studies loaded from Python."""

import numpy as np
import pandas as pd
import pytest

import ltbench as lt
from ltbench.errors import UsageError


def test_a_setting_may_be_numpys():
    steps = {"train.steps": np.int64(3), "seeds": np.arange(2)}
    plain = lt.load_study("demo", methods="ddpm", **{"train.steps": 3, "seeds": [0, 1]})
    assert lt.load_study("demo", methods="ddpm", **steps).runs == plain.runs


@pytest.mark.parametrize("seeds", [range(2), (0, 1), pd.Series([0, 1], index=[7, 3])])
def test_a_list_of_settings_may_be_any_sequence(seeds):
    plain = lt.load_study("demo", methods="ddpm", seeds=[0, 1])
    assert lt.load_study("demo", methods="ddpm", seeds=seeds).runs == plain.runs


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"seeds": []}, "seeds is an empty list"),
        ({"methods": np.array([])}, "methods is an empty list"),
        ({"methods": {"ddpm", "coral"}}, "methods must be text, a number or a list of them, not a set"),
        ({"train.steps": {"a": 1}}, r"train\.steps must be .* not a dict"),
        ({"seeds": (i for i in range(2))}, "not a generator"),
    ],
)
def test_a_setting_of_another_type_is_one_sentence(settings, says):
    with pytest.raises(UsageError, match=says):
        lt.load_study("demo", **settings)


def test_names_and_paths_of_another_type_are_one_sentence():
    with pytest.raises(UsageError, match="name must be a name, not None"):
        lt.load_dataset(None)
    with pytest.raises(UsageError, match="data_root must be a path, not 3"):
        lt.load_dataset("digits_lt", data_root=3)
    for wrong in (3, {"methods": "ddpm"}, "a\0b"):
        with pytest.raises(UsageError, match="preset_or_path must be a path"):
            lt.load_study(wrong)
