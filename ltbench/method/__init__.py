"""The Method interface: what a method file imports."""

from ltbench.method.base import (
    Batch,
    Context,
    Method,
    Needs,
    NoHyperparameters,
    Prediction,
)

__all__ = [
    "Batch",
    "Context",
    "Method",
    "Needs",
    "NoHyperparameters",
    "Prediction",
]
