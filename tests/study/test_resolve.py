"""From flags and settings to one study or one data set."""

import pytest

from ltbench.errors import UsageError
from ltbench.study.resolve import resolve_study


def test_more_than_one_data_cell_or_other_settings_are_refused():
    from ltbench.study.resolve import resolve_cell as data_cell

    with pytest.raises(UsageError, match="2 data cells"):
        data_cell("digits_lt", ["data.split_seed=0,1"], {}, None)
    with pytest.raises(UsageError, match="only data"):
        data_cell("digits_lt", ["train.steps=3"], {}, None)
    with pytest.raises(UsageError, match="did you mean 'digits_lt'"):
        data_cell("digit_lt", [], {}, None)
    assert data_cell("celeba5", [], {}, None).profile == "asis"


@pytest.mark.parametrize(
    ("sets", "flags"),
    [
        ([], {"imbalance_ratio": "0.001"}),
        (["data.imbalance_ratio=0.001"], {}),
        (["imbalance_ratio=1e-3"], {}),
    ],
)
def test_a_ratio_takes_its_cells_settings_however_it_is_given(sets, flags):
    study = resolve_study(None, sets, {"dataset": "cifar10_lt", "method": "cbdm", **flags}, None)
    assert {run.sample.guidance for run in study.runs} == {1.8}
