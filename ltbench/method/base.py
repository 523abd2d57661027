"""The Method interface: a method is its difference from plain denoising, and nothing more.

    loss = mean(weights * per_sample_mse(prediction.eps, target)) + sum(regularizers)

A method file holds one subclass of `Method` with a unique `name`, its `Hyperparameters` (a frozen
dataclass) and, where paper and released code differ, its `VARIANTS`. Plain DDPM overrides nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn


def is_number(value: object) -> bool:
    """Tell a real number from everything else; True is none."""
    return isinstance(value, Real) and not isinstance(value, bool)


@dataclass(frozen=True)
class DrawRatio:
    """Draw class k in proportion to n_k^p with p = ln(smallest) / ln(n_min / n_max), kept within [0, 1].

    The smallest class then comes up `smallest` times, in (0, 1], as often as the largest.
    """

    smallest: float

    def __post_init__(self) -> None:
        if not is_number(self.smallest):
            raise ValueError(
                f"the smallest class's share of the largest's must be a number, not {self.smallest!r}"
            )
        if not 0 < self.smallest <= 1:
            raise ValueError("the smallest class's share of the largest's must be in (0, 1]")


_DRAWS = ("natural", "sqrt", "balanced")
Draw = Literal["natural", "sqrt", "balanced"] | float | DrawRatio


@dataclass(frozen=True)
class Needs:
    """What a method asks of the trainer beyond a shuffled batch.

    Attributes
    ----------
    draw
        How training images are drawn: ``natural`` (epochs of the shuffled long-tailed set), or with
        replacement with class probability proportional to n_k^p: p in [0, 1] as a number, ``sqrt`` (1/2),
        ``balanced`` (0), or the p of a `DrawRatio`. p = 1 is ``natural``.
    reference
        ``balanced``: every step also brings `Batch.reference`, a class-balanced batch of the same size.
    batch_coupled
        True where a regulariser compares images of a batch with one another, so that the batch cannot
        be cut into micro-batches.
    """

    draw: Draw = "natural"
    reference: Literal["none", "balanced"] = "none"
    batch_coupled: bool = False

    def __post_init__(self) -> None:
        if is_number(self.draw):
            if not 0 <= self.draw <= 1:  # type: ignore[operator]
                raise ValueError(f"the power of a draw must be in [0, 1], not {self.draw}")
        elif not isinstance(self.draw, DrawRatio) and not (
            isinstance(self.draw, str) and self.draw in _DRAWS
        ):
            raise ValueError(f"a draw is {', '.join(_DRAWS)}, a power or a DrawRatio, not {self.draw!r}")
        if self.reference not in ("none", "balanced"):
            raise ValueError(f"a reference is none or balanced, not {self.reference!r}")
        if not isinstance(self.batch_coupled, bool):
            raise ValueError(f"batch_coupled is True or False, not {self.batch_coupled!r}")


@dataclass(frozen=True)
class Prediction:
    """The denoiser's output: eps (B,C,H,W) and the middle block's output (B,Cb,h,w), not pooled."""

    eps: Tensor
    bottleneck: Tensor


@dataclass(frozen=True)
class Batch:
    """One training batch.

    Attributes
    ----------
    x0
        (B,C,H,W) float, clean images in [-1, 1].
    y
        (B,) int64, true labels in 0..K-1.
    t
        (B,) int64, time steps in 0..num_timesteps-1.
    alpha_bar
        (B,) float, the cumulative product abar_t at each t.
    num_timesteps
        T.
    noise
        (B,C,H,W), eps ~ N(0, 1).
    x_t
        (B,C,H,W), sqrt(abar) x0 + sqrt(1-abar) eps.
    label
        (B,) int64, y, or the null label K where dropped (classifier-free guidance).
    dropped
        (B,) bool.
    prior
        (K,) float, n_k / N of the training set.
    draw_prior
        (K,) float, the class distribution the sampler draws from.
    reference
        (x0, y) of a class-balanced batch of B images, or None.
    step
        Optimiser step, from 0.
    counts
        (K,) int64, n_k of the training set; None where a hand-made batch leaves it out.
    any_label
        False where the whole global batch's labels were dropped; asking `dropped` would wait for a GPU.
    snr
        (B,) float, abar / (1 - abar) in double precision before rounding; None where a hand-made batch leaves
        it out. A method reads `signal_to_noise`.
    """

    x0: Tensor
    y: Tensor
    t: Tensor
    alpha_bar: Tensor
    num_timesteps: int
    noise: Tensor
    x_t: Tensor
    label: Tensor
    dropped: Tensor
    prior: Tensor
    draw_prior: Tensor
    reference: tuple[Tensor, Tensor] | None = None
    step: int = 0
    counts: Tensor | None = None
    any_label: bool = True
    snr: Tensor | None = None

    @property
    def signal_to_noise(self) -> Tensor:
        """abar / (1 - abar), (B,); from `alpha_bar` alone it is good to 2e-4 of itself at t = 0."""
        return self.alpha_bar / (1 - self.alpha_bar) if self.snr is None else self.snr

    @property
    def num_classes(self) -> int:
        """Number of classes K; K itself is the null label."""
        return int(self.prior.shape[0])


class Switch:
    """A flag, not a tensor, that a network's forward pass depends on; several layers share one.

    A part that a method switches off for a pass keeps its flag here, as an attribute of its layers, so that
    activations which are computed again for the backward pass see it as it was.
    """

    def __init__(self, on: bool = True) -> None:
        self.on = on

    @contextlib.contextmanager
    def set_to(self, on: bool) -> Iterator[None]:
        """Hold the flag at `on` inside the block; also after an exception it is as before."""
        before, self.on = self.on, on
        try:
            yield
        finally:
            self.on = before


def _identity(x: Tensor) -> Tensor:
    return x


@dataclass(frozen=True)
class Context:
    """What a regulariser may use besides the batch and its prediction.

    Attributes
    ----------
    denoiser
        (x_t, t, label) -> Prediction; a further forward pass of the network being trained.
    modules
        What this method's `attach` returned, or None.
    rng
        This method's own CPU generator for this step and hook.
    global_size
        Images in the global batch (all processes and micro-batches together).
    shard
        Global tensor (global_size, ...) -> this process's rows; draws are made for the global batch
        and cut, so that several processes draw what one would.
    gather
        Local tensor (B, ...) -> the tensors of all processes, differentiable; identity in one process.
    """

    denoiser: Callable[[Tensor, Tensor, Tensor], Prediction]
    modules: nn.Module | None
    rng: torch.Generator
    global_size: int
    shard: Callable[[Tensor], Tensor] = field(default=_identity)
    gather: Callable[[Tensor], Tensor] = field(default=_identity)


@dataclass(frozen=True)
class NoHyperparameters:
    """The empty set of hyper-parameters."""


class Method:
    """Plain denoising; a subclass overrides only what it changes.

    Class attributes
    ----------------
    name : the registry's name, lower case, without ``+``.
    paper : where the method is published, one line.
    Hyperparameters : frozen dataclass; its defaults are those of the default variant. A field may carry
        ``metadata={"help": ...}``, and ``"by_cell": True`` where the paper chooses the constant for each data
        set: any value of it is then of the same variant, unless the variant sets it. Out-of-range values
        raise `ValueError` in ``__post_init__``.
    VARIANTS : variant name -> the hyper-parameters it sets; the dataclass then has a field ``variant``.
    PARTS : names of attached parts that can be left out when sampling (``sample.leave_out=METHOD.PART``).
    needs : a `Needs`; an instance may set its own in ``__init__``.
    """

    name: ClassVar[str] = ""
    paper: ClassVar[str] = ""
    Hyperparameters: ClassVar[type] = NoHyperparameters
    VARIANTS: ClassVar[dict[str, dict[str, Any]]] = {}
    PARTS: ClassVar[tuple[str, ...]] = ()
    needs: Needs = Needs()

    def __init__(self, hyperparameters: Any = None) -> None:
        self.hp = self.Hyperparameters() if hyperparameters is None else hyperparameters

    def attach(self, unet: nn.Module) -> nn.Module | None:
        """Return extra trainable parts (CORAL's head), or None; may add parameters inside the U-Net.

        Called once, before the optimiser is made, after the U-Net's weights are set. Parts are
        initialised from the global generator, which the trainer has seeded for this method. A parameter
        that sits inside the U-Net and is returned as well is one parameter: trained, averaged and saved once.
        """
        return None

    def merge(self, unet: nn.Module, modules: nn.Module | None) -> None:
        """Fold what `attach` added inside the U-Net into its plain weights, in place, for an export.

        Afterwards `unet` has the parameters that it had before `attach` and predicts the same. The default
        is right for a method that attaches nothing inside.
        """

    def leave_out(self, part: str, unet: nn.Module, modules: nn.Module | None) -> None:
        """Switch one of `PARTS` off in a trained network that images are about to be drawn from."""
        raise NotImplementedError(f"{self.name} names {part!r} in PARTS and does not say how to leave it out")

    def target(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Return the denoising target (B,C,H,W); called with the global batch."""
        return batch.noise

    def weights(self, batch: Batch) -> Tensor | None:
        """Return per-sample loss weights (B,), or None for 1; in a composition all parts' weights multiply."""
        return None

    def regularizers(self, batch: Batch, prediction: Prediction, ctx: Context) -> dict[str, Tensor]:
        """Return named scalar terms added to the loss; each is logged under its name."""
        return {}
