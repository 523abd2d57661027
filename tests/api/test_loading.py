"""Studies loaded from Python."""

import numpy as np
import pandas as pd
import pytest
from image_folders import write_counted_classes

import ltbench as lt
from ltbench.api.arguments import a_path
from ltbench.data.prepare.prepare import prepare
from ltbench.errors import UsageError


def test_a_setting_may_be_numpys():
    steps = {"train.steps": np.int64(3), "seeds": np.arange(2)}
    plain = lt.load_study("demo", methods="ddpm", **{"train.steps": 3, "seeds": [0, 1]})
    assert lt.load_study("demo", methods="ddpm", **steps).runs == plain.runs


@pytest.mark.parametrize(
    "settings",
    [
        {"imbalance_ratio": np.float64(0.1)},
        {"split_seed": np.int64(1)},
        {"image_size": np.int64(8)},
        {"class_order": np.str_("reversed")},
    ],
)
def test_what_a_data_set_is_loaded_by_may_be_numpys(settings):
    """Each ended in "demo cannot be read (The truth value of an empty array is ambiguous)"."""
    plain = {name: value.item() for name, value in settings.items()}
    assert lt.load_dataset("digits_lt", **settings).spec == lt.load_dataset("digits_lt", **plain).spec


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


def test_a_ratio_of_a_folder_cuts_it_and_none_keeps_its_counts(tmp_path):
    """Any ratio was dropped, 0.5 as well as the default."""
    prepare("folder_lt", write_counted_classes(tmp_path / "src", [10, 10]), tmp_path, image_size=8, workers=1)
    assert lt.load_dataset("folder_lt", data_root=tmp_path).counts.tolist() == [6, 6]
    assert lt.load_dataset("folder_lt:src", imbalance_ratio=0.5, data_root=tmp_path).counts.tolist() == [6, 3]
    with pytest.raises(UsageError, match=r"data\.split_seed=2: folder_lt.* keeps every image"):
        lt.load_dataset("folder_lt:src", split_seed=2, data_root=tmp_path)


def test_paths_begin_at_home_and_another_users_home_that_is_not_there_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.toml").write_text('methods = "ddpm"\n')
    assert len(lt.load_study("~/mine.toml").runs) == 1
    assert a_path("~/runs", "out") == tmp_path / "runs"
    with pytest.raises(UsageError, match="~no_such_user/x: no user of that name"):
        lt.load_study("~no_such_user/x")
    with pytest.raises(UsageError, match="~no_such_user/x: no user of that name"):
        lt.load_study(dataset="~no_such_user/x")
