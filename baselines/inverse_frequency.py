"""Re-weighting by inverse class frequency.

    L = mean w_y (eps - eps_theta(x_t, t, y))^2,     w_k = c / n_k^power,     mean of w over drawn images = 1

The constant c keeps the loss on the scale of plain denoising, so the learning rate and the gradient clip
mean the same. power = 1 weighs every class alike, 1/2 is the square-root compromise. The weight follows the
image's own label also where the label was dropped.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ltbench.method import Batch, Method


@dataclass(frozen=True)
class Hyperparameters:
    """The strength of the re-weighting."""

    power: float = field(default=1.0, metadata={"help": "w_k is proportional to n_k^-power"})

    def __post_init__(self) -> None:
        if not 0 <= self.power <= 4:  # n_k^-4 of a share of 1e-9 is still a float32
            raise ValueError("power must be in [0, 4]")


class InverseFrequency(Method):
    """Weighs each image by its class's inverse frequency."""

    name = "inverse_frequency"
    paper = "Huang et al., Learning Deep Representation for Imbalanced Classification, CVPR 2016"
    Hyperparameters = Hyperparameters

    def weights(self, batch: Batch) -> Tensor:
        """Return w_y (B,)."""
        # a class without images weighs nothing: it is never drawn
        classes = torch.where(batch.prior > 0, batch.prior.pow(-self.hp.power), 0.0)
        return (classes / (classes * batch.draw_prior).sum())[batch.y]
