"""What a training, a sample set and a score are: frozen, validated, serialisable; and their keys.

Every default is the papers' common setting (CIFAR10-LT, 35.7 M U-Net, 150k steps, ancestral sampling).
A key hashes only the fields that differ from their default, so adding a field whose default is the old
behaviour changes no key. Changing what a stage computes bumps that stage's version; a default that changes
keeps the old value as what the key leaves out (`KEY_BASE`), so that the keys of finished results stay.
"""

import functools
import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

UNLABELLED = -1
"""The label of every image of a sample set without labels: all images of a set have one, or none has."""

TRAIN_VERSION = 1
SAMPLE_VERSION = 1

KEY_BASE = {"spacing": "trailing"}
"""Settings of sampling whose default has changed since the first keys: the value a key leaves out."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)


class DataSpec(_Frozen):
    """A data cell: which images the model trains on."""

    dataset: str = Field("cifar10_lt", description="source of images; see `ltbench datasets`")
    imbalance_ratio: float = Field(0.01, gt=0, le=1, description="tail count / head count, in (0, 1]")
    profile: Literal["exponential", "step", "asis"] = Field(
        "exponential", description="n_k falls exponentially, in one step, or is the source's own"
    )
    class_order: str = Field(
        "identity",
        pattern=r"^(identity|reversed|permuted:[0-9]{1,15})$",
        description="which class is head: identity (class 0), reversed, or permuted:SEED",
    )
    split_seed: int = Field(0, ge=0, description="seed of the subset's selection; 0 is the published split")
    head_count: int | None = Field(
        None, ge=1, description="images of the head class; default: all the pool has"
    )
    image_size: int | None = Field(None, ge=8, le=256, description="pixels a side; default: the source's own")
    content: str | None = Field(None, description="manifest hash of a prepared folder (set by the harness)")


class ModelSpec(_Frozen):
    """The denoiser."""

    size: Literal["tiny", "small", "ddpm32", "ddpm64", "exact"] = Field(
        "ddpm32", description="U-Net size; exact: the perfect network, known for closed_form data only"
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="dropout in the residual blocks")
    widths: tuple[int, ...] = Field(
        (), description="channels of each level, finest first; default: the size's"
    )
    attention: tuple[int, ...] = Field((), description="with widths: levels that have self-attention")
    res_blocks: int = Field(2, ge=1, description="with widths: residual blocks a level")

    @model_validator(mode="after")
    def _own_network(self) -> "ModelSpec":
        if not self.widths and (self.attention or self.res_blocks != 2):
            raise ValueError("model.attention and model.res_blocks go with model.widths")
        if any(width < 1 for width in self.widths):
            raise ValueError("model.widths must be positive")
        if any(not 0 <= level < len(self.widths) for level in self.attention):
            raise ValueError("model.attention must name levels of model.widths, from 0")
        return self

    @property
    def overrides(self) -> dict[str, Any]:
        """What replaces the named size's architecture, as `ltbench.diffusion.unet.UNetConfig` calls it."""
        if not self.widths:
            return {}
        return {"channels": self.widths, "attention": self.attention, "res_blocks": self.res_blocks}


class MethodSpec(_Frozen):
    """A method or composition, with the hyper-parameters that differ from their defaults."""

    name: str = Field("ddpm", description="registry name; compositions joined by + in alphabetical order")
    hyperparameters: dict[str, dict[str, Any]] = Field(default_factory=dict)

    def __hash__(self) -> int:
        return hash(self.name)  # the dictionary cannot be hashed; equality still compares it


def matching_variant(
    values: Mapping[str, Any],
    defaults: Mapping[str, Any],
    variants: Mapping[str, Mapping[str, Any]],
    by_cell: Collection[str] = (),
) -> str:
    """Return the first variant that agrees with `values` in every field that any variant sets, ``custom`` where none.

    A field of `by_cell`, a constant that the paper chooses for each data set, decides only for the variants that set it.
    """
    formula = {key for settings in variants.values() for key in settings} - set(by_cell)
    for name, settings in variants.items():
        wanted = {key: defaults[key] for key in formula} | dict(settings)
        if all(values[key] == value for key, value in wanted.items()):
            return name
    return "custom"


class TrainSpec(_Frozen):
    """How long and how the network is trained. `steps` and `snapshots` are not in the key: a longer run
    continues a shorter one."""

    steps: int = Field(150_000, ge=1, description="optimiser steps")
    snapshots: tuple[int, ...] = Field((), description="steps whose weights are kept, besides the last")
    batch_size: int = Field(128, ge=1, description="images a step, over all processes")
    learning_rate: float = Field(2e-4, gt=0, description="of Adam, constant after the warm-up")
    warmup_steps: int = Field(5000, ge=0, description="linear learning-rate warm-up")
    grad_clip: float = Field(1.0, gt=0, description="gradient-norm clip")
    ema_decay: float = Field(0.9999, ge=0, lt=1, description="decay of the weights' moving average")
    label_dropout: float = Field(0.1, ge=0, le=1, description="probability of the null label")
    label_dropout_mode: Literal["batch", "sample"] = Field(
        "batch", description="one draw a batch (released code) or one a sample"
    )
    flip: bool = Field(True, description="random horizontal flip")
    precision: Literal["fp32", "tf32", "bf16"] = Field(
        "fp32",
        description="arithmetic of the network: IEEE single, tensor-core products, or bfloat16 autocast",
    )
    micro_batch: int | None = Field(None, ge=1, description="images a forward pass (gradient accumulation)")
    init_weights: str | None = Field(None, description="sha256 of the weights training starts from")
    imported: str | None = Field(None, description="sha256 of the authors' checkpoint that this training is")

    @field_validator("snapshots")
    @classmethod
    def _positive(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if any(step < 1 for step in value):
            raise ValueError("snapshots must be positive steps")
        return tuple(sorted(set(value)))


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


class SampleSpec(_Frozen):
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
        return cls.model_validate({**KEY_BASE, **content})

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


class ScoreSpec(_Frozen):
    """What is measured; not part of any stage's key: each number carries its own definition."""

    extractors: tuple[str, ...] = Field(("auto",), description="feature extractors; auto: the data set's own")
    resize: Literal["own", "legacy", "clean"] = Field(
        "own",
        description="resizing before Inception: legacy, the papers' (FID), or clean; own: as the extractor's name says",
    )
    metrics: tuple[str, ...] = Field(("default",), description="see `ltbench metrics`")
    floor_draws: int = Field(10, ge=1, le=10_000, description="repeated draws of the real-vs-real floor")
    groups: tuple[str, ...] = Field(
        ("auto",),
        description="groupings of classes: thirds, shots, cm, ccua, utlo; auto: the data set's own; none",
    )
    bootstrap: int | None = Field(
        None,
        ge=0,
        le=1_000_000,
        description="bootstrap replicates over images; unset: 100 where they are cheap; 0: none",
    )
    reference: Literal["balanced", "heldout", "longtail"] = Field(
        "balanced",
        description="real images compared with: equally many a class, held-out ones, or the training set",
    )
    probes: bool = Field(False, description="measure the bottleneck's entanglement")
    snapshot_images: int = Field(
        0,
        ge=0,
        description="images a class sampled and scored at each of train.snapshots, as a curve; 0: none",
    )
    reference_half: Literal["none", "first", "second"] = Field(
        "none",
        description="compare with one half of the reference only: tune with one, report with the other",
    )


class RunSpec(_Frozen):
    """One training, one sample set drawn from it, and what is scored on it."""

    data: DataSpec = DataSpec()
    model: ModelSpec = ModelSpec()
    method: MethodSpec = MethodSpec()
    train: TrainSpec = TrainSpec()
    train_seed: int = Field(0, ge=0, description="seed of initial weights, order, noise and times")
    sample: SampleSpec = SampleSpec()
    score: ScoreSpec = ScoreSpec()

    @classmethod
    def stored(cls, content: Mapping[str, Any]) -> "RunSpec":
        """Return the run that a file of results or a saved plan states; unknown tables are left out.

        A default may have changed since the file was written, so files are read here and not by
        `model_validate`, which fills in today's.
        """
        known = {key: value for key, value in content.items() if key in cls.model_fields}
        if isinstance(known.get("sample"), Mapping):
            known["sample"] = SampleSpec.stored(known["sample"])
        return cls.model_validate(known)


def _differing(model: BaseModel, leave_out: frozenset[str] = frozenset()) -> dict[str, Any]:
    return model.model_dump(mode="json", exclude_defaults=True, exclude=set(leave_out))


def _digest(content: dict[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def train_key(spec: RunSpec) -> str:
    """Return the full key (64 hex digits) of a training."""
    return _train_key(spec.data, spec.model, spec.method, spec.train, spec.train_seed)


@functools.lru_cache(maxsize=1 << 14)  # a sweep asks for the same few keys many thousand times
def _train_key(data: DataSpec, model: ModelSpec, method: MethodSpec, train: TrainSpec, seed: int) -> str:
    return _digest(
        {
            "version": TRAIN_VERSION,
            "data": _differing(data),
            "model": _differing(model),
            "method": _differing(method),
            "train": _differing(train, frozenset({"steps", "snapshots"})),
            "seed": seed,
        }
    )


def sample_key(spec: RunSpec) -> str:
    """Return the full key (64 hex digits) of a sample set: the training, its step and the sampler."""
    return _sample_key(train_key(spec), spec.train.steps, spec.sample)


@functools.lru_cache(maxsize=1 << 16)
def _sample_key(train: str, step: int, sample: SampleSpec) -> str:
    base = SampleSpec().model_dump(mode="json") | KEY_BASE
    settings = {name: value for name, value in sample.settings.items() if value != base[name]}
    return _digest({"version": SAMPLE_VERSION, "train": train, "step": step, "sample": settings})


def stage_key(spec: RunSpec, kind: str) -> str:
    """Return the full key of a stage's product: weights at a step, a sample set, its scores, its probes."""
    if kind == "sample":
        return sample_key(spec)
    if kind == "score":
        return _stage_key(kind, train_key(spec), spec.train.steps, sample_key(spec), spec.score)
    return _stage_key(kind, train_key(spec), spec.train.steps)


@functools.lru_cache(maxsize=1 << 16)
def _stage_key(kind: str, train: str, step: int, sample: str = "", score: ScoreSpec | None = None) -> str:
    content: dict[str, Any] = {"stage": kind, "train": train, "step": step}
    if score is not None:
        # Defaults that only add rows (pooled groups, cheap intervals) move no key: runs scored before stay
        # finished, and `ltbench evaluate` adds what they lack.
        content |= {"sample": sample, "score": _differing(score)}
    return _digest(content)
