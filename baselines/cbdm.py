"""CBDM: the predictions for an image's own label and for a re-drawn one are pulled together.

Qin, Zheng, Yao, Zhou, Zhang: Class-Balancing Diffusion Models, CVPR 2023.

    L = mean (eps - h)^2 + mean[ w(t) (h - sg h')^2 ] + gamma mean[ w(t) (sg h - h')^2 ]
    h = eps_theta(x_t, t, y),   h' = eps_theta(x_t, t, y'),   w(t) = tau t / T,   sg = stop-gradient

Each image whose label was dropped adds nothing to the regulariser. The second pass costs about as much
as the first; where a whole batch's labels were dropped there is none.

Paper and released code differ (`variant`):

- released: y' ~ the long-tailed prior, weight t/T. It draws uniformly only when fine-tuning a trained
  model: set ``labels="balanced"`` for that. One y' an image.
- published (eq. 4): weight tau t with tau = 0.001 and an average over a label set drawn from the training
  distribution. At T = 1000 that is the released weight, so the two differ only where ``draws``, how many y'
  an image the average takes, is more than 1. ``labels`` = sqrt and balanced are the paper's ablation of the
  set, not its default; the square-root set was never released.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ltbench.method import Batch, Context, Method, Prediction, to_double

POWER = {"train": 1.0, "sqrt": 0.5, "balanced": 0.0}


def label_distribution(prior: Tensor, labels: str) -> Tensor:
    """Return the distribution (K,) of y' in float64: proportional to prior^1 (train), ^1/2 or ^0."""
    weights = to_double(prior).pow(POWER[labels])
    return weights / weights.sum()


def consistency(h: Tensor, h_other: Tensor, weight: Tensor, gamma: float) -> Tensor:
    """Return the batch mean of w (|h - sg h'|^2 + gamma |sg h - h'|^2).

    Parameters
    ----------
    h, h_other
        (B,C,H,W), the predictions for y and y'.
    weight
        (B,), w(t), 0 where the label was dropped.
    gamma
        Weight of the second term, which moves h' towards h.
    """
    towards_other = (h - h_other.detach()).square().flatten(1).mean(1)
    towards_own = (h.detach() - h_other).square().flatten(1).mean(1)
    return (weight * (towards_other + gamma * towards_own)).mean()


@dataclass(frozen=True)
class Hyperparameters:
    """CBDM's settings; the defaults are the released code's."""

    variant: str = "released"
    tau: float = field(default=1.0, metadata={"help": "weight of the regulariser"})
    gamma: float = field(default=0.25, metadata={"help": "weight of the term that moves h' towards h"})
    labels: Literal["train", "sqrt", "balanced"] = field(
        default="train", metadata={"help": "distribution of y': the prior, its square root, or uniform"}
    )
    time_weight: Literal["t/T", "t"] = field(default="t/T", metadata={"help": "how w(t) grows with t"})
    draws: int = field(default=1, metadata={"help": "labels y' drawn an image; each is one more pass"})

    def __post_init__(self) -> None:
        if self.tau < 0 or self.gamma < 0:
            raise ValueError("tau and gamma must be 0 or more")
        if self.draws < 1:
            raise ValueError("draws must be 1 or more")
        if self.draws > 1000:
            raise ValueError("draws must be at most 1000")


class CBDM(Method):
    """Denoising plus the consistency of two labels' predictions."""

    name = "cbdm"
    paper = "Qin et al., Class-Balancing Diffusion Models, CVPR 2023"
    Hyperparameters = Hyperparameters
    VARIANTS: ClassVar = {
        "released": {},
        "published": {"time_weight": "t", "tau": 0.001, "labels": "train"},
    }

    def regularizers(self, batch: Batch, prediction: Prediction, ctx: Context) -> dict[str, Tensor]:
        """Return the one term ``consistency``; the second pass keeps its gradient."""
        hp, device = self.hp, batch.x_t.device
        total = torch.zeros((), device=device)
        if not batch.any_label:
            return {"consistency": total}
        scale = hp.tau / batch.num_timesteps if hp.time_weight == "t/T" else hp.tau
        weight = scale * batch.t * ~batch.dropped
        cumulative = label_distribution(batch.prior, hp.labels).cumsum(0)
        for _ in range(hp.draws):
            u = torch.rand(ctx.global_size, generator=ctx.rng, dtype=torch.float64)
            u = ctx.shard(u).to(cumulative.device, non_blocking=True)
            drawn = torch.searchsorted(cumulative, u, right=True).clamp_(max=batch.num_classes - 1)
            other = ctx.denoiser(batch.x_t, batch.t, drawn.to(device))
            total = total + consistency(prediction.eps, other.eps, weight, hp.gamma)
        return {"consistency": total / hp.draws}
