"""CORAL: a supervised contrastive loss keeps the classes apart in the U-Net's bottleneck.

Rodriguez, Welfert, McDowell, Stromberg, Antolin Camarena, Sankar: CORAL: Disentangling Latent Representations
in Long-Tailed Diffusion, NeurIPS 2025. The middle block's output is average-pooled, goes through one Linear
to width 128 and is L2-normalised to z. The head is dropped at sampling time.

    l_i = -1/|P(i)| sum_{p in P(i)} [ z_i.z_p / tau_SC - log sum_{a != i} exp(z_i.z_a / tau_SC) ]
    L   = L_diff + mean_i lambda(t_i) l_i,       lambda(t) = w exp((1 - t/T) / tau_r)

P(i) are the other images of i's class in the (global) batch: the "out" form of Khosla et al. 2020. Anchors
with l_i = 0, above all those without a positive, are left out of the mean; without any the term is 0. At
batch 128 an image of CIFAR10-LT's rarest class (ratio 0.01) finds a positive with probability 0.4.

Paper and released code differ (`variant`):

- published: lambda weighs each anchor. The paper's table gives w = .01 and, for each data set, tau_SC and
  tau_r: those may be set and the variant stays this one.
- released: the mean lambda of the batch multiplies the batch's SupCon; tau_SC multiplies it once more, so
  the weight is about ten times smaller; label-dropped batches have no SupCon. With labels dropped image by
  image we leave the dropped ones out of the contrast altogether. w = .5, tau_r = .3 and tau_SC = .1 are the
  released flags' defaults: lambda is then 4.0 on average over t, where the paper's is .017.
- released_formula: the released code's formula with whatever constants are set, such as the paper's.

The released checkpoints hold a second Linear, `logvar_proj`, that nothing uses; it does not exist here.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ltbench.method import Batch, Context, Method, Needs, Prediction


def supcon(projection: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Return l_i (B,) of each anchor, 0 for an anchor without a positive.

    Parameters
    ----------
    projection
        (B,D), the head's output before normalisation.
    labels
        (B,) int64; an image with a negative label is no anchor, no positive and no negative.
    temperature
        tau_SC.

    References
    ----------
    Khosla et al., Supervised Contrastive Learning, NeurIPS 2020, eq. 2.
    """
    with torch.autocast(projection.device.type, enabled=False):
        z = F.normalize(projection.float(), dim=1)
        similarity = z @ z.T / temperature
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    used = labels >= 0
    others = ~itself & used[None, :]
    positives = others & used[:, None] & (labels[:, None] == labels[None, :])
    # A finite floor: with -inf, a row without any other image would compute inf - inf.
    denominator = similarity.masked_fill(~others, -1e9).logsumexp(1, keepdim=True)
    log_probability = torch.where(positives, similarity - denominator, 0.0)
    return -log_probability.sum(1) / positives.sum(1).clamp(min=1)


def time_weight(t: Tensor, num_timesteps: int, w: float, tau_r: float) -> Tensor:
    """Return lambda(t) = w exp((1 - t/T) / tau_r), (B,): largest at low noise."""
    return w * torch.exp((1 - t / num_timesteps) / tau_r)


def contrast(anchors: Tensor, weight: Tensor, per: str) -> Tensor:
    """Return the scalar term from each anchor's l_i (B,) and lambda (B,).

    ``per="sample"``: mean of lambda_i l_i; ``per="batch"``: mean lambda of all images times mean l_i.
    Both means of l_i go over anchors with l_i > 0.
    """
    counted = anchors > 0
    number = counted.sum().clamp(min=1)
    weight = weight if per == "sample" else weight.mean()
    return torch.where(counted, weight * anchors, 0.0).sum() / number


RELEASED_FORMULA = {"lambda_per": "batch", "second_temperature": True, "mask_dropped": True}


@dataclass(frozen=True)
class Hyperparameters:
    """CORAL's settings; the defaults are the paper's equation with w .01, tau_SC .1, tau_r 1."""

    variant: str = "published"
    w: float = field(default=0.01, metadata={"help": "weight of the contrastive term", "by_cell": True})
    tau_sc: float = field(default=0.1, metadata={"help": "temperature of the contrast", "by_cell": True})
    tau_r: float = field(default=1.0, metadata={"help": "decay of lambda(t) with the noise", "by_cell": True})
    lambda_per: Literal["sample", "batch"] = field(
        default="sample", metadata={"help": "lambda(t) weighs each anchor, or its mean the batch"}
    )
    second_temperature: bool = field(
        default=False, metadata={"help": "multiply the term by tau_sc once more"}
    )
    mask_dropped: bool = field(
        default=False, metadata={"help": "leave label-dropped images out of the contrast"}
    )
    dim: int = field(default=128, metadata={"help": "width of the projection"})

    def __post_init__(self) -> None:
        if self.w < 0:
            raise ValueError("w must be 0 or more")
        if self.tau_sc <= 0 or self.tau_r <= 0:
            raise ValueError("tau_sc and tau_r must be more than 0")
        if self.dim < 1:
            raise ValueError("dim must be 1 or more")
        if self.dim > 65_536:
            raise ValueError("dim must be at most 65536")


class CORAL(Method):
    """Denoising plus a time-weighted supervised contrastive loss on the bottleneck."""

    name = "coral"
    paper = "Rodriguez et al., CORAL: Disentangling Latent Representations, NeurIPS 2025"
    Hyperparameters = Hyperparameters
    VARIANTS: ClassVar = {
        "published": {},
        "released": RELEASED_FORMULA | {"w": 0.5, "tau_sc": 0.1, "tau_r": 0.3},
        "released_formula": RELEASED_FORMULA,
    }
    needs = Needs(batch_coupled=True)

    def attach(self, unet: nn.Module) -> nn.Module:
        """Return the projection head, one Linear from the bottleneck's channels."""
        return nn.Linear(int(unet.bottleneck_channels), self.hp.dim)  # type: ignore[arg-type]

    def regularizers(self, batch: Batch, prediction: Prediction, ctx: Context) -> dict[str, Tensor]:
        """Return the one term ``supcon``: every process computes it for the whole global batch."""
        hp = self.hp
        if ctx.modules is None:
            raise ValueError("coral's head is missing: call attach before training")
        projection = ctx.modules(prediction.bottleneck.float().mean((2, 3)))
        labels = torch.where(batch.dropped, -1, batch.y) if hp.mask_dropped else batch.y
        weight = time_weight(batch.t, batch.num_timesteps, hp.w, hp.tau_r)
        anchors = supcon(ctx.gather(projection), ctx.gather(labels), hp.tau_sc)
        term = contrast(anchors, ctx.gather(weight), hp.lambda_per)
        return {"supcon": term * hp.tau_sc if hp.second_temperature else term}
