"""Guided sampling: from a denoiser and labels to images, by any sampler of the registry.

What the samplers themselves do is in `ltbench.diffusion.solvers`, where their steps lie in `spacing`.

Guidance (Ho & Salimans 2022): eps = eps_c + omega (eps_c - eps_u); omega = 0 is plain conditional sampling
and runs no unconditional pass. Image i's noise comes from the stream (seed, ``sample``, i) alone, so it does
not depend on the batch, the device or what was sampled before: those change an image by rounding only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ltbench import rng
from ltbench.diffusion.noise import step_noise
from ltbench.diffusion.precision import precision
from ltbench.diffusion.registry import check_sampler, kind
from ltbench.diffusion.spacing import make_path, timesteps
from ltbench.errors import Interrupted, LtbenchError
from ltbench.spec import SampleSpec

__all__ = ["kind", "sample", "sample_batch", "sample_iter", "timesteps"]


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


def sample(
    denoiser: Network,
    labels: Tensor,
    *,
    sampler: SampleSpec,
    indices: Tensor | None = None,
    batch_size: int = 256,
    device: torch.device | str = "cpu",
    progress: Callable[[int], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Tensor:
    """Generate one image for every label and return them all; see `sample_iter`.

    Returns
    -------
    (N, C, H, W) uint8 on the CPU.
    """
    chunks = sample_iter(
        denoiser,
        labels,
        sampler=sampler,
        indices=indices,
        batch_size=batch_size,
        device=device,
        progress=progress,
        stop=stop,
    )
    return torch.cat([torch.empty(0, *denoiser.shape, dtype=torch.uint8), *chunks])


def sample_iter(
    denoiser: Network,
    labels: Tensor,
    *,
    sampler: SampleSpec,
    indices: Tensor | None = None,
    batch_size: int = 256,
    device: torch.device | str = "cpu",
    progress: Callable[[int], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Iterator[Tensor]:
    """Generate images chunk by chunk, in order; to go on after a break, pass the labels and indices left.

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
        Images at a time; guidance runs twice as many through the network.
    device
        Where the network is and its inputs are moved to; noise is drawn on the CPU.
    progress
        Called after each step with the number of images it advanced: N * steps in all.
    stop
        Asked before each sampler step.

    Yields
    ------
    (n, C, H, W) uint8 on the CPU, the next n <= `batch_size` images.

    Raises
    ------
    Interrupted
        When `stop` answered True; the chunk under way is dropped, those yielded are whole.
    LtbenchError
        If an image is not finite.
    """
    if isinstance(denoiser, nn.Module):
        denoiser.eval()
    if indices is None:
        indices = torch.arange(len(labels))
    for start in range(0, len(labels), batch_size):
        rows = slice(start, start + batch_size)
        generators = [rng.generator(sampler.seed, "sample", int(i)) for i in indices[rows]]
        x = sample_batch(denoiser, labels[rows], sampler, generators, device, progress, stop)
        if not torch.isfinite(x).all():
            raise LtbenchError(
                f"sampling gave images that are not finite ({sampler.sampler}, {sampler.steps} steps, "
                f"guidance {sampler.guidance:g}, {sampler.precision}): lower sample.guidance or set "
                "sample.precision=fp32"
            )
        yield to_uint8(x).cpu()


@torch.no_grad()
def sample_batch(
    denoiser: Network,
    labels: Tensor,
    sampler: SampleSpec,
    generators: list[torch.Generator],
    device: torch.device | str,
    progress: Callable[[int], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Tensor:
    """Run one batch down to x_0, (B, C, H, W) float32 on `device`, neither clipped nor checked.

    `generators` holds one CPU generator an image, for its initial and step noise; else as `sample_iter`.
    """
    chosen, path = check_sampler(sampler), make_path(sampler)
    labels = labels.to(device)

    def denoise(x: Tensor, t: int) -> Tensor:
        if stop is not None and stop():
            raise Interrupted("sampling was stopped: run the same command again to go on")
        eps = guided_eps(denoiser, x, t, labels, sampler.guidance)
        if sampler.clip:
            eps = clip_x0(eps, x, float(path.alpha_bar[t]))
        if progress is not None:
            progress(len(x))
        return eps

    every_step = chosen.kind == "stochastic"
    with (
        precision(sampler.precision, device),
        step_noise(generators, denoiser.shape, device, ahead=every_step) as noise,
    ):
        return chosen.run(denoise, noise(), path, noise)


def guided_eps(denoiser: Network, x: Tensor, t: int, labels: Tensor, guidance: float) -> Tensor:
    """Return eps_c + guidance (eps_c - eps_u), (B, C, H, W) float32; both passes run in one batch."""
    if guidance == 0:
        result: Tensor = denoiser(x, torch.full_like(labels, t), labels).eps.float()
        return result
    both = torch.cat([labels, torch.full_like(labels, denoiser.num_classes)])
    eps = denoiser(torch.cat([x, x]), torch.full_like(both, t), both).eps.float()
    conditional, unconditional = eps.chunk(2)
    guided: Tensor = conditional + guidance * (conditional - unconditional)
    return guided


def clip_x0(eps: Tensor, x: Tensor, alpha_bar_t: float) -> Tensor:
    """Return the eps whose x_0 is the predicted one clipped to [-1, 1] (as guided-diffusion clips)."""
    signal, noise = alpha_bar_t**0.5, (1 - alpha_bar_t) ** 0.5
    x0 = ((x - noise * eps) / signal).clamp(-1, 1)
    clipped: Tensor = (x - signal * x0) / noise
    return clipped


def to_uint8(x: Tensor) -> Tensor:
    """Return pixels round((clip(x, -1, 1) + 1) * 127.5) as uint8; ties go to the even value."""
    return ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
