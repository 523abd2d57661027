"""A run's settings that cannot be."""

import pytest
from pydantic import ValidationError

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
    ],
)
def test_impossible_specs_are_refused(content):
    with pytest.raises(ValidationError):
        RunSpec.model_validate(content)
