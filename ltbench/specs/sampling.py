"""How images are generated: the sampler, its guidance and that guidance's rule."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from ltbench.specs.training import STORED, Frozen

KEY_BASE = {"spacing": "trailing"}
"""Settings of sampling whose default has changed since the first keys: the value a key leaves out."""


_IGNORED: dict[str, frozenset[str]] = {
    "ancestral": frozenset({"order", "spacing"}),
    "ddim": frozenset({"order"}),
}

PLAIN = "cfg"
"""The rule of guidance that pushes every image alike at every step."""

RULE_SETTINGS: dict[str, tuple[str, ...]] = {
    PLAIN: (),
    "interval": ("sigma_low", "sigma_high"),
    "schedule": ("schedule", "schedule_power", "schedule_floor"),
    "per_class": ("omega_power", "omega_factors"),
    "auto": ("bad_step", "bad_weights"),
}
"""The settings that each built-in rule of guidance reads, besides ``guidance`` itself."""

RULE_FIELDS = ("rule", *(name for names in RULE_SETTINGS.values() for name in names), "rule_values")
"""The settings of sampling that only a rule of guidance reads; plain guidance reads none of them."""

_SHAPE_SETTINGS = {
    "schedule_power": ("powered_cosine", "ccua_power"),
    "schedule_floor": ("clamped_linear",),
}
_NOT_PROPORTIONAL = ("clamped_linear", "ccua_linear", "ccua_power")  # shapes that guide at omega 0 too
_HASH = re.compile(r"[0-9a-f]{64}")


def is_hash(text: str | None) -> bool:
    """Tell a SHA-256 in hexadecimal digits from a path."""
    return text is not None and _HASH.fullmatch(text) is not None


def rule_words(stated: Mapping[str, Any]) -> str:
    """Return a rule of guidance with its parameters as ``interval (sigma_low 0.28, sigma_high 2.9)``.

    Parameters
    ----------
    stated
        Those of `RULE_FIELDS` that differ from their defaults, by name; without ``rule`` it is the plain one.

    Returns
    -------
    Words that tell two rules apart; blank for plain guidance.
    """
    if "rule" not in stated:
        return ""
    parts = [_parameter_words(name, stated[name]) for name in RULE_FIELDS[1:] if name in stated]
    return f"{stated['rule']} ({', '.join(parts)})" if parts else str(stated["rule"])


def _parameter_words(name: str, value: Any) -> str:
    if name == "schedule":
        return str(value)
    if name == "rule_values":
        return ", ".join(str(entry).replace("=", " ") for entry in value)
    text = (
        " ".join(f"{v:g}" for v in value)
        if isinstance(value, list | tuple)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )
    if is_hash(text) or len(text) > 100:
        text = text[:8] if is_hash(text) else hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{name} {text}"


def _shortest(entry: str) -> str:
    """Return ``NAME=NUMBER`` with the shortest text of its number; what is none stays, for a message about it."""
    name, _, text = (part.strip() for part in entry.partition("="))
    try:
        return f"{name}={repr(float(text) + 0.0).removesuffix('.0')}"
    except ValueError:
        return entry


class SampleSpec(Frozen):
    """How images are generated; equally many of every class."""

    sampler: str = Field("ancestral", pattern=r"^[a-z][a-z0-9_+.-]*$", description="see `ltbench samplers`")
    steps: int = Field(1000, ge=1, le=1000, description="sampler steps")
    order: int = Field(2, ge=1, le=3, description="order of DPM-Solver++ (its SDE form: 1 or 2)")
    spacing: Literal["logsnr", "karras", "trailing", "leading", "linspace"] = Field(
        "logsnr", description="where a fast sampler's steps lie; ancestral visits all"
    )
    clip: bool = Field(False, description="clip the predicted x0 to [-1, 1] at every step")
    guidance: float = Field(
        0.0,
        ge=0,
        le=100,
        description="omega in eps_c + omega (eps_c - eps_u); compare within a kind of sampler only",
    )
    rule: str = Field(
        PLAIN, pattern=r"^[a-z][a-z0-9_]*$", description="how omega is applied; see `ltbench guidance`"
    )
    sigma_low: float = Field(
        0.0, ge=0, description="interval: omega holds where noise / signal is above this"
    )
    sigma_high: float | None = Field(
        None, gt=0, description="interval: and not above this; default: no limit"
    )
    schedule: (
        Literal[
            "linear",
            "cosine",
            "inverse_linear",
            "sine",
            "clamped_linear",
            "powered_cosine",
            "ccua_linear",
            "ccua_power",
        ]
        | None
    ) = Field(None, description="schedule: the shape of omega over the time steps")
    schedule_power: float | None = Field(
        None, gt=0, le=100, description="schedule: q of powered_cosine, gamma of ccua_power; default 2"
    )
    schedule_floor: float | None = Field(
        None, ge=0, le=100, description="schedule: the least omega of clamped_linear; default 1"
    )
    omega_power: float = Field(
        0.0,
        ge=-10,
        le=10,
        description="per_class: omega of class k is in proportion to n_k^power; its mean over classes is guidance",
    )
    omega_factors: tuple[float, ...] = Field(
        (), description="per_class: a factor of guidance for each class, in place of a power"
    )
    bad_step: int | None = Field(
        None, ge=1, description="auto: step of the weaker network: of this training, or of bad_weights' run"
    )
    bad_weights: str | None = Field(
        None, min_length=1, description="auto: folder of another run, the weaker network (kept by its hash)"
    )
    rule_values: tuple[str, ...] = Field(
        (), description="parameters of another package's rule, each as NAME=NUMBER"
    )
    per_class: int = Field(5000, ge=1, description="images a class")
    seed: int = Field(0, ge=0, description="sampling seed")
    weights: Literal["ema", "raw"] = Field("ema", description="averaged or last weights")
    leave_out: tuple[str, ...] = Field(
        (), description="parts of the method that are off, as METHOD.PART: cm.expert"
    )
    precision: Literal["fp32", "tf32", "bf16"] = Field(
        "fp32",
        description="arithmetic of the network: IEEE single, tensor-core products, or bfloat16 autocast",
    )

    @field_validator("rule_values")
    @classmethod
    def _written_one_way(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        """Write each number as shortly as it can be: ``a=1.0``, ``a=1e0`` and ``a=1`` are one sample set, of one key."""
        return tuple(_shortest(entry) for entry in entries)

    @model_validator(mode="after")
    def _ancestral_is_full(self) -> "SampleSpec":
        if self.sampler == "ancestral" and self.steps != 1000:
            raise ValueError("ancestral sampling takes sample.steps=1000; use ddim or dpmsolver++ for fewer")
        if self.sampler == "sde-dpmsolver++" and self.order > 2:
            raise ValueError("sde-dpmsolver++ has sample.order 1 or 2")
        return self

    @model_validator(mode="after")
    def _rule_has_its_own_settings(self) -> "SampleSpec":
        given = [name for name in RULE_FIELDS[1:] if self._differs(name)]
        if self.rule not in RULE_SETTINGS:
            return self  # another package's rule: `ltbench.diffusion.guidance.check_rule` knows what it reads
        for name in given:
            owner = next(
                (rule for rule, names in RULE_SETTINGS.items() if name in names), "another package's"
            )
            if owner != self.rule:
                raise ValueError(
                    f"sample.{name} is a setting of sample.rule={owner}, and sample.rule is {self.rule}"
                )
        for name, shapes in _SHAPE_SETTINGS.items():
            if name in given and self.schedule not in shapes:
                raise ValueError(f"sample.{name} goes with sample.schedule={' or '.join(shapes)}")
        self._check_rule_is_whole(given)
        return self

    def _check_rule_is_whole(self, given: Sequence[str]) -> None:
        """Refuse a rule that lacks what it needs, or has what contradicts itself."""
        if self.rule == "interval" and self.sigma_high is not None and self.sigma_low >= self.sigma_high:
            raise ValueError("sample.sigma_low must be below sample.sigma_high")
        if self.rule == "schedule" and self.schedule is None:
            raise ValueError("sample.rule=schedule needs sample.schedule, as in sample.schedule=linear")
        if len(given) == 2 and self.rule == "per_class":
            raise ValueError("give sample.omega_power or sample.omega_factors, not both")
        if self.rule == "auto" and not given:
            raise ValueError(
                "sample.rule=auto needs a weaker network: sample.bad_step=STEP of the same training, or "
                "sample.bad_weights=FOLDER of another run"
            )
        if self.bad_step is not None and is_hash(self.bad_weights):
            raise ValueError(
                "sample.bad_weights is a hash, which names one step's weights: leave sample.bad_step out"
            )

    def _differs(self, name: str) -> bool:
        return bool(getattr(self, name) != type(self).model_fields[name].default)

    @classmethod
    def stored(cls, content: Mapping[str, Any]) -> "SampleSpec":
        """Return the settings that a file of results states; what older files leave out is what they meant."""
        return cls.model_validate({**KEY_BASE, **content}, context=STORED)

    @property
    def settings(self) -> dict[str, Any]:
        """The fields that this sampler and rule read: the others change neither an image nor the key."""
        ignored = set(_IGNORED.get(self.sampler, ()))
        ignored |= {name for name in RULE_FIELDS if self.is_plain or not self._differs(name)}
        return self.model_dump(mode="json", exclude=ignored)

    @property
    def is_plain(self) -> bool:
        """Whether guidance is plain: by rule, or since the rule scales an omega of 0."""
        if self.rule == PLAIN:
            return True
        return self.guidance == 0 and self.rule in RULE_SETTINGS and self.schedule not in _NOT_PROPORTIONAL

    @property
    def other_network(self) -> tuple[str | None, int | None]:
        """The network guided away from: another run's hash, or an earlier step of the same training, or neither."""
        if self.is_plain:
            return None, None
        return self.bad_weights, self.bad_step if self.bad_weights is None else None

    @property
    def rule_label(self) -> str:
        """The rule of guidance in words, with its parameters (see `rule_words`); blank where it is plain."""
        return rule_words({name: value for name, value in self.settings.items() if name in RULE_FIELDS})

    @property
    def label(self) -> str:
        """The sampler in words: with its spacing where that is not the default, as ``dpmsolver++ trailing``."""
        spacing = self.settings.get("spacing", "")
        default = type(self).model_fields["spacing"].default
        return self.sampler if spacing in ("", default) else f"{self.sampler} {spacing}"
