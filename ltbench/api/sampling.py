"""What `sample` is given: from a stranger's network and settings of guidance to what the sampler takes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ltbench.api.arguments import batch_like
from ltbench.errors import UsageError

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
        try:
            self.shape, self.num_classes = tuple(function.shape), int(function.num_classes)
        except (AttributeError, TypeError, ValueError) as error:
            raise UsageError(_WANTED) from error
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
