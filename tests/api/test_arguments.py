"""Arguments from Python: a model's answer, counts and factors of classes, names."""

import numpy as np
import pandas as pd
import pytest
from towards_label import TowardsLabel

import ltbench as lt
from ltbench.api.arguments import some_names
from ltbench.errors import UsageError
from ltbench.method import Prediction


@pytest.mark.parametrize(
    ("answer", "says"),
    [(lambda x: x, "it returned Tensor"), (lambda x: Prediction(x[:, :, :2], x), r"eps \(1, 1, 2, 4\)")],
)
def test_a_models_answer_is_checked(answer, says):
    model = TowardsLabel()
    model.__class__ = type("Other", (TowardsLabel,), {"__call__": lambda _self, x, _t, _y: answer(x)})
    with pytest.raises(UsageError, match=says):
        lt.sample(model, [0], steps=1, device="cpu")


@pytest.mark.parametrize("counts", [[5, 1], [5, 0, 1], [5, -1, 1], "many", [[5, 1, 1]]])
def test_counts_are_one_for_each_class(counts):
    by_size = {"rule": "per_class", "omega_power": -1, "guidance": 1, "counts": counts}
    with pytest.raises(UsageError, match="counts must be the training images of each of the 3 classes"):
        lt.sample(TowardsLabel(), [0, 1], guidance=by_size, device="cpu")


def test_factors_are_one_for_each_class():
    factors = {"rule": "per_class", "omega_factors": [1, 2], "guidance": 1}
    with pytest.raises(UsageError, match="omega_factors has 2 numbers for 3 classes"):
        lt.sample(TowardsLabel(), [0, 1], guidance=factors, device="cpu")


@pytest.mark.parametrize(
    "names",
    [
        "kid, vendi",
        ["kid", "vendi"],
        np.array(["kid", "vendi"]),
        pd.Series(["kid", "vendi"], index=[3, 1]),
        {"kid": 1, "vendi": 2}.keys(),
        (name for name in ["kid", "vendi"]),
    ],
)
def test_names_come_in_any_iterable(names):
    assert some_names(names, "metrics") == ("kid", "vendi")


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (None, "metrics must be names, not None"),
        ({"kid": 1}, "metrics must be names, not {'kid': 1}"),
        (b"kid", "metrics must be names, not b'kid'"),
        (np.array("kid"), r"metrics must be names, not array\('kid', dtype='<U3'\)"),
        (np.array([1, 2]), r"metrics must be a name, not np\.int64\(1\)"),
        ([pd.Series([1])], r"metrics must be a name, not 0 1 dtype: int64"),
        (iter(()), "metrics names nothing"),
    ],
)
def test_what_are_no_names_is_one_line(names, says):
    with pytest.raises(UsageError, match=says) as caught:
        some_names(names, "metrics")
    assert "\n" not in str(caught.value)
