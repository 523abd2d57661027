"""CCUA: the images of a batch are pushed apart without labels, and predictions with and without label agree.

Contrastive Conditional-Unconditional Alignment for Long-tailed Diffusion Model, arXiv 2507.09052.

    L = mean_i |h - eps|_i^2 + alpha mean_i u(t_i) UCL_i + gamma mean_i (t_i/T) |h - h0|_i^2
    UCL_i = log( 1 + sum_{j != i} exp( (cos(z0_i, z0_j) - 1) / temperature ) )

h0, z0 are the prediction and the middle block's output, flattened and not pooled, of a pass with the null
label; no gradient is stopped anywhere. UCL is InfoNCE whose positive is the image itself: cos = 1, without a
gradient, so it only pushes apart; it lies in [log(1 + (B-1) exp(-2/temperature)), log B]. The alignment
leaves out images whose label was dropped and is still divided by B; UCL takes all images. Where a whole
batch's labels were dropped the first pass is a null pass already and is used again: the released code runs
another one there, with another dropout mask.

Paper and released code differ (`variant`):

- released: u(t) = t/T, and UCL compares within one GPU's images (31 negatives in a batch of 128 on 4 GPUs).
  With ``negatives="local"`` the method itself then depends on the number of processes.
- gathered, the default: the released weights, compared over the global batch on however many processes.
- published: u(t) = 1; the paper's appendix has t/T for TinyImageNet-LT and Places-LT alone.
- resampled: as gathered, images drawn with class probability n_k^p, p = ln .1 / ln rho, so that the
  smallest class has a tenth of the largest's (ImageNet-LT, TinyImageNet-LT). The released code takes
  floor(N p_k) images a class each epoch; here every image is drawn anew.

The weights alpha = gamma = 1 are the U-Net script's; 0.05 its SiT's on ImageNet-LT.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from ltbench.method import Batch, Context, DrawRatio, Method, Needs, Prediction


def unconditional_contrast(features: Tensor, temperature: float) -> Tensor:
    """Return UCL_i (B,) in float32 from the bottlenecks (B, ...) of a null pass.

    One product of normalised rows; the released code holds a (B, B-1, D) tensor. No exponent is above 0, so
    log1p keeps the digits that a log-sum-exp near log 1 would lose.
    """
    with torch.autocast(features.device.type, enabled=False):
        z = F.normalize(features.float().flatten(1), dim=1)
        nearness = ((z @ z.T - 1) / temperature).exp()
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    return nearness.masked_fill(itself, 0.0).sum(1).log1p()


def alignment(h: Tensor, h_null: Tensor, weight: Tensor) -> Tensor:
    """Return the mean over B of weight_i |h - h0|_i^2; weight (B,) is 0 where the label was dropped."""
    return (weight * (h - h_null).square().flatten(1).mean(1)).mean()


@dataclass(frozen=True)
class Hyperparameters:
    """CCUA's settings; the defaults are the released U-Net script's, compared over the global batch."""

    variant: str = "gathered"
    alpha: float = field(default=1.0, metadata={"help": "weight of the unconditional contrast"})
    gamma: float = field(default=1.0, metadata={"help": "weight of the alignment"})
    temperature: float = field(default=0.1, metadata={"help": "temperature of the contrast"})
    ucl_time_weight: Literal["t/T", "1"] = field(
        default="t/T", metadata={"help": "how the contrast's weight grows with t"}
    )
    negatives: Literal["global", "local"] = field(
        default="global", metadata={"help": "compare over the whole batch, or within each process"}
    )
    smallest_draw: float | None = field(
        default=None,
        metadata={"help": "draw the smallest class this often for once the largest; none: as it is"},
    )

    def __post_init__(self) -> None:
        if self.alpha < 0 or self.gamma < 0:
            raise ValueError("alpha and gamma must be 0 or more")
        if self.temperature <= 0:
            raise ValueError("temperature must be more than 0")
        if self.smallest_draw is not None and not 0 < self.smallest_draw <= 1:
            raise ValueError("smallest_draw must be in (0, 1]")


class CCUA(Method):
    """Denoising plus a contrast of images without labels and the agreement of both kinds of prediction."""

    name = "ccua"
    paper = "Contrastive Conditional-Unconditional Alignment for Long-tailed Diffusion, arXiv 2507.09052"
    Hyperparameters = Hyperparameters
    VARIANTS: ClassVar = {
        "gathered": {},
        "released": {"negatives": "local"},
        "published": {"ucl_time_weight": "1"},
        "resampled": {"smallest_draw": 0.1},
    }

    def __init__(self, hyperparameters: Any = None) -> None:
        super().__init__(hyperparameters)
        ratio = self.hp.smallest_draw
        self.needs = Needs(draw="natural" if ratio is None else DrawRatio(ratio), batch_coupled=True)

    def regularizers(self, batch: Batch, prediction: Prediction, ctx: Context) -> dict[str, Tensor]:
        """Return ``ucl`` and ``alignment``."""
        hp, time = self.hp, batch.t / batch.num_timesteps
        if batch.any_label:
            null = ctx.denoiser(batch.x_t, batch.t, torch.full_like(batch.label, batch.num_classes))
            aligned = alignment(prediction.eps, null.eps, time * ~batch.dropped)
        else:
            null, aligned = prediction, torch.zeros((), device=batch.x_t.device)
        features, weight = null.bottleneck, time if hp.ucl_time_weight == "t/T" else torch.ones_like(time)
        if hp.negatives == "global":
            features, weight = ctx.gather(features), ctx.gather(weight)
        ucl = (weight * unconditional_contrast(features, hp.temperature)).mean()
        return {"ucl": hp.alpha * ucl, "alignment": hp.gamma * aligned}
