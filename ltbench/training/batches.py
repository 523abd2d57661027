"""The training batches: order, noise, times, labels and flips as functions of (seed, step) alone.

Every draw is made on the CPU for the whole batch from a stream of its own and then moved, so CPU and
GPU, one process and several, an interrupted and an uninterrupted run all see the same data.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
import torch
from torch import Tensor

from ltbench import rng
from ltbench.data import Dataset
from ltbench.diffusion.schedule import NUM_TIMESTEPS, add_noise, alpha_bar
from ltbench.method import Batch, DrawRatio, Needs
from ltbench.method.base import Draw
from ltbench.spec import TrainSpec


def draw_power(prior: Tensor, draw: Draw) -> float:
    """Return the power p in [0, 1] of n_k that a draw stands for; 1 is the natural draw."""
    if isinstance(draw, DrawRatio):
        present = prior[prior > 0]
        ratio = float(present.min() / present.max())
        return 1.0 if ratio >= draw.smallest else math.log(draw.smallest) / math.log(ratio)
    named = {"natural": 1.0, "sqrt": 0.5, "balanced": 0.0}
    return named[draw] if isinstance(draw, str) else float(draw)


def draw_prior(prior: Tensor, draw: Draw) -> Tensor:
    """Return the class distribution (K,) that `draw` samples from: proportional to n_k^p."""
    weights = prior.pow(draw_power(prior, draw))
    return weights / weights.sum()


class BatchSource:
    """Makes batch `step` of a training, with the data set as one uint8 tensor on the device.

    Parameters
    ----------
    cell : the data cell; its training images are held on `device`.
    spec : batch size, label dropout and flip.
    needs : how images are drawn and whether a reference batch comes along.
    seed : the train seed.
    """

    def __init__(self, cell: Dataset, spec: TrainSpec, needs: Needs, seed: int, device: torch.device) -> None:
        self.images = _tensor(cell.train.images).to(device)
        self.labels = _tensor(cell.train.labels).to(device)
        self.spec, self.needs, self.seed, self.device = spec, needs, seed, device
        self.num_classes = cell.num_classes
        prior = torch.as_tensor(cell.prior, dtype=torch.float64)
        self.prior = prior.float().to(device)
        self.counts = torch.bincount(self.labels, minlength=cell.num_classes)
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
        return torch.where(self._moved(flipped)[:, None, None, None], images.flip(-1), images)

    def _moved(self, drawn: Tensor) -> Tensor:
        """Return a draw on the device; from pinned memory, since another copy waits for all work before it."""
        if self.device.type == "cuda":
            return drawn.pin_memory().to(self.device, non_blocking=True)
        return drawn.to(self.device)

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
        size = self.spec.batch_size
        if self._natural_draw:
            rows = self._natural(step)
        else:
            rows = self._by_class_probability(step, self._class_probability, "order")
        rows = self._moved(rows)
        x0, y = self._scaled(rows, self._flipped(step, "flip")), self.labels[rows]
        t = torch.randint(NUM_TIMESTEPS, (size,), generator=rng.generator(self.seed, "time", step))
        noise = self._moved(torch.randn(x0.shape, generator=rng.generator(self.seed, "noise", step)))
        drawn = self._dropped(step)
        dropped, abar = self._moved(drawn), self._moved(self._alpha_bar[t])
        return Batch(
            x0=x0,
            y=y,
            t=self._moved(t),
            alpha_bar=abar.float(),
            num_timesteps=NUM_TIMESTEPS,
            noise=noise,
            x_t=add_noise(x0, noise, abar),
            label=torch.where(dropped, self.num_classes, y),
            dropped=dropped,
            prior=self.prior,
            counts=self.counts,
            draw_prior=self.draw_prior,
            reference=self._reference(step),
            step=step,
            any_label=not bool(drawn.all()),
            snr=(abar / (1 - abar)).float(),
        )

    def _reference(self, step: int) -> tuple[Tensor, Tensor] | None:
        if self.needs.reference == "none":
            return None
        uniform = torch.full((self.num_classes,), 1 / self.num_classes, dtype=torch.float64)
        rows = self._moved(self._by_class_probability(step, uniform, "reference"))
        return self._scaled(rows, self._flipped(step, "reference-flip")), self.labels[rows]


def _tensor(array: np.ndarray) -> Tensor:
    """Share an array's memory; torch warns of a read-only file map, which nothing here writes to."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(np.ascontiguousarray(array))
