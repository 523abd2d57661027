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

__all__ = [
    "Batch",
    "Context",
    "DrawRatio",
    "Method",
    "Needs",
    "NoHyperparameters",
    "Prediction",
    "Switch",
]
