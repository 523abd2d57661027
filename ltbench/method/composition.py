"""Methods put together: who provides the target, the weights and the draw, and the one loss.

    loss = mean(weights * per_sample_mse(prediction.eps, target)) + sum(regularizers)

Regularisers and attached parts add up, weights multiply; target and draw have one provider each. Which of
them a method provides is read from what its class overrides, so a plug-in declares nothing twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ltbench.errors import UsageError, nearest
from ltbench.method import Batch, Context, Method, Needs, Prediction

Streams = Callable[[str, str], torch.Generator]  # (method's name, hook's name) -> its generator this step
Contexts = Callable[[str], Context]  # method's name -> its context this step


def overrides(method: Method, hook: str) -> bool:
    """Return True where the method's class replaces `Method`'s hook."""
    return getattr(type(method), hook) is not getattr(Method, hook)


def provides(method: Method) -> dict[str, bool]:
    """Return what only one method of a composition can provide, and whether this one does."""
    return {
        "target": overrides(method, "target"),
        "draw": method.needs.draw != "natural",
    }


def is_plain(method: Method) -> bool:
    """Return True for a method that changes nothing about plain denoising."""
    return method.needs == Needs() and not any(
        overrides(method, hook) for hook in ("attach", "target", "weights", "regularizers")
    )


class Composition:
    """One method, or several in alphabetical order, behind one interface for the trainer.

    Attributes
    ----------
    name
        Canonical name, the parts' names joined by ``+``.
    parts
        (name, method) pairs in alphabetical order.
    needs
        The parts' needs merged.
    """

    def __init__(self, methods: Iterable[Method]) -> None:
        self.parts = tuple(sorted(((method.name, method) for method in methods), key=lambda part: part[0]))
        self.name = "+".join(name for name, _ in self.parts)
        self._refuse_illegal()
        every = [method.needs for _, method in self.parts]
        self.needs = Needs(
            draw=next((needs.draw for needs in every if needs.draw != "natural"), "natural"),
            reference="balanced" if any(needs.reference == "balanced" for needs in every) else "none",
            batch_coupled=any(needs.batch_coupled for needs in every),
        )
        self._target = next((part for part in self.parts if provides(part[1])["target"]), self.parts[0])

    def _refuse_illegal(self) -> None:
        twice = [name for name, number in Counter(name for name, _ in self.parts).items() if number > 1]
        if twice:
            raise UsageError(f"{twice[0]} stands twice in {self.name!r}: name each method once")
        if len(self.parts) == 1:
            return
        for name, method in self.parts:
            if is_plain(method):
                rest = "+".join(other for other, _ in self.parts if other != name)
                raise UsageError(f"{name} adds nothing to {self.name!r}: write {rest!r}")
        for slot, what in (
            ("target", "replace the denoising target"),
            ("draw", "choose how images are drawn"),
        ):
            rivals = [name for name, method in self.parts if provides(method)[slot]]
            if len(rivals) > 1:
                raise UsageError(
                    f"{' and '.join(rivals)} cannot be combined: each would {what}; leave one out"
                )

    @property
    def variant(self) -> str:
        """The variant of each part that has any: ``released``, or ``cbdm:released+coral:published``."""
        named = [(name, method.hp.variant) for name, method in self.parts if method.VARIANTS]
        if len(self.parts) == 1:
            return str(named[0][1]) if named else ""
        return "+".join(f"{name}:{variant}" for name, variant in named)

    def left_out(self, names: Iterable[str]) -> list[tuple[str, Method, str]]:
        """Return (method's name, method, part) of each ``METHOD.PART`` that sampling is to leave out.

        Raises
        ------
        UsageError
            No method here has such a part.
        """
        known = {
            f"{name}.{part}": (name, method, part) for name, method in self.parts for part in method.PARTS
        }
        for asked in names:
            if asked not in known:
                hint = nearest(asked, known) if known else ": it has none"
                raise UsageError(f"{self.name!r} has no part {asked!r} that sampling can leave out{hint}")
        return [known[asked] for asked in names]

    def target(self, batch: Batch, streams: Streams) -> Tensor:
        """Return the denoising target (B,C,H,W) of the global batch."""
        name, method = self._target
        found = method.target(batch, streams(name, "target"))
        return _checked(found, batch.x0.shape, batch.x0.device, f"what {name} returns from target")

    def weights(self, batch: Batch) -> Tensor | None:
        """Return the product (B,) of all parts' per-sample loss weights, or None for 1.

        Each provider's weights have the mean it gives them; their product is not scaled again.
        """
        product: Tensor | None = None
        for name, method in self.parts:
            weights = method.weights(batch)
            if weights is not None:
                _checked(weights, batch.y.shape, batch.y.device, f"what {name} returns from weights")
                product = weights if product is None else product * weights
        return product

    def regularizers(self, batch: Batch, prediction: Prediction, make_ctx: Contexts) -> dict[str, Tensor]:
        """Return all parts' terms, named ``method.term``; each part has a context and stream of its own."""
        terms: dict[str, Tensor] = {}
        for name, method in self.parts:
            if not overrides(method, "regularizers"):
                continue
            found = method.regularizers(batch, prediction, make_ctx(name))
            if not isinstance(found, Mapping):
                raise UsageError(
                    f"what {name} returns from regularizers is {_in_words(found)}, and must be a dictionary of named "
                    "terms: {'term': loss}, or {} for none"
                )
            for term, value in found.items():
                what = f"the term {term!r} that {name} returns from regularizers"
                terms[f"{name}.{term}"] = _checked(value, (), prediction.eps.device, what)
        return terms


def _in_words(found: Any) -> str:
    """Return what a method returned as a sentence names it: ``None``, ``a float``."""
    kind = type(found).__name__
    return "None" if found is None else f"{'an' if kind[0].lower() in 'aeiou' else 'a'} {kind}"


def _checked(found: Any, shape: Sequence[int], device: torch.device, what: str) -> Tensor:
    """Return a hook's tensor; another shape than it promises would broadcast to another loss without a word."""
    if not isinstance(found, Tensor):
        raise UsageError(f"{what} is {_in_words(found)}, and must be a tensor of the shape {tuple(shape)}")
    if found.shape != tuple(shape):
        raise UsageError(f"{what} has the shape {tuple(found.shape)}, and must have {tuple(shape)}")
    if found.is_complex():
        raise UsageError(f"{what} is complex ({found.dtype}), and must be real")
    if found.device != device:
        raise UsageError(f"{what} is on {found.device}, and must be where the batch is, on {device}")
    return found


def loss_terms(
    composition: Composition, batch: Batch, prediction: Prediction, target: Tensor, make_ctx: Contexts
) -> dict[str, Tensor]:
    """Return the named scalar terms whose sum is the loss: ``denoising`` first, then ``method.term``.

    Parameters
    ----------
    composition
        The methods whose hooks are called.
    batch, prediction, target
        One (micro-)batch, what the network made of it, and its rows of the target.
    make_ctx
        Method's name -> `Context`.
    """
    error = (prediction.eps.float() - target).square().flatten(1).mean(1)
    weights = composition.weights(batch)
    denoising = error.mean() if weights is None else (weights * error).mean()
    return {"denoising": denoising, **composition.regularizers(batch, prediction, make_ctx)}
