"""Double precision where a device lacks it: from a tensor on any device to one in float64.

Apple's GPUs (``mps``) compute in single precision only. What has to be exact is done on the CPU there.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ltbench.errors import UsageError


def has_float64(device: torch.device | str) -> bool:
    """Tell whether a device computes in double precision."""
    return str(device).partition(":")[0] != "mps"


def to_double(tensor: Tensor) -> Tensor:
    """Return a tensor in float64: on its own device, or on the CPU where that device has no float64."""
    return (tensor if has_float64(tensor.device) else tensor.cpu()).double()


def require_float64(device: torch.device | str, what: str) -> None:
    """Raise `UsageError` where something that computes in double precision is to run on a device without it."""
    if not has_float64(device):
        raise UsageError(f"{what} computes in double precision, which {device} has not: choose --device cpu")
