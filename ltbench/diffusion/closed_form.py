"""The exact denoiser of Gaussian classes, from class means and spreads to predicted noise, and exact trajectories.

Pixels of class k are N(m_k, s_k^2), independent of one another. Then x_t is N(sqrt(a) m_k, a s_k^2 + 1 - a) with
a = abar_t, and the noise that a perfect network predicts is known:

    eps(x_t, k) = sqrt(1 - a) (x_t - sqrt(a) m_k) / (a s_k^2 + 1 - a)

Without a label it is the mixture of these, weighted by the posterior of the classes given x_t. So what a sampler
makes can be compared with a distribution that is known, and not only with another library's sampler.

`exact_flow` and `exact_diffusion` integrate the guided equations finely in float64: what deterministic and
stochastic samplers tend to. Written for y = x_t / sqrt(a) and sigma = sqrt((1 - a) / a) they are
dy = eps dsigma and, backwards in time, dy = 2 eps dsigma + sqrt(2 sigma |dsigma|) z (Karras et al. 2022,
equations 4 and 6, with sigma(t) = t).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

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

    bottleneck_channels = 1
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


Guided = Callable[[Tensor, Tensor], Tensor]  # (x, abar) -> eps


def _sigmas(steps: int) -> Tensor:
    """Return sigma from the noisiest time step to the least noisy one, uniform in its logarithm."""
    levels = alpha_bar()
    ends = ((1 - levels) / levels).sqrt().log()
    return torch.linspace(ends[-1].item(), ends[0].item(), steps + 1, dtype=torch.float64).exp()


def _noise_at(guided: Guided, y: Tensor, sigma: Tensor) -> Tensor:
    level = 1 / (1 + sigma**2)
    return guided(level.sqrt() * y, level)


def exact_flow(guided: Guided, start: Tensor, steps: int = 2000) -> Tensor:
    """Return x_0 of the probability-flow ODE by Heun's method in float64, and a last jump to the data.

    Parameters
    ----------
    guided
        (x, abar) -> predicted noise, guidance done.
    start
        (B,C,H,W) standard normal: x_t at the noisiest time step.
    steps
        Of Heun's method; its error falls with their square.
    """
    sigmas = _sigmas(steps)
    y = start.double() * (1 + sigmas[0] ** 2).sqrt()
    for here, there in itertools.pairwise(sigmas):
        first = _noise_at(guided, y, here)
        second = _noise_at(guided, y + (there - here) * first, there)
        y = y + (there - here) * (first + second) / 2
    return y - sigmas[-1] * _noise_at(guided, y, sigmas[-1])


def exact_diffusion(guided: Guided, start: Tensor, generator: torch.Generator, steps: int = 2000) -> Tensor:
    """Return x_0 of the reverse-time stochastic equation by fine steps in float64; parameters as `exact_flow`.

    Each step is exact for a prediction of the data that is constant in it, or after the first that goes on
    as it went in the step before (as SDE-DPM-Solver++ of orders 1 and 2).
    """
    sigmas = _sigmas(steps)
    y = start.double() * (1 + sigmas[0] ** 2).sqrt()
    before = None
    for here, there in itertools.pairwise(sigmas):
        data = y - here * _noise_at(guided, y, here)
        ahead = data if before is None else data + (data - before) / 2
        before, share = data, (there / here) ** 2
        noise = torch.randn(y.shape, dtype=torch.float64, generator=generator)
        y = share * y + (1 - share) * ahead + there * (1 - share).sqrt() * noise
    return y - sigmas[-1] * _noise_at(guided, y, sigmas[-1])
