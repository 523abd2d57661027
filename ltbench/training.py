"""The one trainer: it knows a method only through its hooks, and every draw only through (seed, step).

    x_t  = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps
    loss = mean(weights * per_sample_mse(eps_theta(x_t, t, label), target)) + sum(regularizers)

Optimiser as in all released code: Adam(2e-4), linear warm-up from 0, gradient-norm clip, EMA of the
weights, constant rate after the warm-up (so a longer run continues a shorter one).
"""

from __future__ import annotations

import csv
import dataclasses
import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ltbench import rng
from ltbench.batches import BatchSource
from ltbench.checkpoint import load_checkpoint, save_checkpoint, save_weights, weights_path
from ltbench.data import Cell
from ltbench.diffusion.precision import precision
from ltbench.diffusion.unet import build_denoiser
from ltbench.distributed import Group, join
from ltbench.errors import CheckpointError, Interrupted, NonFiniteLoss, UsageError
from ltbench.files import storage_errors, write_text
from ltbench.method import Batch, Context, Prediction
from ltbench.registry import Composition, create, loss_terms
from ltbench.runtime import Environment
from ltbench.spec import RunSpec, train_key

LOG_EVERY = 50  # steps a row of train.csv averages over


def build_model(spec: RunSpec, cell: Cell, method: Composition) -> nn.ModuleDict:
    """Return {"denoiser", "methods"}: the U-Net, equal for all methods at a seed, and what methods attach."""
    channels, size, _ = cell.shape
    denoiser = build_denoiser(
        spec.model.size, cell.num_classes, channels, size, dropout=spec.model.dropout, seed=spec.train_seed
    )
    attached = nn.ModuleDict()
    for name, part in method.parts:
        rng.reseed_global(spec.train_seed, f"attach/{name}")
        if (module := part.attach(denoiser)) is not None:
            attached[name] = module
    return nn.ModuleDict({"denoiser": denoiser, "methods": attached})


def train(
    spec: RunSpec, cell: Cell, folder: Path, env: Environment, init: dict[str, Tensor] | None = None
) -> None:
    """Train to ``spec.train.steps``, going on from `folder`'s checkpoint where there is one.

    Writes ``train.csv``, ``checkpoint.pt`` and the milestones' weights. Killed at any step and started
    again, the result is bit-identical to an undisturbed run's on the same machine and thread count.

    Raises
    ------
    Interrupted : `env.stop` asked to; the state is saved.
    NonFiniteLoss : the loss or gradient became NaN or infinite; the last good checkpoint stays.
    """
    Training(spec, cell, folder, env, init).run()


class Training:
    """One training's state; `run` is the loop."""

    def __init__(
        self, spec: RunSpec, cell: Cell, folder: Path, env: Environment, init: dict[str, Tensor] | None = None
    ) -> None:
        self.spec, self.folder, self.env = spec, folder, env
        self.key = train_key(spec)
        self.device = torch.device(env.device)
        self.group: Group = join(self.device)
        self.method = create(spec.method.name, spec.method.hyperparameters)
        self.rows, self.micro = _rows(spec, self.method, self.group)
        self.batches = BatchSource(cell, spec.train, self.method.needs, spec.train_seed, self.device)

        self.model = build_model(spec, cell, self.method)
        if init is not None:
            _load_initial(self.model, init)
        self.model.to(self.device)
        if env.channels_last:
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.denoiser: Callable[..., Prediction] = self.model["denoiser"]
        if env.compile:
            self.denoiser = torch.compile(self.denoiser)
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(self.parameters, lr=spec.train.learning_rate, fused=True)
        self.ema = [p.detach().clone() for p in self.parameters]
        self.update_ema = get_ema_multi_avg_fn(spec.train.ema_decay)
        self.step = 0
        self.totals: dict[str, Tensor] = {}  # sums of each logged term since the last row of train.csv
        self.counted = 0
        self._resume()

    # -- the loop -----------------------------------------------------------------------------------

    def run(self) -> None:
        """Train to the last step, writing rows, milestones and checkpoints on the way."""
        settings = self.spec.train
        milestones = {*settings.snapshots, settings.steps}
        started, first = time.monotonic(), self.step
        saved = started
        self.model.train()
        while self.step < settings.steps:
            self._one_step()
            self.step += 1
            at_row = self.step % LOG_EVERY == 0
            at_milestone = self.step in milestones
            # Alone, a stop is heard at every step; several processes must agree, so only with each row.
            stopping = self.env.stop() if self.group.world == 1 else at_row and self._agree_to_stop()
            due = time.monotonic() - saved >= self.env.checkpoint_seconds
            if not (at_row or at_milestone or stopping or due):
                continue
            self._check_finite()
            if at_row:
                self._write_row(started, first)
            if at_milestone:
                self._save_milestone()
            if self.step == settings.steps or stopping or due:
                self._save()
                saved = time.monotonic()
            if stopping and self.step < settings.steps:
                raise Interrupted(
                    f"stopped at step {self.step} of {settings.steps}, saved: run the same command to go on"
                )
        self.group.barrier()

    def _agree_to_stop(self) -> bool:
        return self.group.agree(self.env.stop(), self.device)

    def _one_step(self) -> None:
        whole = self.batches(self.step)
        target = self.method.target(whole, self._stream)
        rate = self.spec.train.learning_rate * self._warmup()
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        share = len(self.micro)
        for index, rows in enumerate(self.micro):
            rng.reseed_global(self.spec.train_seed, f"dropout/{self.group.rank}/{index}", self.step)
            batch = cut(whole, rows)
            prediction = self._denoise(batch.x_t, batch.t, batch.label)
            terms = loss_terms(self.method, batch, prediction, target[rows], self._context(rows))
            loss = torch.stack(tuple(terms.values())).sum() / share
            with precision(
                "fp32" if self.spec.train.precision == "bf16" else self.spec.train.precision, self.device
            ):
                loss.backward()
            self._count({"loss": loss * share, **terms}, 1 / share)
        self.group.average_gradients(self.parameters)
        norm = nn.utils.clip_grad_norm_(self.parameters, self.spec.train.grad_clip)
        self._count({"grad_norm": norm})
        self.counted += 1
        self.optimizer.step()
        self.update_ema(self.ema, self.parameters, torch.tensor(self.step))

    def _warmup(self) -> float:
        """Linear from 0: the first step moves nothing, as in the released trainers."""
        warmup = self.spec.train.warmup_steps
        return min(self.step, warmup) / warmup if warmup else 1.0

    def _denoise(self, x_t: Tensor, t: Tensor, label: Tensor) -> Prediction:
        with precision(self.spec.train.precision, self.device):
            return self.denoiser(x_t, t, label)

    def _stream(self, method: str, hook: str) -> torch.Generator:
        return rng.generator(self.spec.train_seed, f"{method}/{hook}", self.step)

    def _context(self, rows: slice) -> Callable[[str], Context]:
        attached = dict(self.model["methods"].named_children())

        def make(method: str) -> Context:
            return Context(
                denoiser=self._denoise,
                modules=attached.get(method),
                rng=self._stream(method, "regularizers"),
                global_size=self.spec.train.batch_size,
                shard=lambda whole: whole[rows],
                gather=self.group.gather,
            )

        return make

    # -- what is written ----------------------------------------------------------------------------

    def _count(self, terms: dict[str, Tensor], share: float = 1.0) -> None:
        for name, value in terms.items():
            part = value.detach().float() * share
            self.totals[name] = self.totals[name] + part if name in self.totals else part

    def _check_finite(self) -> None:
        if self.counted and not torch.stack(list(self.totals.values())).isfinite().all():
            bad = sorted(n for n, v in self.totals.items() if not torch.isfinite(v))
            raise NonFiniteLoss(
                f"{', '.join(bad)} became infinite or NaN between steps {self.step - self.counted} and {self.step}: "
                "lower train.learning_rate or the method's weight; the last good checkpoint is kept"
            )

    def _write_row(self, started: float, first: int) -> None:
        means = {name: self.group.mean(total / self.counted) for name, total in self.totals.items()}
        row = {"step": self.step, "learning_rate": self.spec.train.learning_rate * self._warmup()}
        row |= {name: float(value) for name, value in means.items()}
        self.totals, self.counted = {}, 0
        rate = (self.step - first) * self.spec.train.batch_size / max(time.monotonic() - started, 1e-9)
        if self.group.main:
            self.env.guard()
            _append_row(self.folder / "train.csv", row)
            self.env.progress(
                {
                    "stage": "train",
                    "step": self.step,
                    "total": self.spec.train.steps,
                    "loss": row["loss"],
                    "rate": rate,
                }
            )

    def _state(self, values: list[Tensor]) -> dict[str, Tensor]:
        names = [name for name, p in self.model.named_parameters() if p.requires_grad]
        return dict(zip(names, values, strict=True)) | dict(self.model.named_buffers())

    def _save_milestone(self) -> None:
        if self.group.main:
            path = weights_path(self.folder, self.step)
            raw = [p.detach() for p in self.parameters]
            save_weights(path, self._state(self.ema), self._state(raw), self.key, self.step, self.env.guard)

    def _save(self) -> None:
        if self.group.main:
            state = {
                "key": self.key,
                "step": self.step,
                "model": self.model.state_dict(),
                "ema": self.ema,
                "optimizer": self.optimizer.state_dict(),
                "totals": self.totals,
                "counted": self.counted,
            }
            save_checkpoint(self.folder / "checkpoint.pt", state, self.env.guard)

    def _resume(self) -> None:
        state = load_checkpoint(self.folder / "checkpoint.pt", self.key, self.device)
        if state is not None:
            try:
                self.model.load_state_dict(state["model"])
                self.optimizer.load_state_dict(state["optimizer"])
                self.ema = [value.to(self.device) for value in state["ema"]]
                self.totals, self.counted, self.step = state["totals"], state["counted"], state["step"]
            except (RuntimeError, KeyError, ValueError) as error:
                raise CheckpointError(
                    f"the checkpoint {self.folder / 'checkpoint.pt'} does not fit the model: "
                    "delete it to train from the start"
                ) from error
        if self.step > self.spec.train.steps:
            # A longer run passed this milestone without keeping it: only training again can make it.
            raise CheckpointError(
                f"{self.folder} is already trained to step {self.step} without keeping step {self.spec.train.steps}: "
                "use another --out, or name that step in train.snapshots from the start"
            )
        if self.group.main:
            _truncate_rows(self.folder / "train.csv", self.step)


def cut(batch: Batch, rows: slice) -> Batch:
    """Return the given rows of a batch; class-level fields stay whole."""
    per_image = ("x0", "y", "t", "alpha_bar", "noise", "x_t", "label", "dropped")
    return dataclasses.replace(batch, **{name: getattr(batch, name)[rows] for name in per_image})


def _rows(spec: RunSpec, method: Composition, group: Group) -> tuple[slice, list[slice]]:
    """Return this process's rows of the global batch and the micro-batches they are cut into."""
    size, world = spec.train.batch_size, group.world
    if size % world:
        raise UsageError(f"train.batch_size {size} is not divisible by {world} processes: choose a multiple")
    local = size // world
    micro = spec.train.micro_batch or local
    if micro < local and method.needs.batch_coupled:
        raise UsageError(
            f"{method.name} compares images of a batch with one another, so train.micro_batch cannot cut it: "
            "leave train.micro_batch out, or use more processes"
        )
    if local % min(micro, local):
        raise UsageError(f"train.micro_batch {micro} does not divide the {local} images of a process")
    first, micro = group.rank * local, min(micro, local)
    return slice(first, first + local), [slice(i, i + micro) for i in range(first, first + local, micro)]


def _load_initial(model: nn.ModuleDict, weights: dict[str, Tensor]) -> None:
    missing, unexpected = model.load_state_dict(weights, strict=False)
    absent = [name for name in missing if not name.startswith("methods.")]
    if absent or unexpected:
        raise CheckpointError(
            f"the initial weights do not fit this model ({len(absent)} tensors missing, {len(unexpected)} unknown): "
            "choose the model.size and data set they were trained with"
        )


def _append_row(path: Path, row: dict[str, Any]) -> None:
    with storage_errors(path):
        new = not path.exists()
        with open(path, "a", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, list(row), lineterminator="\n")
            if new:
                writer.writeheader()
            writer.writerow(row)


def _truncate_rows(path: Path, step: int) -> None:
    """Drop rows past the checkpoint's step, and a last line that a crash cut short."""
    if not path.exists():
        return
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    rows = list(csv.DictReader(io.StringIO(whole)))
    kept = [row for row in rows if row.get("step", "").isdigit() and int(row["step"]) <= step]
    header = whole.splitlines()[:1]
    lines = [",".join(row.values()) for row in kept]
    if kept:
        write_text(path, "\n".join(header + lines) + "\n")
    else:
        path.unlink()
