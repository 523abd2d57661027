"""The exact denoiser of Gaussian classes, from class means and spreads to predicted noise.

Pixels of class k are N(m_k, s_k^2), independent of one another. Then x_t is N(sqrt(a) m_k, a s_k^2 + 1 - a) with
a = abar_t, and the noise that a perfect network predicts is known:

    eps(x_t, k) = sqrt(1 - a) (x_t - sqrt(a) m_k) / (a s_k^2 + 1 - a)

Without a label it is the mixture of these, weighted by the posterior of the classes given x_t. So what a sampler
makes can be compared with a distribution that is known, and not only with another library's sampler.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ltbench.diffusion.schedule import alpha_bar
from ltbench.method import Prediction


class ClosedForm(nn.Module):
    """The exact denoiser; called as any other, with ``shape`` and ``num_classes``, and nothing to train.

    Parameters
    ----------
    means
        m_k, (K,) or (K, C, H, W), in [-1, 1].
    sds
        s_k, (K,), above 0.
    prior
        Share of each class in the training set, (K,); weighs the classes where no label is given.
    shape
        (C, H, W) of an image.
    """

    means: Tensor
    sds: Tensor
    prior: Tensor
    levels: Tensor

    def __init__(
        self,
        means: Sequence[float] | Tensor,
        sds: Sequence[float] | Tensor,
        prior: Sequence[float] | Tensor,
        shape: tuple[int, int, int],
    ) -> None:
        super().__init__()
        means = torch.as_tensor(means, dtype=torch.float64)
        if means.ndim == 1:
            means = means.view(-1, 1, 1, 1).expand(-1, *shape)
        sds, prior = (torch.as_tensor(values, dtype=torch.float64) for values in (sds, prior))
        if not (means.shape == (len(means), *shape) and sds.shape == prior.shape == means.shape[:1]):
            raise ValueError(
                "means, sds and prior must be of as many classes, and means of the image's shape"
            )
        if not ((sds > 0).all() and (prior > 0).all()):
            raise ValueError("every class needs a spread and a share above 0")
        self.register_buffer("means", means.clone())
        self.register_buffer("sds", sds)
        self.register_buffer("prior", prior / prior.sum())
        self.register_buffer("levels", alpha_bar())
        self.num_classes, self.shape = len(means), shape
        self.bottleneck_channels, self.bottleneck_shape = 1, (1, *shape[1:])

    def forward(self, x_t: Tensor, t: Tensor, label: Tensor) -> Prediction:
        """Predict the noise in `x_t` (B,C,H,W) at the time steps `t` (B,) for `label` (B,), K for none.

        Returns
        -------
        Prediction
            The noise, computed in float64; as bottleneck the images themselves, one channel.
        """
        level = self.levels[t.long()]
        eps = self.noise(x_t.double(), level, label)
        return Prediction(eps.to(x_t.dtype), x_t.mean(1, keepdim=True))

    def noise(self, x: Tensor, level: Tensor, label: Tensor) -> Tensor:
        """Return the exact noise at any level of signal: x (B,C,H,W) float64, level abar (B,), label (B,)."""
        of_class = label.clamp(max=self.num_classes - 1)
        eps = self._of_class(x, level, of_class)
        unlabelled = label >= self.num_classes
        if x.is_meta or not unlabelled.any():
            return eps
        share = self.posterior(x, level).view(len(x), self.num_classes, 1, 1, 1)
        mixed = torch.zeros_like(x)
        for k in range(self.num_classes):
            mixed = mixed + share[:, k] * self._of_class(x, level, torch.full_like(label, k))
        return torch.where(unlabelled.view(-1, 1, 1, 1), mixed, eps)

    def posterior(self, x: Tensor, level: Tensor) -> Tensor:
        """Return P(class | x_t), (B, K)."""
        variance = level.view(-1, 1) * self.sds**2 + 1 - level.view(-1, 1)
        logs = []
        for k in range(self.num_classes):
            distance = (x - level.sqrt().view(-1, 1, 1, 1) * self.means[k]).square().sum((1, 2, 3))
            logs.append(-distance / (2 * variance[:, k]) - math.prod(self.shape) / 2 * variance[:, k].log())
        return (torch.stack(logs, 1) + self.prior.log()).softmax(1)

    def _of_class(self, x: Tensor, level: Tensor, label: Tensor) -> Tensor:
        a = level.view(-1, 1, 1, 1)
        sd = self.sds[label].view(-1, 1, 1, 1)
        return (1 - a).sqrt() * (x - a.sqrt() * self.means[label]) / (a * sd**2 + 1 - a)

    def guided(self, x: Tensor, level: Tensor, label: Tensor, omega: float) -> Tensor:
        """Return eps_c + omega (eps_c - eps_u) at one level (a number's tensor) for the whole batch."""
        each = level.expand(len(x))
        conditional = self.noise(x, each, label)
        if omega == 0:
            return conditional
        unconditional = self.noise(x, each, torch.full_like(label, self.num_classes))
        return conditional + omega * (conditional - unconditional)
