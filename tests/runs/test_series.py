"""What a row of scores is a repetition of."""

import pandas as pd
import pytest

from ltbench.method.registry import resolve
from ltbench.runs.series import with_series
from ltbench.spec import MethodSpec, RunSpec

ROW = {"step": 1, "sampler": "ddim", "nfe": 10, "guidance": 0.0, "origin": "ours", "value": 1.0}


@pytest.mark.parametrize(
    ("method", "stored", "now"),
    [
        # "published" stood for these once; a factor of 1000 lies between them and the name's constants of today.
        (resolve("cbdm", {"cbdm": {"time_weight": "t", "labels": "balanced"}}), "published", "custom"),
        (resolve("cbdm", {"cbdm": {"variant": "published"}}), "published", "published"),
        (resolve("cbdm"), "released", "released"),
        # "released" was CORAL's formula alone once, and now has the released flags' constants as well.
        (
            resolve(
                "coral",
                {"coral": {"lambda_per": "batch", "second_temperature": True, "mask_dropped": True}},
            ),
            "released",
            "released_formula",
        ),
        (MethodSpec(name="not_installed", hyperparameters={"not_installed": {"w": 1}}), "theirs", "theirs"),
    ],
)
def test_a_run_is_called_by_what_its_hyperparameters_are_today(method, stored, now):
    table = pd.DataFrame([{**ROW, "method": method.name, "variant": stored}])
    assert with_series(table, RunSpec(method=method))["variant"].tolist() == [now]
