"""The training batches: order, noise, times, labels and flips as functions of (seed, step) alone.

Every draw is made on the CPU for the whole batch from a stream of its own and then moved, so CPU and
GPU, one process and several, an interrupted and an uninterrupted run all see the same data.
"""

from __future__ import annotations

import math
import warnings
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ltbench import rng
from ltbench.data import Dataset
from ltbench.diffusion.schedule import NUM_TIMESTEPS, alpha_bar, mix
from ltbench.method import Batch, DrawRatio, Needs
from ltbench.method.base import Draw
from ltbench.specs import TrainSpec


def draw_power(prior: Tensor, draw: Draw) -> float:
    """Return the power p in [0, 1] of n_k that a draw stands for; 1 is the natural draw."""
    if isinstance(draw, DrawRatio):
        present = prior[prior > 0]
        ratio = float(present.min() / present.max())
        return 1.0 if ratio >= draw.smallest else math.log(draw.smallest) / math.log(ratio)
    named = {"natural": 1.0, "sqrt": 0.5, "balanced": 0.0}
    return named[draw] if isinstance(draw, str) else float(draw)


def draw_prior(prior: Tensor, draw: Draw) -> Tensor:
    """Return the class distribution (K,) that `draw` samples from: proportional to n_k^p, 0 where n_k is."""
    weights = torch.where(prior > 0, prior.pow(draw_power(prior, draw)), 0.0)
    return weights / weights.sum()


class BatchSource:
    """Makes batch `step` of a training, with the data set as one uint8 tensor on the device.

    Parameters
    ----------
    cell
        The data cell; its training images are held on `device`.
    spec
        Batch size, label dropout and flip.
    needs
        How images are drawn and whether a reference batch comes along.
    seed
        The train seed.
    """

    def __init__(self, cell: Dataset, spec: TrainSpec, needs: Needs, seed: int, device: torch.device) -> None:
        self.images = _tensor(cell.train.images).to(device)
        self.labels = _tensor(cell.train.labels).to(device)
        self.spec, self.needs, self.seed, self.device = spec, needs, seed, device
        self.num_classes = cell.num_classes
        prior = torch.as_tensor(cell.prior, dtype=torch.float64)
        self.prior = prior.float().to(device)
        self.counts = _tensor(np.bincount(cell.train.labels, minlength=cell.num_classes)).to(device)
        self._natural_draw = draw_power(prior, needs.draw) == 1
        self._class_probability = draw_prior(prior, needs.draw)
        self.draw_prior = self._class_probability.float().to(device)
        self._by_class = [
            torch.from_numpy(np.flatnonzero(cell.train.labels == k)) for k in range(cell.num_classes)
        ]
        self._alpha_bar = alpha_bar()  # float64: float32 would move 1 - abar by 2e-4 of itself at t = 0
        self._epoch: tuple[int, Tensor] | None = None

    def _permutation(self, epoch: int) -> Tensor:
        if self._epoch is None or self._epoch[0] != epoch:
            stream = rng.generator(self.seed, "order", epoch)
            self._epoch = (epoch, torch.randperm(len(self.labels), generator=stream))
        return self._epoch[1]

    def _natural(self, step: int) -> Tensor:
        """Shuffled epochs, the last incomplete batch dropped; a set smaller than a batch is concatenated."""
        size, total = self.spec.batch_size, len(self.labels)
        if total >= size:
            epoch, position = divmod(step, total // size)
            return self._permutation(epoch)[position * size : (position + 1) * size]
        first, last = step * size // total, ((step + 1) * size - 1) // total
        joined = torch.cat([self._permutation(epoch) for epoch in range(first, last + 1)])
        return joined[step * size - first * total :][:size]

    def _by_class_probability(self, step: int, probability: Tensor, purpose: str) -> Tensor:
        """Draw a class for each row, then an image uniformly within it, with replacement."""
        stream = rng.generator(self.seed, purpose, step)
        size = self.spec.batch_size
        classes = torch.multinomial(probability, size, replacement=True, generator=stream)
        position = torch.rand(size, generator=stream, dtype=torch.float64)
        members = [self._by_class[k] for k in classes.tolist()]
        return torch.stack([m[int(u * len(m))] for m, u in zip(members, position.tolist(), strict=True)])

    def _scaled(self, rows: Tensor, flipped: Tensor | None) -> Tensor:
        images = self.images[rows].float().div_(127.5).sub_(1.0)
        if flipped is None:
            return images
        return torch.where(flipped[:, None, None, None], images.flip(-1), images)

    def _flipped(self, step: int, purpose: str) -> Tensor | None:
        if not self.spec.flip:
            return None
        return torch.rand(self.spec.batch_size, generator=rng.generator(self.seed, purpose, step)) < 0.5

    def _dropped(self, step: int) -> Tensor:
        stream = rng.generator(self.seed, "label-dropout", step)
        size = self.spec.batch_size
        draws = 1 if self.spec.label_dropout_mode == "batch" else size
        return (torch.rand(draws, generator=stream) < self.spec.label_dropout).repeat(size // draws)

    def __call__(self, step: int) -> Batch:
        """Return the global batch of optimiser step `step` (from 0) on the device."""
        return self.assemble(self.draw(step).moved(self.device))

    def draw(self, step: int) -> Draws:
        """Return what is random about batch `step`, in main memory; no thread but one may draw at a time."""
        size = self.spec.batch_size
        if self._natural_draw:
            rows = self._natural(step)
        else:
            rows = self._by_class_probability(step, self._class_probability, "order")
        t = torch.randint(NUM_TIMESTEPS, (size,), generator=rng.generator(self.seed, "time", step))
        shape = (size, *self.images.shape[1:])
        dropped = self._dropped(step)
        tensors: dict[str, Tensor | None] = {
            "rows": rows,
            "flipped": self._flipped(step, "flip"),
            "t": t,
            "levels": _levels(self._alpha_bar[t]),
            "noise": torch.randn(shape, generator=rng.generator(self.seed, "noise", step)),
            "dropped": dropped,
        }
        if self.needs.reference != "none":
            uniform = torch.full((self.num_classes,), 1 / self.num_classes, dtype=torch.float64)
            tensors["reference_rows"] = self._by_class_probability(step, uniform, "reference")
            tensors["reference_flipped"] = self._flipped(step, "reference-flip")
        present = {name: tensor for name, tensor in tensors.items() if tensor is not None}
        return Draws(step, not bool(dropped.all()), present)

    def assemble(self, draws: Draws) -> Batch:
        """Return the batch that draws on the device stand for; nothing here waits for the device."""
        drawn = draws.tensors
        x0, y = self._images(drawn["rows"], drawn.get("flipped"))
        dropped, (abar, signal, spread, snr) = drawn["dropped"], drawn["levels"].unbind()
        reference = None
        if "reference_rows" in drawn:
            reference = self._images(drawn["reference_rows"], drawn.get("reference_flipped"))
        return Batch(
            x0=x0,
            y=y,
            t=drawn["t"],
            alpha_bar=abar,
            num_timesteps=NUM_TIMESTEPS,
            noise=drawn["noise"],
            x_t=mix(x0, drawn["noise"], signal, spread),
            label=torch.where(dropped, self.num_classes, y),
            dropped=dropped,
            prior=self.prior,
            counts=self.counts,
            draw_prior=self.draw_prior,
            reference=reference,
            step=draws.step,
            any_label=draws.any_label,
            snr=snr,
        )

    def _images(self, rows: Tensor, flipped: Tensor | None) -> tuple[Tensor, Tensor]:
        return self._scaled(rows, flipped), self.labels[rows]


@dataclass(frozen=True)
class Draws:
    """What is random about one batch.

    Attributes
    ----------
    step
        The optimiser step.
    any_label
        False where all labels were dropped; known before anything is on the device.
    tensors
        Rows of the training set, flips, times, `_levels` at them, noise, dropped labels; rows and flips of a reference
        batch too.
    """

    step: int
    any_label: bool
    tensors: dict[str, Tensor]

    def moved(self, device: torch.device) -> Draws:
        """Return the draws on the device; from pinned memory, since another copy waits for all work before it."""
        if device.type == "cuda":
            moved = {n: v.pin_memory().to(device, non_blocking=True) for n, v in self.tensors.items()}
        else:
            moved = {n: v.to(device) for n, v in self.tensors.items()}
        return Draws(self.step, self.any_label, moved)


class BatchesAhead:
    """A source's batches, each drawn and moved to the device by a thread while the step before it runs.

    The same numbers as the source's own, bit for bit: a batch is a function of (seed, step). On CUDA the copies
    go through a stream of their own, which the training's stream waits for on the device and not on the host.

    Parameters
    ----------
    source
        The batches.
    last
        The first step that is not wanted.
    """

    def __init__(self, source: BatchSource, last: int) -> None:
        self.source, self.last = source, last
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._copies = torch.cuda.Stream(source.device) if source.device.type == "cuda" else None
        self._ahead: dict[int, Future[tuple[Draws, Any]]] = {}

    def __call__(self, step: int) -> Batch:
        """Return the batch of `step`, and have the next one made."""
        future = self._ahead.pop(step, None) or self._thread.submit(self._prepare, step)
        draws, copied = future.result()
        if step + 1 < self.last:
            self._ahead = {step + 1: self._thread.submit(self._prepare, step + 1)}
        if copied is not None:
            stream = torch.cuda.current_stream(self.source.device)
            stream.wait_event(copied)
            for tensor in draws.tensors.values():
                tensor.record_stream(stream)  # its memory is the copies' stream's until the step is through
        return self.source.assemble(draws)

    def _prepare(self, step: int) -> tuple[Draws, Any]:
        draws = self.source.draw(step)
        if self._copies is None:
            return draws.moved(self.source.device), None
        with torch.cuda.stream(self._copies):
            return draws.moved(self.source.device), self._copies.record_event()

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(cancel_futures=True)


def _levels(abar: Tensor) -> Tensor:
    """Return abar, sqrt(abar), sqrt(1 - abar) and abar / (1 - abar) as (4,B) float32 of abar (B,) float64.

    Made on the host: not every device has float64, and in float32 1 - abar loses 2e-4 of itself at t = 0.
    """
    return torch.stack([abar, abar.sqrt(), (1 - abar).sqrt(), abar / (1 - abar)]).float()


def _tensor(array: np.ndarray) -> Tensor:
    """Share an array's memory; torch warns of a read-only file map, which nothing here writes to."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(np.ascontiguousarray(array))
