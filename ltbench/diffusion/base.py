"""What a sampler is, and what a rule of guidance is: what each is made from, runs, and what is to be known of it.

Kept free of torch and diffusers, so that a report can ask at no cost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from ltbench.specs import SampleSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

Kind = Literal["deterministic", "stochastic", "unknown"]


@dataclass(frozen=True, eq=False)
class Path:
    """The time steps that a trajectory visits, from noise to data.

    Attributes
    ----------
    timesteps
        Distinct, descending, in 0..T-1; the data (no noise at all) come after the last.
    alpha_bar
        (T,) float64, the share of signal variance at every time step of the training.
    order
        Of the solver, where it has several.
    """

    timesteps: tuple[int, ...]
    alpha_bar: NDArray[np.float64]
    order: int = 1

    def sigma(self, t: int) -> float:
        """Return the noise-to-signal ratio sqrt((1 - abar_t) / abar_t)."""
        return float(((1 - self.alpha_bar[t]) / self.alpha_bar[t]) ** 0.5)


Run: TypeAlias = "Callable[[Callable[[Tensor, int], Tensor], Tensor, Path, Callable[[], Tensor]], Tensor]"


@dataclass(frozen=True)
class Sampler:
    """A sampler and what is to be known of it.

    Attributes
    ----------
    name
        What a spec calls it.
    kind
        ``deterministic`` (solves the ODE) or ``stochastic`` (draws noise at its steps).
    run
        ``(denoise, x, path, noise) -> x0``. `denoise(x, t)` returns the predicted noise of a batch at the
        integer time step t, guidance and clipping done; `x` is the start, (B,C,H,W) standard normal, float32;
        `noise()` returns the next standard normal batch, each image's from its own stream.
    title
        What it is and where it is published, one line.
    orders
        The orders it has; empty where it has none to choose.
    steps
        The only number of steps it takes, or None.
    evaluations
        Steps -> how often `denoise` is called.
    limits
        What must be said wherever it is offered, one sentence, or empty.
    """

    name: str
    kind: Literal["deterministic", "stochastic"]
    run: Run
    title: str
    orders: tuple[int, ...] = ()
    steps: int | None = None
    evaluations: Callable[[int], int] = int
    limits: str = ""


# -- rules of guidance --------------------------------------------------------------------------------------

Omega: TypeAlias = "Callable[[int, NDArray[np.int64]], NDArray[np.float64] | float]"


@dataclass(frozen=True)
class RuleFacts:
    """What a rule is made of.

    Attributes
    ----------
    sample
        The settings of sampling; ``sample.guidance`` is the scale.
    alpha_bar
        (T,) float64, the share of signal variance at every time step of the training.
    prior
        (K,) share of each class in the training set, n_k / N; None where no data set is at hand.
    values
        A package's rule's own parameters, its defaults replaced by ``sample.rule_values``.
    """

    sample: SampleSpec
    alpha_bar: NDArray[np.float64]
    prior: NDArray[np.float64] | None = None
    values: Mapping[str, float] = field(default_factory=dict)

    def sigma(self, t: int) -> float:
        """Return the noise-to-signal ratio sqrt((1 - abar_t) / abar_t)."""
        return float(((1 - self.alpha_bar[t]) / self.alpha_bar[t]) ** 0.5)


@dataclass(frozen=True)
class Rule:
    """A rule of guidance and what is to be known of it.

    Attributes
    ----------
    name
        What a spec calls it.
    make
        Facts -> ``omega(t, labels)``. It is given an integer time step and the labels (B,) of a batch, and
        returns omega for all of them or (B,) of them; negative numbers are legal.
    title
        What it is and where it is published, one line.
    parameters
        The settings ``sample.*`` that it reads, besides ``guidance``.
    values
        Its own parameters with their defaults, set as ``sample.rule_values=NAME=NUMBER``.
    away_from
        ``unlabelled``, the network itself without a label, or ``network``, the one that
        ``sample.bad_step`` or ``sample.bad_weights`` names.
    """

    name: str
    make: Callable[[RuleFacts], Omega]
    title: str
    parameters: tuple[str, ...] = ()
    values: Mapping[str, float] = field(default_factory=dict)
    away_from: Literal["unlabelled", "network"] = "unlabelled"
