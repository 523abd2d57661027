"""Classes that are Gaussians: their exact denoiser, flow, and a sampler's error to it."""

from typing import Any

import torch
from torch import Tensor, nn

from ltbench import rng
from ltbench.diffusion.samplers import sample_batch
from ltbench.diffusion.schedule import alpha_bar
from ltbench.diffusion.spacing import timesteps
from ltbench.method import Prediction
from ltbench.specs import SampleSpec

ABAR = alpha_bar()
MEAN = torch.tensor([0.3, -0.4, 0.0], dtype=torch.float64)  # of class 0, class 1 and the null label
STD = 0.25
N = 64
LABELS = torch.arange(N) % 2


class Gaussian(nn.Module):
    """The optimal denoiser of N(MEAN[label], STD^2) pixels, in float64 inside."""

    shape = (1, 8, 8)
    num_classes = 2

    def forward(self, x: Tensor, t: Tensor, label: Tensor) -> Prediction:
        signal, noise = (level.sqrt().view(-1, 1, 1, 1) for level in (ABAR[t], 1 - ABAR[t]))
        mean = MEAN[label].view(-1, 1, 1, 1)
        eps = noise * (x - signal * mean) / (signal**2 * STD**2 + noise**2)
        return Prediction(eps.to(x.dtype), eps)


class Scale(nn.Module):
    """eps = scale[label] * x; remembers the labels of each call."""

    shape = (1, 4, 4)
    num_classes = 2

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.tensor([0.5, -0.25, 0.125])
        self.calls: list[Tensor] = []

    def forward(self, x: Tensor, _t: Tensor, label: Tensor) -> Prediction:
        self.calls.append(label)
        return Prediction(self.scale[label].view(-1, 1, 1, 1) * x, x)


def ode(steps: int = 20, **settings: Any) -> SampleSpec:
    return SampleSpec(**{"sampler": "dpmsolver++", "steps": steps} | settings)


def trajectory(spec: SampleSpec, denoiser: nn.Module | None = None, labels: Tensor = LABELS) -> Tensor:
    generators = [rng.generator(spec.seed, "sample", i) for i in range(len(labels))]
    return sample_batch(denoiser or Gaussian(), labels, spec, generators, "cpu")


def exact_flow(spec: SampleSpec) -> Tensor:
    """The exact ODE solution from the first to the last visited step, then the exact E[x0 | x_t]."""
    visited = timesteps(spec.steps, spec.spacing)
    first, last = (ABAR[int(visited[i])] for i in (0, -1))
    start = torch.stack(
        [torch.randn(1, 8, 8, generator=rng.generator(spec.seed, "sample", i)) for i in range(N)]
    )
    mean = MEAN[LABELS].view(-1, 1, 1, 1)
    z = (start.double() - first.sqrt() * mean) / (first * STD**2 + 1 - first).sqrt()
    return mean + last.sqrt() * STD**2 / (last * STD**2 + 1 - last).sqrt() * z


def error(spec: SampleSpec) -> float:
    return (trajectory(spec).double() - exact_flow(spec)).abs().mean().item()
