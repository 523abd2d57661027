"""Re-weighting by the effective number of samples.

Cui, Jia, Lin, Song, Belongie: Class-Balanced Loss Based on Effective Number of Samples, CVPR 2019.

    E_k = (1 - beta^n_k) / (1 - beta),     w_k = c / E_k,     L = mean w_y (eps - eps_theta(x_t, t, y))^2

beta = 0 weighs every image alike, beta -> 1 every class. The paper fixes c by sum_k w_k = K; here the mean of
w over drawn images is 1, so that the loss keeps the scale of plain denoising and with it the meaning of the
learning rate and the gradient clip.
"""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ltbench.method import Batch, Method, to_double


def effective_number(counts: Tensor, beta: float) -> Tensor:
    """Return (1 - beta^n) / (1 - beta) in float64 for counts n (K,)."""
    if beta == 0:
        return torch.ones_like(to_double(counts))
    return -torch.expm1(to_double(counts) * math.log(beta)) / (1 - beta)


@dataclass(frozen=True)
class Hyperparameters:
    """Cui et al.'s one constant."""

    beta: float = field(default=0.9999, metadata={"help": "how fast further images of a class stop counting"})

    def __post_init__(self) -> None:
        if not 0 <= self.beta < 1:
            raise ValueError("beta must be in [0, 1)")


class EffectiveNumber(Method):
    """Weighs each image by its class's inverse effective number."""

    name = "effective_number"
    paper = "Cui et al., Class-Balanced Loss Based on Effective Number of Samples, CVPR 2019"
    Hyperparameters = Hyperparameters

    def weights(self, batch: Batch) -> Tensor:
        """Return w_y (B,)."""
        if batch.counts is None:
            raise ValueError("effective_number needs Batch.counts")
        number = effective_number(batch.counts, self.hp.beta)
        classes = torch.where(number > 0, 1 / number, 0.0)  # a class without images is never drawn
        shares = batch.draw_prior.to(classes.device)
        return (classes / (classes * shares).sum()).to(batch.x0)[batch.y]
