"""Arguments from Python: a model's answer, counts and factors of classes."""

import pytest
from towards_label import TowardsLabel

import ltbench as lt
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
