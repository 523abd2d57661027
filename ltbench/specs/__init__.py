"""What a training, a sample set and a score are: frozen, validated, serialisable; and their keys.

Every default is the papers' common setting (CIFAR10-LT, 35.7 M U-Net, 150k steps, ancestral sampling).
"""

from ltbench.specs.keys import SAMPLE_VERSION, TRAIN_VERSION, sample_key, stage_key, train_key
from ltbench.specs.run import RunSpec, ScoreSpec
from ltbench.specs.sampling import (
    KEY_BASE,
    PLAIN,
    RULE_FIELDS,
    RULE_SETTINGS,
    SampleSpec,
    is_hash,
    rule_words,
)
from ltbench.specs.training import DataSpec, MethodSpec, ModelSpec, TrainSpec, matching_variant, one_zero

__all__ = [
    "KEY_BASE",
    "PLAIN",
    "RULE_FIELDS",
    "RULE_SETTINGS",
    "SAMPLE_VERSION",
    "TRAIN_VERSION",
    "UNLABELLED",
    "DataSpec",
    "MethodSpec",
    "ModelSpec",
    "RunSpec",
    "SampleSpec",
    "ScoreSpec",
    "TrainSpec",
    "is_hash",
    "matching_variant",
    "one_zero",
    "rule_words",
    "sample_key",
    "stage_key",
    "train_key",
]


UNLABELLED = -1
"""The label of every image of a sample set without labels: all images of a set have one, or none has."""
