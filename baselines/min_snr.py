"""Min-SNR weighting: the loss of nearly clean images is cut, whose noise is almost all that they show.

Hang, Gu, Li, Bao, Chen, Hu, Geng, Guo: Efficient Diffusion Training via Min-SNR Weighting Strategy, ICCV 2023.
For a network that predicts the noise:

    snr_t = abar_t / (1 - abar_t),      w_t = min(snr_t, gamma) / snr_t = min(1, gamma / snr_t)

The paper's and the released weights are not scaled to mean 1, and neither are these: their mean over t is .913
at gamma = 5, which lowers the effective learning rate by as much. w is 5e-4 at t = 0 and 1 from t = 130 on.
"""

from dataclasses import dataclass, field

from torch import Tensor

from ltbench.method import Batch, Method


def min_snr(snr: Tensor, gamma: float) -> Tensor:
    """Return min(1, gamma / snr), of the same shape."""
    return (gamma / snr).clamp(max=1)


@dataclass(frozen=True)
class Hyperparameters:
    """The paper's one constant."""

    gamma: float = field(
        default=5.0, metadata={"help": "signal-to-noise ratio from which on the loss is cut"}
    )

    def __post_init__(self) -> None:
        if self.gamma <= 0:
            raise ValueError("gamma must be more than 0")


class MinSNR(Method):
    """Weighs each image by its time step."""

    name = "min_snr"
    paper = "Hang et al., Efficient Diffusion Training via Min-SNR Weighting Strategy, ICCV 2023"
    Hyperparameters = Hyperparameters

    def weights(self, batch: Batch) -> Tensor:
        """Return w_t (B,)."""
        return min_snr(batch.signal_to_noise, self.hp.gamma)
