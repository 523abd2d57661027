"""Specs of runs: settings that cannot be, and the path that scripts import them by."""

import pytest
from pydantic import ValidationError

import ltbench.spec
import ltbench.specs
from ltbench.specs import RunSpec


@pytest.mark.parametrize(
    "content",
    [
        {"data": {"imbalance_ratio": 0}},
        {"data": {"imbalance_ratio": 2}},
        {"data": {"imbalance_ratio": float("nan")}},
        {"data": {"class_order": "permuted"}},
        {"data": {"split_seed": -1}},
        {"train": {"steps": 0}},
        {"train": {"steps": -5}},
        {"train": {"snapshots": [0]}},
        {"train": {"learning_rate": float("inf")}},
        {"train": {"ema_decay": 1}},
        {"train": {"stepz": 3}},
        {"train_seed": 1.5},
        {"sample": {"sampler": "ancestral", "steps": 50}},
        {"sample": {"guidance": -1}},
        {"score": {"bootstrap": 1}},
    ],
)
def test_impossible_specs_are_refused(content):
    with pytest.raises(ValidationError):
        RunSpec.model_validate(content)


def test_the_former_import_path_holds_the_same_specs():
    """Scripts of users say ``from ltbench.spec import RunSpec``."""
    assert ltbench.spec.__all__ == ltbench.specs.__all__
    assert all(getattr(ltbench.spec, name) is getattr(ltbench.specs, name) for name in ltbench.specs.__all__)


def test_a_stored_run_of_one_replicate_is_still_read():
    assert RunSpec.stored({"score": {"bootstrap": 1}}).score.bootstrap == 0
