"""Samplers by name: what each is, what it reads of a spec, and how a further one is added.

A sampler is a free function ``run(denoise, x, path, noise) -> x0``, as in `ltbench.diffusion.solvers`, with a
`Sampler` that says what it is. Another package adds its own by an entry point of the group
``ltbench.samplers`` that names a `Sampler`.

A deterministic sampler solves the probability-flow ODE; a stochastic one adds noise on the way, and that
noise mends errors of the network and of guidance. So one scale of guidance is not the same thing under both
kinds (an exact denoiser of two classes at omega = 1 gives the rare class the spread .206 under the first and
.253 under the second), and numbers of both kinds are never compared at one scale. The scales in the papers of
CBDM, T2H and CORAL are ancestral ones.

Kept free of torch and diffusers, so that a report can ask at no cost.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ltbench.diffusion.base import Kind, Path, Sampler
from ltbench.errors import UsageError, nearest
from ltbench.plugins import ExtensionPoint
from ltbench.specs import SampleSpec

__all__ = ["SAMPLERS", "Kind", "Path", "Sampler", "check_sampler", "kind"]


def _check(sampler: Any) -> None:
    if not isinstance(sampler, Sampler):
        raise TypeError(f"{sampler!r} is no ltbench.diffusion.registry.Sampler")
    if sampler.kind not in ("deterministic", "stochastic"):
        raise ValueError(f"{sampler.name}'s kind must be deterministic or stochastic, not {sampler.kind!r}")


def _built_in() -> Iterable[tuple[str, Sampler]]:
    from ltbench.diffusion.solvers import BUILT_IN

    return [("ltbench.diffusion.solvers", sampler) for sampler in BUILT_IN]


SAMPLERS: ExtensionPoint[Sampler] = ExtensionPoint(
    "sampler",
    group="ltbench.samplers",
    name_of=lambda sampler: sampler.name,
    check=_check,
    built_in=_built_in,
)


def kind(name: str) -> Kind:
    """Return whether the sampler called `name` is ``deterministic`` or ``stochastic``.

    ``unknown`` is the answer for a name that no sampler here has, as a foreign sample set may state one.
    """
    name = name.partition(" ")[0]  # a table's name may state the spacing too: "dpmsolver++ trailing"
    return SAMPLERS[name].kind if name in SAMPLERS else "unknown"


def check_sampler(spec: SampleSpec) -> Sampler:
    """Return the sampler that a spec names, or raise one sentence about what it does not have.

    Raises
    ------
    UsageError
        An unknown sampler; a number of steps or an order that it has not.
    """
    try:
        sampler = SAMPLERS[spec.sampler]
    except UsageError as error:
        if spec.sampler in SAMPLERS.broken():
            raise
        known = list(SAMPLERS.all())
        hint = nearest(spec.sampler, known)
        raise UsageError(
            f"sample.sampler must be {', '.join(known[:-1])} or {known[-1]}, not {spec.sampler!r}"
            + (hint if hint.startswith("; did you mean") else "")
        ) from error
    if sampler.steps is not None and spec.steps != sampler.steps:
        raise UsageError(
            f"{spec.sampler} sampling takes sample.steps={sampler.steps}; use ddim or dpmsolver++ for fewer"
        )
    if sampler.orders and spec.order not in sampler.orders:
        raise UsageError(f"{spec.sampler} has sample.order {' or '.join(map(str, sampler.orders))}")
    return sampler
