"""T2H: oriented calibration; at high noise an image may denoise towards another class's image.

Zhang, Zheng, Yao, Wang, Zhou, Zhang, Wang: Long-Tailed Diffusion Models with Oriented Calibration, ICLR 2024.

    c_i  = x_t,i / sqrt(abar_i) = x0_i + sigma_i eps_i,      sigma^2 = 1/abar - 1
    W_ij = softmax_j( -|c_i - x0_j|^2 / (2 sigma_i^2) ),     z_i ~ W_i,  self included
    gate: t2h keeps z_i if pi(y_z) >= pi(y_i), h2t if <=, full always; otherwise z_i = i
    eps~_i = (x_t,i - sqrt(abar_i) x0_z) / sqrt(1 - abar_i),   L = mean (eps~ - eps_theta(x_t, t, y_i))^2

The condition stays the image's own label, and images with a dropped label transfer too. W is one-hot at i
below t = 600 or so for images, so the transfer acts only above.

Paper and released code differ (`variant`):

- released: candidates are the mini-batch itself. The code's default gate is ``full``; its README and the
  comparison use ``t2h``, which is the default here. Its time gate is off: `from_time`, `until_time`.
  It builds a (B,B,C*H*W) tensor twice; here a matrix product gives the same in (B,B).
- published: the candidates are a class-balanced reference batch ("batch resample") and images with a
  dropped label (the unconditional pass) use the gate ``h2t``. A rejection keeps the image's own x0.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from ltbench.method import Batch, Method, Needs, to_double


def transfer_weights(x_t: Tensor, alpha_bar: Tensor, candidates: Tensor) -> Tensor:
    """Return W (B,M) in float64: how likely each candidate is the clean image behind x_t.

    |c|^2 is the same for a whole row and leaves the softmax. The rest is divided by sigma^2, which is
    1e-4 at t = 0, so float32 would lose the differences between near duplicates.

    Parameters
    ----------
    x_t
        (B,C,H,W), noisy images.
    alpha_bar
        (B,), abar at each image's time.
    candidates
        (M,C,H,W), clean images.
    """
    abar = to_double(alpha_bar)[:, None]
    noisy, clean = to_double(x_t).flatten(1), to_double(candidates).flatten(1)
    logits = abar.sqrt() * (noisy @ clean.T) - abar * clean.square().sum(1) / 2
    return (logits / (1 - abar)).softmax(1)


def draw(weights: Tensor, u: Tensor) -> Tensor:
    """Return one index a row (B,) by inverting each row's cumulative weights at u in [0, 1)."""
    cumulative = weights.cumsum(1)
    drawn = torch.searchsorted(cumulative, u[:, None] * cumulative[:, -1:], right=True)
    return drawn.squeeze(1).clamp_(max=weights.shape[1] - 1)


def accepts(gate: str, prior_own: Tensor, prior_drawn: Tensor) -> Tensor:
    """Return (B,) bool: whether `gate` lets an image of class frequency `prior_own` take the drawn one."""
    if gate == "t2h":
        return prior_drawn >= prior_own
    if gate == "h2t":
        return prior_drawn <= prior_own
    return torch.ones_like(prior_own, dtype=torch.bool)


def oriented_target(batch: Batch, drawn: Tensor, accepted: Tensor) -> Tensor:
    """Return eps~ (B,C,H,W): the noise that leads from the drawn images (B,C,H,W) to x_t.

    Written as eps + sqrt(abar/(1-abar)) (x0 - x0_z), so that without a transfer it is eps to the last bit.
    """
    ratio = (batch.alpha_bar / (1 - batch.alpha_bar)).sqrt() * accepted
    return batch.noise + ratio[:, None, None, None] * (batch.x0 - drawn)


TIMES = 1000  # time steps are 0..999
Gate = Literal["t2h", "h2t", "full"]


@dataclass(frozen=True)
class Hyperparameters:
    """T2H's settings; the defaults are the released code's with the gate of its README."""

    variant: str = "released"
    gate: Gate = field(default="t2h", metadata={"help": "which transfers are kept, by class frequency"})
    dropped_gate: Literal["same", "t2h", "h2t", "full"] = field(
        default="same", metadata={"help": "the gate for images whose label was dropped"}
    )
    balanced_reference: bool = field(
        default=False, metadata={"help": "draw from a class-balanced reference batch, not the mini-batch"}
    )
    from_time: int = field(default=0, metadata={"help": "first time step at which a transfer is kept"})
    until_time: int | None = field(
        default=None, metadata={"help": "first time step where it is not again; 0: none is kept at all"}
    )

    def __post_init__(self) -> None:
        if self.from_time < 0 or (self.until_time is not None and self.until_time < 0):
            raise ValueError("from_time and until_time must be 0 or more")
        end = TIMES if self.until_time is None else self.until_time
        if max(self.from_time, end) > TIMES:
            raise ValueError(f"from_time and until_time must be at most {TIMES}")
        if self.from_time and self.from_time >= end:
            raise ValueError(
                f"no time step from {self.from_time} is below {end}, so that no transfer would be kept: lower from_time"
            )


class T2H(Method):
    """Denoising towards a target drawn by similarity and class frequency."""

    name = "t2h"
    paper = "Zhang et al., Long-Tailed Diffusion Models with Oriented Calibration, ICLR 2024"
    Hyperparameters = Hyperparameters
    VARIANTS: ClassVar = {
        "released": {},
        "published": {"dropped_gate": "h2t", "balanced_reference": True},
    }

    def __init__(self, hyperparameters: Any = None) -> None:
        super().__init__(hyperparameters)
        self.needs = Needs(reference="balanced" if self.hp.balanced_reference else "none")

    @torch.no_grad()
    def target(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Return eps~ for the global batch; one uniform draw an image."""
        if self.hp.balanced_reference:
            if batch.reference is None:
                raise ValueError("t2h with balanced_reference needs Batch.reference")
            images, labels = batch.reference
        else:
            images, labels = batch.x0, batch.y
        u = torch.rand(len(batch.x0), generator=rng, dtype=torch.float64)
        weights = transfer_weights(batch.x_t, batch.alpha_bar, images)
        z = draw(weights, u.to(weights.device, non_blocking=True)).to(labels.device)
        return oriented_target(batch, images[z], self.accepted(batch, labels[z]))

    def accepted(self, batch: Batch, drawn_labels: Tensor) -> Tensor:
        """Return (B,) bool: which drawn labels (B,) pass the label gate and the time gate."""
        hp = self.hp
        of_image, drawn = batch.prior[batch.y], batch.prior[drawn_labels]
        accepted = accepts(hp.gate, of_image, drawn)
        if hp.dropped_gate != "same":
            accepted = torch.where(batch.dropped, accepts(hp.dropped_gate, of_image, drawn), accepted)
        accepted = accepted & (batch.t >= hp.from_time)
        result: Tensor = accepted if hp.until_time is None else accepted & (batch.t < hp.until_time)
        return result
