"""From settings to one run: what contradicts itself is refused."""

import pytest

from ltbench.errors import UsageError
from ltbench.study.file import load_study


@pytest.mark.parametrize("step", [4, 9])
def test_a_later_step_is_no_weaker_network(step):
    sets = ["dataset=digits_lt", "train.steps=4", "sample.sampler=ddim", "sample.steps=3", "guidance=1"]
    with pytest.raises(
        UsageError,
        match=f"--set sample.bad_step: sample.bad_step {step} must be an earlier step than train.steps 4",
    ):
        load_study(sets=[*sets, "sample.rule=auto", f"sample.bad_step={step}"])
