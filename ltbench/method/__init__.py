"""The Method interface: what a method file imports."""

from ltbench.method.base import (
    Batch,
    Context,
    DrawRatio,
    Method,
    Needs,
    NoHyperparameters,
    Prediction,
    Switch,
)
from ltbench.method.double import to_double

__all__ = [
    "Batch",
    "Context",
    "DrawRatio",
    "Method",
    "Needs",
    "NoHyperparameters",
    "Prediction",
    "Switch",
    "to_double",
]
