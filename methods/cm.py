"""CM, capacity manipulation: a low-rank part of the decoder is kept for the tail, the rest shared with the head.

Capacity Manipulation for long-tailed diffusion, ICLR 2026. Every 3x3 convolution of the U-Net's up half (both
of every residual block, and every upsampler's) has the weight

    W = W_g + reshape(B A, (c_out, c_in, 3, 3)),  A (3r, 3 c_in),  B (3 c_out, 3r),  r = max(int(ratio min(c_in, c_out)), 1)

with B = 0 and A ~ N(0, s^2), s = 1 / (3 sqrt(c_in)), at the start; no factor stands before B A. Shortcuts,
attention, linears, the down half, the middle and the first and last convolutions stay as they are.

    L = mean_i |h1 - target|_i^2 + lambda K mean_i c_{y_i} |h2 - h1|_i^2
    c_k = w_con pi_k - w_div (1/pi_k) / sum_j (1/pi_j)

h1 is the prediction with W, h2 with W_g alone: same x_t, t and label, two passes with dropout masks of their
own, gradient through both. Head classes are pulled together (the general part suffices), tail classes pushed
apart (the expert part must differ). y_i is the true label also where the label was dropped, and dropped images
have the term as all others. A negative c makes the term unbounded below: negative losses are right.

Images are made with W; `ltbench export` folds B A into the weights. ``sample.leave_out=cm.expert`` samples
with W_g alone, the paper's ablation.

Paper and released code differ (`variant`):

- published: any method's target (``cm``, ``cbdm+cm``, ``cm+t2h``), w_div = 1.
- released: w_div = 0.2, and the target is always T2H's: what the released code calls CM is ``cm+t2h`` with this
  variant. Other regularisers' passes run with the expert part on.

The released code is Feng-Hong/ImbDiff-CM at 04262d7, read in another project's copy of it; at 7e4d5e9 the public
repository holds a README alone.
"""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ltbench.method import Batch, Context, Method, Prediction, Switch, to_double


def coefficients(prior: Tensor, w_con: float, w_div: float) -> Tensor:
    """Return K c_k (K,) in float64; a class without images has no share in the second sum."""
    pi = to_double(prior)
    rarity = torch.where(pi > 0, 1 / pi, 0.0)
    return len(pi) * (w_con * pi - w_div * rarity / rarity.sum())


def capacity(h: Tensor, h_general: Tensor, coefficient: Tensor) -> Tensor:
    """Return the batch mean of K c_i |h2 - h1|_i^2.

    Parameters
    ----------
    h, h_general
        (B,C,H,W), the predictions with and without the expert part.
    coefficient
        (B,), K c of each image's class; may be negative.
    """
    return (coefficient * (h_general - h).square().flatten(1).mean(1)).mean()


def rank_of(c_in: int, c_out: int, ratio: float) -> int:
    """Return r, the rank a filter tap of a convolution's expert part."""
    return max(int(ratio * min(c_in, c_out)), 1)


class ExpertConv2d(nn.Conv2d):
    """A 3x3 convolution with the weight W_g + reshape(B A); `weight` and `bias` are the given one's own."""

    def __init__(self, general: nn.Conv2d, rank: int, switch: Switch) -> None:
        super().__init__(**_geometry(general))
        self.weight, self.bias = general.weight, general.bias
        like = general.weight
        self.A = nn.Parameter(like.new_empty(3 * rank, 3 * general.in_channels))
        self.B = nn.Parameter(like.new_zeros(3 * general.out_channels, 3 * rank))
        nn.init.normal_(self.A, std=1 / (3 * math.sqrt(general.in_channels)))
        self.switch = switch

    def whole_weight(self) -> Tensor:
        """Return W (c_out, c_in, 3, 3)."""
        return self.weight + (self.B @ self.A).view_as(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve with W, or with W_g where the switch is off."""
        result: Tensor = self._conv_forward(
            x, self.whole_weight() if self.switch.on else self.weight, self.bias
        )
        return result


class ExpertParts(nn.Module):
    """All A and B of a network, which also sit in its layers, and their switch."""

    def __init__(self, layers: list[ExpertConv2d], switch: Switch) -> None:
        super().__init__()
        self.A = nn.ParameterList([layer.A for layer in layers])
        self.B = nn.ParameterList([layer.B for layer in layers])
        self.switch = switch

    def general_only(self) -> AbstractContextManager[None]:
        """Leave the expert parts out inside the block; also after an exception they are as before."""
        return self.switch.set_to(False)


def decoder_convolutions(unet: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Conv2d]]:
    """Yield (owner, attribute, convolution) of every 3x3 convolution of the up half, in order."""
    network: Any = unet
    for block in network.unet.up_blocks:
        for resnet in block.resnets:
            yield resnet, "conv1", resnet.conv1
            yield resnet, "conv2", resnet.conv2
        for upsampler in block.upsamplers or ():
            yield upsampler, "conv", upsampler.conv


@dataclass(frozen=True)
class Hyperparameters:
    """CM's settings; the defaults are the paper's."""

    variant: str = "published"
    weight: float = field(default=1.0, metadata={"help": "lambda, the weight of the capacity term"})
    w_con: float = field(default=1.0, metadata={"help": "how much common classes are pulled together"})
    w_div: float = field(default=1.0, metadata={"help": "how much rare classes are pushed apart"})
    ratio: float = field(default=0.1, metadata={"help": "rank of the expert part by the layer's width"})

    def __post_init__(self) -> None:
        if self.weight < 0 or self.w_con < 0 or self.w_div < 0:
            raise ValueError("weight, w_con and w_div must be 0 or more")
        if not 0 < self.ratio <= 1:
            raise ValueError("ratio must be in (0, 1]")


class CM(Method):
    """A low-rank expert part in the decoder, pulled to the general part in the head and from it in the tail."""

    name = "cm"
    paper = "Capacity Manipulation for long-tailed diffusion models, ICLR 2026"
    Hyperparameters = Hyperparameters
    VARIANTS: ClassVar = {"published": {}, "released": {"w_div": 0.2}}
    PARTS = ("expert",)

    def attach(self, unet: nn.Module) -> nn.Module:
        """Give every 3x3 convolution of the up half its expert part, in place; return all of them."""
        switch, layers = Switch(), []
        for owner, attribute, conv in list(decoder_convolutions(unet)):
            rank = rank_of(conv.in_channels, conv.out_channels, self.hp.ratio)
            layers.append(ExpertConv2d(conv, rank, switch))
            setattr(owner, attribute, layers[-1])
        return ExpertParts(layers, switch)

    @torch.no_grad()
    def merge(self, unet: nn.Module, modules: nn.Module | None) -> None:
        """Put plain convolutions with the weight W back."""
        for owner, attribute, conv in list(decoder_convolutions(unet)):
            plain = nn.Conv2d(**_geometry(conv))
            assert isinstance(conv, ExpertConv2d)
            plain.weight, plain.bias = nn.Parameter(conv.whole_weight()), conv.bias
            setattr(owner, attribute, plain)

    def leave_out(self, part: str, unet: nn.Module, modules: nn.Module | None) -> None:
        """Sample with W_g alone."""
        _parts(modules).switch.on = False

    def regularizers(self, batch: Batch, prediction: Prediction, ctx: Context) -> dict[str, Tensor]:
        """Return the one term ``capacity``; the second pass has W_g alone and keeps its gradient."""
        hp = self.hp
        with _parts(ctx.modules).general_only():
            general = ctx.denoiser(batch.x_t, batch.t, batch.label)
        by_class = hp.weight * coefficients(batch.prior, hp.w_con, hp.w_div)
        coefficient = by_class.to(prediction.eps)[batch.y]
        return {"capacity": capacity(prediction.eps, general.eps, coefficient)}


def _geometry(conv: nn.Conv2d) -> dict[str, Any]:
    """Return the arguments that make a convolution of the same shape; its own weights take no memory."""
    names = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "padding_mode")
    shape = {name: getattr(conv, name) for name in names}
    return shape | {"bias": conv.bias is not None, "device": "meta"}


def _parts(modules: nn.Module | None) -> Any:
    if modules is None:
        raise ValueError("cm's expert parts are missing: call attach before training")
    return modules
