"""What is trained on which images: the data cell, the network, the method and the training."""

from collections.abc import Collection, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator


def one_zero(value: Any) -> Any:
    """Return a value whose numbers, also those in lists, tuples and tables, are 0.0 where they are -0.0.

    The two are equal and their texts are not, so that one setting would have two keys.
    """
    if isinstance(value, float):
        return value + 0.0  # -0.0 + 0.0 is 0.0, and every other sum is the number
    if type(value) in (tuple, list):
        return type(value)(one_zero(each) for each in value)
    if isinstance(value, dict):
        return {key: one_zero(each) for key, each in value.items()}
    return value


STORED = "stored"
"""Context of the validation of settings that a file of results states."""


class Frozen(BaseModel):
    """A table of settings: unknown keys, NaN and changes are refused, and -0.0 is 0.0.

    What a file of results states stays as it is (`STORED`): its key is of that.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)

    @field_validator("*")
    @classmethod
    def _one_zero(cls, value: Any, info: ValidationInfo) -> Any:
        return value if info.context == STORED else one_zero(value)


class DataSpec(Frozen):
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


class ModelSpec(Frozen):
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


class MethodSpec(Frozen):
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


class TrainSpec(Frozen):
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
