"""Samplers by name: what each is, what it takes, and what its numbers mean.

A deterministic sampler solves the probability-flow ODE; a stochastic one adds noise on the way, and that
noise mends errors of the network and of guidance. So one scale of guidance is not the same thing under both
kinds (an exact denoiser of two classes at omega = 1 gives a tail class the spread .206 under the first and
.253 under the second), and numbers of both kinds are never compared at one scale.

Kept free of torch and diffusers, so that a report can ask at no cost.
"""

from __future__ import annotations

from typing import Literal

Kind = Literal["deterministic", "stochastic", "unknown"]

_KINDS: dict[str, Kind] = {
    "ancestral": "stochastic",
    "ddim": "deterministic",
    "dpmsolver++": "deterministic",
    "sde-dpmsolver++": "stochastic",
}


def kind(name: str) -> Kind:
    """Return whether the sampler called `name` is ``deterministic`` or ``stochastic``.

    ``unknown`` is the answer for a name that no sampler here has, as a foreign sample set may state one.
    """
    return _KINDS.get(name, "unknown")
