"""P2 weighting: a batch to one weight an image, by its noise level.

Choi, Lee, Shin, Kim, Kim, Yoon: Perception Prioritized Training of Diffusion Models, CVPR 2022, equation 8.

    w_t = 1 / (k + SNR(t))^gamma,     SNR(t) = abar_t / (1 - abar_t)
"""

from dataclasses import dataclass, field

from torch import Tensor

from ltbench.method import Batch, Method


def p2_weight(alpha_bar: Tensor, k: float, gamma: float) -> Tensor:
    """Return 1 / (k + SNR)^gamma for alpha_bar (B,) in (0, 1)."""
    return (k + alpha_bar / (1 - alpha_bar)) ** -gamma


@dataclass(frozen=True)
class Hyperparameters:
    """Choi et al.'s two constants."""

    k: float = field(default=1.0, metadata={"help": "keeps the weight finite where there is only noise"})
    gamma: float = field(default=1.0, metadata={"help": "how much less clean levels count; 0: plain denoising"})


class P2Weighting(Method):
    """Weighs each image by the signal-to-noise ratio of its time step."""

    name = "p2"
    paper = "Choi et al., Perception Prioritized Training of Diffusion Models, CVPR 2022"
    Hyperparameters = Hyperparameters

    def weights(self, batch: Batch) -> Tensor:
        """Return w_t (B,)."""
        return p2_weight(batch.alpha_bar, self.hp.k, self.hp.gamma)
