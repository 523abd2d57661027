"""P2 weighting: less weight on nearly clean images, more on the noise levels at which content is made.

Choi, Lee, Shin, Kim, Kim, Yoon: Perception Prioritized Training of Diffusion Models, CVPR 2022. For a network that
predicts the noise:

    snr_t = abar_t / (1 - abar_t),      w_t = 1 / (k + snr_t)^gamma

k = gamma = 1 gives w = 1 - abar_t; gamma = .5 is also in use. The weights are not scaled to mean 1, in the paper or
here: their mean over t is .724 (gamma = 1) or .806 (.5), which lowers the effective learning rate by as much.
"""

from dataclasses import dataclass, field

from torch import Tensor

from ltbench.method import Batch, Method


def p2(snr: Tensor, k: float, gamma: float) -> Tensor:
    """Return 1 / (k + snr)^gamma, of the same shape."""
    return (k + snr).pow(-gamma)


@dataclass(frozen=True)
class Hyperparameters:
    """The paper's two constants."""

    k: float = field(default=1.0, metadata={"help": "keeps the weight of pure noise finite"})
    gamma: float = field(default=1.0, metadata={"help": "strength of the re-weighting"})

    def __post_init__(self) -> None:
        if self.k <= 0 or self.gamma < 0:
            raise ValueError("k must be more than 0 and gamma 0 or more")


class P2(Method):
    """Weighs each image by its time step."""

    name = "p2"
    paper = "Choi et al., Perception Prioritized Training of Diffusion Models, CVPR 2022"
    Hyperparameters = Hyperparameters

    def weights(self, batch: Batch) -> Tensor:
        """Return w_t (B,)."""
        return p2(batch.signal_to_noise, self.hp.k, self.hp.gamma)
