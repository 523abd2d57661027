"""Dispersive loss: the bottlenecks of a batch's images are driven apart, without labels or positives.

Diffuse and Disperse: Image Generation with Representation Regularization, arXiv 2506.09027.

    L = L_diff + lambda log mean_{i,j} exp( -|z_i - z_j|^2 / (tau D) ),      D the length of z

The mean goes over the whole B x B matrix: its diagonal of zeros is in it and each pair twice. The term lies in
[log(1/B), 0], so it is negative. No further pass; dropped labels make no difference.

Paper and released code differ (`variant`), and both from what is here in where z is taken: the PyTorch release
takes the last block of a transformer, the paper's JAX code a quarter of the depth. Here, as in the comparison of
arXiv 2507.09052 on the U-Net, z is the middle block's output, flattened.

- torch, the default: lambda .25, tau 1.
- paper: lambda .5, tau .5.
"""

import math
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from ltbench.method import Batch, Context, Method, Needs, Prediction


def dispersion(features: Tensor, tau: float) -> Tensor:
    """Return log mean_{i,j} exp(-|z_i - z_j|^2 / (tau D)), a scalar in float32, of features (B, ...)."""
    with torch.autocast(features.device.type, enabled=False):
        z = features.float().flatten(1)
        squares = z.square().sum(1)
        distance = squares[:, None] + squares[None, :] - 2 * (z @ z.T)
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    exponent = -distance.masked_fill(itself, 0.0).clamp(min=0) / (tau * z.shape[1])
    return exponent.flatten().logsumexp(0) - math.log(exponent.numel())


@dataclass(frozen=True)
class Hyperparameters:
    """The weight and the temperature; the defaults are the PyTorch release's."""

    variant: str = "torch"
    weight: float = field(default=0.25, metadata={"help": "lambda, the weight of the term"})
    tau: float = field(default=1.0, metadata={"help": "temperature of the dispersion"})

    def __post_init__(self) -> None:
        if self.weight < 0:
            raise ValueError("weight must be 0 or more")
        if self.tau <= 0:
            raise ValueError("tau must be more than 0")


class Dispersive(Method):
    """Denoising plus the dispersion of the bottleneck."""

    name = "dispersive"
    paper = "Wang and He, Diffuse and Disperse, arXiv 2506.09027"
    Hyperparameters = Hyperparameters
    VARIANTS: ClassVar = {"torch": {}, "paper": {"weight": 0.5, "tau": 0.5}}
    needs = Needs(batch_coupled=True)

    def regularizers(self, batch: Batch, prediction: Prediction, ctx: Context) -> dict[str, Tensor]:
        """Return the one term ``dispersion``, computed for the whole global batch by every process."""
        return {"dispersion": self.hp.weight * dispersion(ctx.gather(prediction.bottleneck), self.hp.tau)}
