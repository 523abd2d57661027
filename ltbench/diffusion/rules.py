"""The built-in rules of guidance: each makes ``omega(t, labels)`` from the settings of sampling.

- ``cfg`` (Ho & Salimans 2022): omega = guidance, always.
- ``interval`` (Kynkäänniemi et al. 2024): guidance where sigma_low < sigma_t <= sigma_high, else 0, with
  sigma_t = sqrt((1 - abar_t) / abar_t).
- ``schedule``: a shape over the time steps, with s = 1 - t/T, which is 0 at pure noise and 1 at the image.
  Those of Wang et al. 2024 (arXiv 2404.13040): ``linear``, ``cosine``, ``inverse_linear`` and ``sine`` have the
  mean guidance over t; ``clamped_linear`` is not below schedule_floor; ``powered_cosine`` has power
  schedule_power. Those of CCUA's released code are written for w = omega + 1, so omega falls below 0 (towards the
  unconditional prediction) at high noise.
- ``per_class``: omega_k = guidance n_k^omega_power / mean_j n_j^omega_power, so that the mean over classes, which
  a sample set has equally many images of, is guidance; or guidance times a factor for each class.
- ``auto`` (Karras et al. 2024): away from a weaker network's prediction for the same label.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from ltbench.diffusion.base import Omega, Rule, RuleFacts
from ltbench.errors import UsageError
from ltbench.specs import PLAIN, RULE_SETTINGS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DEFAULT_POWER, DEFAULT_FLOOR = 2.0, 1.0


def constant(facts: RuleFacts) -> Omega:
    """Return omega = guidance."""
    scale = facts.sample.guidance
    return lambda _t, _labels: scale


def interval(facts: RuleFacts) -> Omega:
    """Return guidance inside the noise levels sigma_low < sigma_t <= sigma_high, and 0 outside."""
    sample = facts.sample
    high = math.inf if sample.sigma_high is None else sample.sigma_high
    return lambda t, _labels: sample.guidance if sample.sigma_low < facts.sigma(t) <= high else 0.0


Shape = Callable[[float, float, float, float], float]

SHAPES: dict[str, Shape] = {  # (omega, s, power, floor) -> omega(t)
    "linear": lambda omega, s, _power, _floor: 2 * omega * s,
    "cosine": lambda omega, s, _power, _floor: omega * (1 + math.cos(math.pi * (1 - s))),
    "inverse_linear": lambda omega, s, _power, _floor: 2 * omega * (1 - s),
    "sine": lambda omega, s, _power, _floor: omega * (1 + math.sin(math.pi * (1 - s) - math.pi / 2)),
    "clamped_linear": lambda omega, s, _power, floor: max(floor, 2 * omega * s),
    "powered_cosine": lambda omega, s, power, _floor: omega * (1 - math.cos(math.pi * s**power)) / 2,
    "ccua_linear": lambda omega, s, _power, _floor: (omega + 1) * s - 1,
    "ccua_power": lambda omega, s, power, _floor: (
        (omega + 1) * (power**s / power if power >= 1 else 1 - power**s) - 1
    ),
}
"""Shapes of ``sample.schedule``: scale, s = 1 - t/T, power and floor to omega(t)."""


def schedule(facts: RuleFacts) -> Omega:
    """Return omega as a shape over the time steps."""
    sample, count = facts.sample, len(facts.alpha_bar)
    shape = SHAPES[str(sample.schedule)]
    power = DEFAULT_POWER if sample.schedule_power is None else sample.schedule_power
    floor = DEFAULT_FLOOR if sample.schedule_floor is None else sample.schedule_floor
    return lambda t, _labels: shape(sample.guidance, 1 - t / count, power, floor)


def per_class(facts: RuleFacts) -> Omega:
    """Return omega by the class of each image."""
    omegas = class_omegas(facts)
    return lambda _t, labels: omegas if omegas.ndim == 0 else omegas[labels]


def class_omegas(facts: RuleFacts) -> NDArray[np.float64]:
    """Return omega of every class, (K,) float64, or () where it is the same for all.

    Raises
    ------
    UsageError : factors for another number of classes; a power without the classes' sizes, or a negative one of none.
    """
    import numpy as np

    sample, prior = facts.sample, facts.prior
    if sample.omega_factors:
        if prior is not None and len(sample.omega_factors) != len(prior):
            raise UsageError(
                f"sample.omega_factors has {len(sample.omega_factors)} numbers for the {len(prior)} classes of the data "
                "set: give one for each, class 0 first"
            )
        return sample.guidance * np.array(sample.omega_factors, np.float64)
    if sample.omega_power == 0:
        return np.array(sample.guidance, np.float64)
    if prior is None:
        raise UsageError("sample.omega_power goes by the classes' numbers of training images: give those too")
    absent = np.flatnonzero(np.asarray(prior) == 0)
    if sample.omega_power < 0 and len(absent):
        raise UsageError(
            f"sample.omega_power={sample.omega_power:g} has no value for class {absent[0]}, which has no training images: "
            "give sample.omega_factors, a number for each class"
        )
    powers = (np.asarray(prior, np.float64) / np.max(prior)) ** sample.omega_power
    result: NDArray[np.float64] = sample.guidance * powers / powers.mean()
    return result


BUILT_IN = (
    Rule(PLAIN, constant, "classifier-free guidance, alike at every step (Ho & Salimans 2022)"),
    Rule(
        "interval",
        interval,
        "guidance at some noise levels only (Kynkäänniemi et al. 2024)",
        RULE_SETTINGS["interval"],
    ),
    Rule(
        "schedule",
        schedule,
        "omega as a shape over the time steps (Wang et al. 2024; CCUA's code)",
        RULE_SETTINGS["schedule"],
    ),
    Rule(
        "per_class",
        per_class,
        "omega by the class's number of training images, or a factor for each",
        RULE_SETTINGS["per_class"],
    ),
    Rule(
        "auto",
        constant,
        "autoguidance: away from a weaker network, with the label (Karras et al. 2024)",
        RULE_SETTINGS["auto"],
        away_from="network",
    ),
)
