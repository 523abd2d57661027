"""Where a fast sampler's steps lie: from a number of steps to the time steps visited.

A sampler's last jump, from its last step to the data, is of first order, and everything finer than the noise
there is averaged away. So the last step has to be the least noisy one, and the steps have to be close where
an image's fine structure is decided: ``logsnr`` does both.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ltbench.diffusion.base import Path
from ltbench.diffusion.schedule import NUM_TIMESTEPS, alpha_bar
from ltbench.specs import SampleSpec

KARRAS_RHO = 7.0


def timesteps(steps: int, spacing: str) -> NDArray[np.int64]:
    """Return the `steps` distinct, descending time steps visited: one definition for every sampler.

    Parameters
    ----------
    steps
        How many, 1..T.
    spacing
        ``logsnr``: uniform in log sigma, which is half the negative log signal-to-noise ratio (Lu et al. 2022),
        from T-1 to 0. ``karras``: uniform in sigma^(1/7), from T-1 to 0 (Karras et al. 2022, equation 5).
        ``trailing``: from T-1 with stride T/steps (Lin et al. 2024, Table 2). ``leading``: with stride
        T // steps, ending at 0. ``linspace``: from T-1 to 0 with both ends. All are followed by x_0 itself.

    Returns
    -------
    (steps,) int64. The network was trained at whole time steps only, so a level between two of them becomes the
    nearest one, or the next noisier one where that is taken; diffusers' ``use_lu_lambdas`` and
    ``use_karras_sigmas`` keep the level and ask the network at the rounded time step, which is inconsistent.
    """
    if spacing == "trailing":
        return np.round(NUM_TIMESTEPS * np.arange(steps, 0, -1) / steps).astype(np.int64) - 1
    if spacing == "leading":
        return np.arange(steps)[::-1] * (NUM_TIMESTEPS // steps)
    if spacing == "linspace":
        return np.round(np.linspace(NUM_TIMESTEPS - 1, 0, steps)).astype(np.int64)
    levels = alpha_bar().numpy()
    sigma = np.sqrt((1 - levels) / levels)
    if spacing == "logsnr":
        log_sigma = np.linspace(np.log(sigma[-1]), np.log(sigma[0]), steps)
    else:
        first, last = sigma[-1] ** (1 / KARRAS_RHO), sigma[0] ** (1 / KARRAS_RHO)
        log_sigma = KARRAS_RHO * np.log(np.linspace(first, last, steps))
    return _distinct(np.round(np.interp(log_sigma, np.log(sigma), np.arange(NUM_TIMESTEPS))).astype(np.int64))


def _distinct(descending: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the nearest strictly descending steps: equal ones are moved towards noise, but not past T-1."""
    ends = np.arange(len(descending))[::-1]  # what the later steps need below themselves
    raised = np.maximum.accumulate((descending - ends)[::-1])[::-1] + ends
    return np.minimum(raised, NUM_TIMESTEPS - 1 - np.arange(len(descending)))


def make_path(spec: SampleSpec) -> Path:
    """Return the path of a spec's sampler: every time step for ``ancestral``, its spacing's for the others."""
    visited = (
        np.arange(NUM_TIMESTEPS)[::-1]
        if "spacing" not in spec.settings
        else timesteps(spec.steps, spec.spacing)
    )
    return Path(tuple(int(t) for t in visited), alpha_bar().numpy(), spec.order)
