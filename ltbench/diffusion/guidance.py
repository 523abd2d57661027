"""Rules of guidance by name: from a time step and labels to omega, and from a spec to its network evaluations.

    eps = eps_c + omega (eps_c - eps_o)

eps_c is the network's prediction for the label, and eps_o the one guided away from: the same network's without a
label (Ho & Salimans 2022), or a weaker network's for the same label (Karras et al. 2024). A rule says how large
omega is at a time step for an image of a class; where it is 0 only eps_c is computed. Rules need no training, so
they are settings of sampling, part of its key, and `evaluations` counts what each really asks of a network.

Another package adds its own by an entry point of the group ``ltbench.guidance_rules`` that names a `Rule`.
Kept free of torch, so that a listing can ask at no cost; the built-in rules are in `ltbench.diffusion.rules`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ltbench.diffusion.base import Omega, Rule, RuleFacts
from ltbench.diffusion.registry import check_sampler
from ltbench.errors import UsageError, nearest
from ltbench.plugins import ExtensionPoint
from ltbench.specs import PLAIN, RULE_FIELDS, SampleSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


def _check(rule: Any) -> None:
    if not isinstance(rule, Rule):
        raise TypeError(f"{rule!r} is no ltbench.diffusion.guidance.Rule")
    if rule.away_from not in ("unlabelled", "network"):
        raise ValueError(f"{rule.name} must guide away from unlabelled or network, not {rule.away_from!r}")
    if unknown := set(rule.parameters) - set(RULE_FIELDS):
        raise ValueError(f"{rule.name} reads sample.{min(unknown)}, which is no setting of a rule")


def _built_in() -> Iterable[tuple[str, Rule]]:
    from ltbench.diffusion.rules import BUILT_IN

    return [("ltbench.diffusion.rules", rule) for rule in BUILT_IN]


RULES: ExtensionPoint[Rule] = ExtensionPoint(
    "guidance rule",
    group="ltbench.guidance_rules",
    name_of=lambda rule: rule.name,
    check=_check,
    built_in=_built_in,
)


def check_rule(sample: SampleSpec) -> Rule:
    """Return the rule that a spec names, or raise one sentence about what it does not have.

    Raises
    ------
    UsageError : an unknown rule; a setting that it does not read; a value that is no number.
    """
    try:
        rule = RULES[sample.rule]
    except UsageError as error:
        if sample.rule in RULES.broken():
            raise
        known = list(RULES.all())
        hint = nearest(sample.rule, known)
        raise UsageError(
            f"sample.rule must be {', '.join(known[:-1])} or {known[-1]}, not {sample.rule!r}"
            + (hint if hint.startswith("; did you mean") else "")
        ) from error
    stated = sample.model_dump(include=set(RULE_FIELDS) - {"rule", "rule_values"}, exclude_defaults=True)
    if foreign := [name for name in stated if name not in rule.parameters]:
        raise UsageError(f"sample.rule={rule.name} does not read sample.{foreign[0]}: leave it out")
    if rule.away_from == "network" and not {"bad_step", "bad_weights"} & set(stated):
        raise UsageError(
            f"sample.rule={rule.name} needs sample.bad_step=STEP or sample.bad_weights=FOLDER, the weaker network"
        )
    _values(rule, sample)
    return rule


def _values(rule: Rule, sample: SampleSpec) -> dict[str, float]:
    """Return a rule's own parameters, its defaults replaced by what the spec sets."""
    out, stated = dict(rule.values), dict[str, float]()
    for entry in sample.rule_values:
        name, _, text = (part.strip() for part in entry.partition("="))
        if name not in out:
            known = f"it has {', '.join(out)}" if out else "it has none of its own"
            raise UsageError(f"sample.rule={rule.name} has no parameter {name!r}: {known}")
        if name in stated:
            raise UsageError(f"sample.rule_values sets {name} twice: leave one of them out")
        stated[name] = _number(text)
        if not math.isfinite(stated[name]):
            raise UsageError(
                f"sample.rule_values: {name} must be a number, as in {name}={out[name]:g}, not {text!r}"
            )
    return out | stated


def _number(text: str) -> float:
    """Return the number that a text states; NaN where it states none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def make_omega(sample: SampleSpec, prior: NDArray[np.float64] | None = None) -> Omega:
    """Return a spec's ``omega(t, labels)``.

    Parameters
    ----------
    sample
        Names the rule and its parameters.
    prior
        (K,) share of each class in the training set, for rules that go by it.

    Raises
    ------
    UsageError : as `check_rule`; a rule that needs the shares and has none, or has numbers for other classes.
    """
    rule = check_rule(sample)
    if sample.is_plain:
        return lambda _t, _labels: sample.guidance
    from ltbench.diffusion.schedule import alpha_bar

    omega = rule.make(RuleFacts(sample, alpha_bar().numpy(), prior, _values(rule, sample)))
    return _made_by(rule.name, omega) if RULES.foreign(rule.name) else omega


def _made_by(name: str, omega: Any) -> Omega:
    """Return what a package's rule made, refused where it is no ``omega(t, labels)`` or returns no numbers."""
    if not callable(omega):
        raise UsageError(
            f"the guidance rule {name} made a {type(omega).__name__}: its make must return a function omega(t, labels)"
        )
    return checked_omega(omega, f"the guidance rule {name}")


def checked_omega(omega: Omega, called: str = "guidance") -> Omega:
    """Return a stranger's ``omega(t, labels)``, which raises UsageError where it gives no numbers.

    Parameters
    ----------
    omega
        A caller's function, or what a package's rule made; it must return a finite number, or one for each image.
    called
        What the sentence calls it.
    """
    import numpy as np

    def checked(t: int, labels: NDArray[np.int64]) -> NDArray[np.float64]:
        found = omega(t, labels)
        wanted = f"at t = {t}: it must return a finite number, or one for each image"
        try:
            values = np.asarray(found)
            numbers = values.astype(np.float64, casting="same_kind" if values.dtype.kind == "f" else "safe")
        except (TypeError, ValueError, RuntimeError) as error:
            raise UsageError(f"{called} returned a {type(found).__name__} {wanted}") from error
        if numbers.shape not in ((), (len(labels),)) or not np.isfinite(numbers).all():
            got = f"an array {numbers.shape}" if numbers.ndim else f"{numbers}"
            raise UsageError(f"{called} returned {got} {wanted}")
        return numbers

    return checked


def needs_network(sample: SampleSpec) -> bool:
    """Tell whether a spec guides away from another network."""
    return not sample.is_plain and check_rule(sample).away_from == "network"


# -- what it costs ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Evaluations:
    """Network evaluations an image, the mean over a sample set of equally many images of every class.

    Attributes
    ----------
    own
        Of the network that is sampled, with a label and without.
    other
        Of the network guided away from, if that is another one.
    """

    own: float
    other: float = 0.0

    @property
    def nfe(self) -> float:
        """All of them."""
        return self.own + self.other


def evaluations(sample: SampleSpec, prior: NDArray[np.float64] | None = None) -> Evaluations:
    """Count the passes that sampling makes: at every call of the sampler one, and one more where omega is not 0.

    Parameters
    ----------
    sample
        The settings of sampling.
    prior
        (K,) share of each class in the training set, for rules that go by it.

    Returns
    -------
    Evaluations
        Whole passes over classes divided by their number, so a fraction where a rule spares some of them.
    """
    calls = visited(sample)
    if sample.is_plain:
        return Evaluations(len(calls) * (2 if sample.guidance else 1))
    import numpy as np

    omega = make_omega(sample, prior)
    classes = len(prior) if prior is not None else max(1, len(sample.omega_factors))
    labels = np.arange(classes)
    each = (
        np.broadcast_to(omega(t, labels), classes).astype(np.float32) for t in calls
    )  # as sampling has them
    guided = sum(int(np.count_nonzero(values)) for values in each) / classes
    if needs_network(sample):
        return Evaluations(len(calls), guided)
    return Evaluations(len(calls) + guided)


def visited(sample: SampleSpec) -> tuple[int, ...]:
    """Return the time steps at which a sampler asks for a prediction, in order."""
    sampler = check_sampler(sample)
    if sample.is_plain and sampler.evaluations(sample.steps) == sample.steps:
        return (0,) * sample.steps  # only their number matters, and plans ask for it without torch
    return _visited(sample.sampler, sample.steps, sample.order, sample.spacing)


@functools.lru_cache(maxsize=256)
def _visited(sampler: str, steps: int, order: int, spacing: str) -> tuple[int, ...]:
    from ltbench.diffusion.spacing import make_path

    spec = SampleSpec.model_validate({"sampler": sampler, "steps": steps, "order": order, "spacing": spacing})
    chosen, path = check_sampler(spec), make_path(spec)
    if chosen.evaluations(steps) == len(path.timesteps):
        return path.timesteps
    return _run_on_a_pixel(chosen.run, path)


def _run_on_a_pixel(run: Any, path: Any) -> tuple[int, ...]:
    """Return where a sampler asks that does so more or less often than once a step: by asking it."""
    import torch

    calls: list[int] = []

    def denoise(x: Tensor, t: int) -> Tensor:
        calls.append(int(t))
        return torch.zeros_like(x)

    pixel = torch.zeros(1, 1, 1, 1)
    run(denoise, pixel, path, lambda: pixel.clone())
    return tuple(calls)


__all__ = [
    "PLAIN",
    "RULES",
    "Evaluations",
    "Omega",
    "Rule",
    "RuleFacts",
    "check_rule",
    "evaluations",
    "make_omega",
    "needs_network",
    "visited",
]
