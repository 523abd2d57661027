"""Debiased weighting: a batch to one weight an image, by its noise level.

Yu, Li, Zhang, Zhu, Chen, Zhou: Debias the Training of Diffusion Models, 2023 (arXiv:2310.08442), equation 9.

    w_t = 1 / sqrt(SNR(t)),     SNR(t) = abar_t / (1 - abar_t)

The clamp keeps the noisiest level, where the SNR is 4e-5, from outweighing all others.
"""

from dataclasses import dataclass, field

from torch import Tensor

from ltbench.method import Batch, Method


def debiased_weight(alpha_bar: Tensor, most: float) -> Tensor:
    """Return min(SNR^-1/2, most) for alpha_bar (B,) in (0, 1)."""
    return ((1 - alpha_bar) / alpha_bar).sqrt().clamp(max=most)


@dataclass(frozen=True)
class Hyperparameters:
    """The one constant."""

    most: float = field(default=10.0, metadata={"help": "largest weight"})

    def __post_init__(self) -> None:
        if self.most <= 0:
            raise ValueError("most must be above 0")


class Debiased(Method):
    """Weighs each image by the inverse root of its time step's signal-to-noise ratio."""

    name = "debiased"
    paper = "Yu et al., Debias the Training of Diffusion Models, 2023"
    Hyperparameters = Hyperparameters

    def weights(self, batch: Batch) -> Tensor:
        """Return w_t (B,)."""
        return debiased_weight(batch.alpha_bar, self.hp.most)
