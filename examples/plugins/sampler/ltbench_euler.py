"""Euler steps: noise to images along the ODE dx/dsigma = eps, in the variable x / sqrt(abar).

Karras, Aittala, Aila, Laine: Elucidating the Design Space of Diffusion-Based Generative Models, NeurIPS 2022,
algorithm 1 without its correction.
"""

from ltbench.diffusion.registry import Sampler


def euler(denoise, x, path, noise):
    """Step from each visited noise-to-signal ratio to the next, the last to 0; returns x_0 (B,C,H,W)."""
    levels = [*(path.sigma(t) for t in path.timesteps), 0.0]
    scaled = x * (1 + levels[0] ** 2) ** 0.5
    for t, here, there in zip(path.timesteps, levels[:-1], levels[1:], strict=True):
        eps = denoise(scaled / (1 + here**2) ** 0.5, t)
        scaled = scaled + (there - here) * eps
    return scaled


EULER = Sampler(
    name="euler", kind="deterministic", run=euler, title="Euler steps along the ODE (Karras et al. 2022)"
)
