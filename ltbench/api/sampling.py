"""What `sample` is given: from a stranger's network and settings of guidance to what the sampler takes."""

from __future__ import annotations

import contextlib
import operator
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import ltbench.runs.run as stored
from ltbench.api.arguments import a_name, batch_like, short
from ltbench.errors import UsageError, nearest
from ltbench.specs import RULE_FIELDS, SampleSpec

if TYPE_CHECKING:
    from torch import Tensor

    from ltbench.method import Prediction

_WANTED = "the model must be a callable (x_t, t, label) -> Prediction with shape (C, H, W) and num_classes"


class StrangersNetwork:
    """Any network with what sampling asks of ours: a checked shape and answer, and ``eval`` where it has one.

    Raises
    ------
    UsageError
        It cannot be called, or its ``shape`` or ``num_classes`` are no numbers of an image and its classes.
    """

    def __init__(self, function: Any) -> None:
        if not callable(function) or not hasattr(function, "shape") or not hasattr(function, "num_classes"):
            raise UsageError(f"{_WANTED}{_where_it_is(function)}")
        try:
            self.shape = tuple(map(operator.index, function.shape))
            self.num_classes = operator.index(function.num_classes)
        except TypeError:
            self.shape, self.num_classes = (), 0
        if len(self.shape) != 3 or min(*self.shape, self.num_classes) < 1:
            raise UsageError(
                "the model's shape must be three whole numbers (C, H, W) and its num_classes one, all above 0, not "
                f"{short(function.shape)} and {short(function.num_classes)}"
            )
        self.function = function

    def eval(self) -> None:
        """Leave dropout out, where the network knows how; one that was exported has no other mode."""
        if callable(off := getattr(self.function, "eval", None)):
            with contextlib.suppress(NotImplementedError):
                off()

    def __call__(self, x_t: Tensor, t: Tensor, label: Tensor) -> Prediction:
        """Return the network's prediction, if it is one of the batch's shape."""
        prediction: Prediction = self.function(x_t, t, label)
        batch_like(prediction, x_t)
        return prediction


def _where_it_is(model: Any) -> str:
    """Return where the network of something that holds one is; blank where that is not known."""
    if isinstance(model, stored.Run):
        return ": of a run give run.model()"
    if isinstance(model, str | os.PathLike):
        return ": of a folder give load_run(folder).model()"
    return ""


def network_of(model: Any, device: str) -> StrangersNetwork:
    """Return the network of what `Run.model` returns, or of any callable; a module is moved to `device`."""
    from torch import nn

    if isinstance(model, nn.ModuleDict) and "denoiser" in model:
        model = model["denoiser"]
    if isinstance(model, nn.Module):
        model = model.to(device)
    return StrangersNetwork(model)


@contextlib.contextmanager
def modes_kept(*networks: StrangersNetwork | None) -> Iterator[None]:
    """Put every part of some networks back into the mode that it had, for training or not, when the block ends."""
    from torch import nn

    parts = [
        part
        for network in networks
        if network is not None and isinstance(network.function, nn.Module)
        for part in network.function.modules()
    ]
    before = [(part, part.training) for part in parts]
    try:
        yield
    finally:
        for part, training in before:  # a whole comes before its parts, which may have a mode of their own
            if part.training != training:
                part.train(training)


def rule_settings(guidance: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the settings of a rule of guidance, and ``counts``, from what a caller names; others are refused.

    Raises
    ------
    UsageError
        A name that is none of theirs; the sentence says where it belongs.
    """
    known = (*RULE_FIELDS, "guidance", "counts", "clip", "order", "spacing", "precision")
    for key in guidance:
        name = a_name(key, "sample: each key of guidance")
        if name in ("sampler", "steps", "seed"):
            raise UsageError(
                f"sample: {name} is no setting of a rule of guidance: give it beside guidance, as {name}=..."
            )
        if name in SampleSpec.model_fields and name not in known:
            raise UsageError(
                f"sample: {name} is no setting of a rule of guidance, and only a study has it, as sample.{name}"
            )
        if name not in known:
            raise UsageError(f"sample: {name} is no setting of a rule of guidance{nearest(name, known)}")
    return dict(guidance)
