"""Guided sampling: from a denoiser and labels to images, by any sampler of the registry.

What the samplers themselves do is in `ltbench.diffusion.solvers`, where their steps lie in `spacing`.

Guidance: eps = eps_c + omega (eps_c - eps_o) by a rule of `ltbench.diffusion.guidance`; an image whose omega is 0
at a step is left out of the second pass there. Image i's noise comes from the stream (seed, ``sample``, i) alone, so it does
not depend on the batch, the device or what was sampled before: those change an image by rounding only.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ltbench import rng
from ltbench.diffusion.guidance import Omega, make_omega, needs_network
from ltbench.diffusion.noise import step_noise
from ltbench.diffusion.precision import precision
from ltbench.diffusion.registry import check_sampler, kind
from ltbench.diffusion.spacing import make_path, timesteps
from ltbench.errors import Interrupted, LtbenchError, UsageError
from ltbench.specs import SampleSpec

__all__ = ["Guided", "guide", "kind", "sample", "sample_batch", "timesteps"]


class Network(Protocol):
    """What can be sampled: a `Denoiser`, a compiled one, or any callable with these two attributes."""

    @property
    def shape(self) -> Any:
        """(C, H, W) of an image."""

    @property
    def num_classes(self) -> Any:
        """K; label K stands for none."""

    def __call__(self, x_t: Tensor, t: Tensor, label: Tensor) -> Any:
        """Return a `Prediction`, whose ``eps`` (B,C,H,W) is the noise in `x_t`."""


@dataclass(frozen=True)
class Guided:
    """A network with how its predictions are guided: what `sample` takes where a spec alone does not tell it.

    Attributes
    ----------
    network
        The network that is sampled.
    omega
        The scale at every step, or ``(t, labels (B,)) -> omega``, a number or (B,).
    other
        The network guided away from; None: the sampled one without a label.
    """

    network: Network
    omega: Omega | float
    other: Network | None = None

    @property
    def shape(self) -> Any:
        """(C, H, W) of an image."""
        return self.network.shape

    @property
    def num_classes(self) -> Any:
        """K; label K stands for none."""
        return self.network.num_classes

    def eval(self) -> None:
        """Leave dropout out, in both networks, where they know how."""
        for network in (self.network, self.other):
            if callable(off := getattr(network, "eval", None)):
                off()


def guide(
    network: Network,
    sampler: SampleSpec,
    prior: NDArray[np.float64] | None = None,
    other: Network | None = None,
) -> Guided:
    """Return a network that is guided as a spec's rule asks.

    Parameters
    ----------
    network
        The network that is sampled.
    sampler
        Names the rule and its parameters.
    prior
        (K,) share of each class in the training set, for rules that go by it.
    other
        The weaker network, for rules that guide away from one; unused by the others.

    Raises
    ------
    UsageError
        An unknown rule, or one that needs shares or a network that are not given.
    """
    omega: Omega | float = sampler.guidance if sampler.is_plain else make_omega(sampler, prior)
    if not needs_network(sampler):
        return Guided(network, omega)
    if other is None:
        raise UsageError(f"sample.rule={sampler.rule} guides away from a weaker network: give one")
    return Guided(network, omega, other)


def sample(
    denoiser: Network | Guided,
    labels: Tensor,
    *,
    sampler: SampleSpec,
    indices: Tensor | None = None,
    batch_size: int = 256,
    device: torch.device | str = "cpu",
    stop: Callable[[], bool] | None = None,
) -> Tensor:
    """Generate one image for every label; to go on after a break, pass the labels and indices left.

    Parameters
    ----------
    denoiser
        A `Denoiser` (or a compiled one) on `device`: called as ``(x_t, t, label) -> Prediction``, with
        attributes ``shape`` (C, H, W) and ``num_classes`` K. A module is put into eval mode: no dropout.
    labels
        (N,) int64, class 0..K-1 of each image.
    sampler
        Sampler, steps, guidance, clipping, seed and precision. `weights` and `per_class` are the caller's.
    indices
        (N,) int64, each image's number in the whole sample set, which names its noise; default 0..N-1.
    batch_size
        Images at a time; guidance runs up to twice as many through the network.
    device
        Where the network is and its inputs are moved to; noise is drawn on the CPU.
    stop
        Asked before each sampler step.

    Returns
    -------
    (N, C, H, W) uint8 on the CPU.

    Raises
    ------
    Interrupted
        When `stop` answered True; what was made so far is dropped.
    LtbenchError
        If an image is not finite.
    """
    guided = denoiser if isinstance(denoiser, Guided) else guide(denoiser, sampler)
    guided.eval()
    if indices is None:
        indices = torch.arange(len(labels))
    chunks = [torch.empty(0, *guided.shape, dtype=torch.uint8)]
    for start in range(0, len(labels), batch_size):
        rows = slice(start, start + batch_size)
        generators = [rng.generator(sampler.seed, "sample", int(i)) for i in indices[rows]]
        x = sample_batch(guided, labels[rows], sampler, generators, device, stop)
        if not torch.isfinite(x).all():
            raise LtbenchError(_not_finite(guided, sampler))
        chunks.append(to_uint8(x).cpu())
    return torch.cat(chunks)


def _not_finite(guided: Guided, sampler: SampleSpec) -> str:
    """Say that images are not finite and what may be the cause: guidance, few digits, else the network itself."""
    of_its_own = callable(guided.omega) and sampler.is_plain  # a caller's, of which the spec knows nothing
    strength = "guidance by a function" if of_its_own else f"guidance {sampler.guidance:g}"
    ways = (
        ["let the function return less"] if of_its_own else ["lower sample.guidance"] * (sampler.guidance > 0)
    )
    ways += ["set sample.precision=fp32"] * (sampler.precision != "fp32")
    return (
        f"sampling gave images that are not finite ({sampler.sampler}, {sampler.steps} steps, {strength}, "
        f"{sampler.precision}): "
        + (" or ".join(ways) or "the network itself predicts NaN or far too much noise: check its weights")
    )


@torch.no_grad()
def sample_batch(
    denoiser: Network | Guided,
    labels: Tensor,
    sampler: SampleSpec,
    generators: list[torch.Generator],
    device: torch.device | str,
    stop: Callable[[], bool] | None = None,
) -> Tensor:
    """Run one batch down to x_0, (B, C, H, W) float32 on `device`, neither clipped nor checked.

    `generators` holds one CPU generator an image, for its initial and step noise; else as `sample`.
    """
    guided = denoiser if isinstance(denoiser, Guided) else guide(denoiser, sampler)
    classes = labels.cpu().numpy() if callable(guided.omega) else np.zeros(0, np.int64)
    chosen, path = check_sampler(sampler), make_path(sampler)
    labels = labels.to(device)

    def denoise(x: Tensor, t: int) -> Tensor:
        if stop is not None and stop():
            raise Interrupted("sampling was stopped: run the same command again to go on")
        omega = guided.omega(t, classes) if callable(guided.omega) else guided.omega
        if "torch._inductor.cudagraph_trees" in sys.modules:  # loaded with the first graph of this process
            torch.compiler.cudagraph_mark_step_begin()  # what the last evaluation left may be written over
        eps = guided_eps(guided.network, x, t, labels, omega, guided.other)
        if sampler.clip:
            eps = clip_x0(eps, x, float(path.alpha_bar[t]))
        return eps

    every_step = chosen.kind == "stochastic"
    with (
        precision(sampler.precision, device),
        step_noise(generators, guided.shape, device, ahead=every_step) as noise,
    ):
        return chosen.run(denoise, noise(), path, noise)


def guided_eps(
    denoiser: Network,
    x: Tensor,
    t: int,
    labels: Tensor,
    omega: float | NDArray[np.float64],
    other: Network | None = None,
) -> Tensor:
    """Return eps_c + omega (eps_c - eps_o), (B, C, H, W) float32, by as few passes as the omegas need.

    Parameters
    ----------
    denoiser
        The network that is sampled.
    x
        x_t, (B,C,H,W).
    t
        Time step of them all.
    labels
        (B,) on the device of `x`.
    omega
        Of all images, or (B,) of each; the second pass holds only the images whose omega is not 0.
    other
        The network whose prediction is guided away from; None: `denoiser` without a label, in one batch with the
        conditional pass.
    """
    each = np.broadcast_to(np.asarray(omega, np.float32), len(labels))
    rows = np.flatnonzero(each)
    if not len(rows):
        return _kept(denoiser(x, torch.full_like(labels, t), labels))
    if len(rows) == len(labels):
        guided_x, guided_labels, at = x, labels, None
    else:
        at = torch.from_numpy(rows).to(x.device, non_blocking=True)
        guided_x, guided_labels = x[at], labels[at]
    if other is None:
        both = torch.cat([labels, torch.full_like(guided_labels, denoiser.num_classes)])
        eps = denoiser(torch.cat([x, guided_x]), torch.full_like(both, t), both).eps.float()
        conditional, reference = eps[: len(x)], eps[len(x) :]
    else:
        conditional = _kept(denoiser(x, torch.full_like(labels, t), labels))
        reference = other(guided_x, torch.full_like(guided_labels, t), guided_labels).eps.float()
    scale = _scale(each[rows], x.device)
    own = conditional if at is None else conditional[at]
    guided: Tensor = own + scale * (own - reference)
    return guided if at is None else conditional.index_copy(0, at, guided)


def _kept(prediction: Any) -> Tensor:
    """Return a prediction's eps in float32, in memory of its own: a CUDA graph's is written over at the next call."""
    eps: Tensor = prediction.eps.to(torch.float32, copy=True)
    return eps


def _scale(omegas: NDArray[np.float32], device: torch.device) -> Tensor | float:
    """Return omegas as a factor of images: a number where they are alike, which a device need not be sent."""
    if (omegas == omegas[0]).all():
        return float(omegas[0])
    return torch.from_numpy(omegas).to(device, non_blocking=True).view(-1, 1, 1, 1)


def clip_x0(eps: Tensor, x: Tensor, alpha_bar_t: float) -> Tensor:
    """Return the eps whose x_0 is the predicted one clipped to [-1, 1] (as guided-diffusion clips)."""
    signal, noise = alpha_bar_t**0.5, (1 - alpha_bar_t) ** 0.5
    x0 = ((x - noise * eps) / signal).clamp(-1, 1)
    clipped: Tensor = (x - signal * x0) / noise
    return clipped


def to_uint8(x: Tensor) -> Tensor:
    """Return pixels round((clip(x, -1, 1) + 1) * 127.5) as uint8; ties go to the even value."""
    return ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
