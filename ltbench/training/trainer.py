"""The one trainer: it knows a method only through its hooks, and every draw only through (seed, step).

    x_t  = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps
    loss = mean(weights * per_sample_mse(eps_theta(x_t, t, label), target)) + sum(regularizers)

Optimiser as in all released code: Adam(2e-4), linear warm-up from 0, gradient-norm clip, EMA of the
weights, constant rate after the warm-up (so a longer run continues a shorter one).
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ltbench import rng
from ltbench.data import Dataset
from ltbench.diffusion.precision import precision, products
from ltbench.environment import Environment, speed_up
from ltbench.errors import CheckpointError, Interrupted, NonFiniteLoss, UsageError
from ltbench.method import Batch, Context, Prediction
from ltbench.method.registry import Composition, create, loss_terms
from ltbench.runs import train_log as trainlog
from ltbench.runs.layout import CHECKPOINT, TRAIN_LOG, weights_path
from ltbench.runs.weights import load_checkpoint, save_checkpoint, save_weights
from ltbench.specs import RunSpec, train_key
from ltbench.training.batches import BatchesAhead, BatchSource
from ltbench.training.distributed import Group, join, local_device
from ltbench.training.model import EXACT, build_model, load_initial, load_state, state_of

LOG_EVERY = 50  # steps a row of train.csv averages over


def train(
    spec: RunSpec, cell: Dataset, folder: Path, env: Environment, init: dict[str, Tensor] | None = None
) -> None:
    """Train to ``spec.train.steps``, going on from `folder`'s checkpoint where there is one.

    Writes ``train.csv``, ``checkpoint.pt`` and the milestones' weights. Killed at any step and started
    again, the result is bit-identical to an undisturbed run's on the same machine and thread count.

    Raises
    ------
    Interrupted
        `env.stop` asked to; the state is saved.
    NonFiniteLoss
        The loss or gradient became NaN or infinite; the last good checkpoint stays.
    """
    if spec.model.size == EXACT:
        state = state_of(build_model(spec, cell))  # there is nothing to train
        env.keep(spec.train.steps)
        save_weights(
            weights_path(folder, spec.train.steps), state, state, train_key(spec), spec.train.steps, env.guard
        )
        return
    Training(spec, cell, folder, env, init).run()


class Training:
    """One training's state; `run` is the loop."""

    def __init__(
        self,
        spec: RunSpec,
        cell: Dataset,
        folder: Path,
        env: Environment,
        init: dict[str, Tensor] | None = None,
    ) -> None:
        self.spec, self.folder, self.env = spec, folder, env
        self.key = train_key(spec)
        self.device = local_device(env.device)
        self.group: Group = join(self.device)
        self.method = create(spec.method.name, spec.method.hyperparameters)
        self.rows, self.micro = _rows(spec, self.method, self.group)
        self.source = BatchSource(cell, spec.train, self.method.needs, spec.train_seed, self.device)
        self.batches: Callable[[int], Batch] = self.source

        self.model = build_model(spec, cell, self.method)
        if init is not None:
            load_initial(self.model, init)
        self.model.to(self.device)
        self.denoiser: Callable[..., Prediction] = speed_up(self.model["denoiser"], env)
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(self.parameters, lr=spec.train.learning_rate, fused=True)
        self.ema = [p.detach().clone() for p in self.parameters]
        self.update_ema = get_ema_multi_avg_fn(spec.train.ema_decay)
        self.step = 0
        self.totals: dict[str, Tensor] = {}  # sums of each logged term since the last row of train.csv
        self.counted = 0
        self.saved_at = 0.0
        self._resume()

    # -- the loop -----------------------------------------------------------------------------------

    def run(self) -> None:
        """Train to the last step, writing rows, milestones and checkpoints on the way.

        On a GPU a thread makes the next batch meanwhile; on a CPU it would only take the step's own cores.
        """
        if self.device.type != "cuda":
            self._loop()
            return
        ahead = BatchesAhead(self.source, self.spec.train.steps)
        self.batches = ahead
        try:
            self._loop()
        finally:
            self.batches = self.source
            ahead.close()

    def _loop(self) -> None:
        settings = self.spec.train
        milestones = {*settings.snapshots, settings.steps}
        started, first = time.monotonic(), self.step
        self.saved_at = started
        self.model.train()
        if self.step in milestones and not weights_path(self.folder, self.step).exists():
            self._save_milestone()  # deleted, as the message about broken weights asks for
        while self.step < settings.steps:
            self._one_step()
            self.step += 1
            at_row = self.step % LOG_EVERY == 0
            at_milestone = self.step in milestones
            last = self.step == settings.steps
            stopping, due = self._asked(at_row)
            if not (at_row or at_milestone or stopping or due):
                continue
            self._check_finite()
            if at_row or last:
                self._write_row(started, first)
            if at_row:
                self._restart_totals()
            if at_milestone:
                self._save_milestone()
            if last or stopping or due:
                self._save()
            if stopping and not last:
                self.group.barrier()  # who goes on from the checkpoint must find it
                raise Interrupted(
                    f"stopped at step {self.step} of {settings.steps}, saved: run the same command to go on"
                )
        if self.group.main:
            trainlog.finish(self.folder / TRAIN_LOG)
        self.group.barrier()

    def _asked(self, at_row: bool) -> tuple[bool, bool]:
        """Return whether to stop and whether to save now. Several processes must do both together, so they
        ask with each row only."""
        if self.group.world > 1 and not at_row:
            return False, False
        due = time.monotonic() - self.saved_at >= self.env.checkpoint_seconds
        return self.group.agree(self.env.stop(), self.device), self.group.agree(due, self.device)

    def _one_step(self) -> None:
        whole = self.batches(self.step)
        with products(tf32=False):  # of the hooks themselves; passes of the network bring their own
            target = self.method.target(whole, self._stream)
        rate = self._learning_rate(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        if self.env.cuda_graphs:
            torch.compiler.cudagraph_mark_step_begin()  # what the last step's graphs hold may be written over
        share = len(self.micro)
        for index, rows in enumerate(self.micro):
            rng.reseed_global(self.spec.train_seed, f"dropout/{self.group.rank}/{index}", self.step)
            batch = cut(whole, rows)
            prediction = self._denoise(batch.x_t, batch.t, batch.label)
            with products(tf32=False):
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

    def _learning_rate(self, step: int) -> float:
        """Linear from 0: the first step moves nothing, as in the released trainers."""
        warmup = self.spec.train.warmup_steps
        return self.spec.train.learning_rate * (min(step, warmup) / warmup if warmup else 1.0)

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
        means = self.group.means({name: total / self.counted for name, total in self.totals.items()})
        row = {"step": self.step, "learning_rate": self._learning_rate(self.step - 1)}
        row |= {name: float(value) for name, value in means.items()}
        rate = (self.step - first) * self.spec.train.batch_size / max(time.monotonic() - started, 1e-9)
        if self.group.main:
            self.env.guard()
            trainlog.append(self.folder / TRAIN_LOG, row)
            self.env.log(self.step, {**row, "images_per_second": rate})
            self.env.progress(
                {
                    "stage": "train",
                    "step": self.step,
                    "total": self.spec.train.steps,
                    "loss": row["loss"],
                    "rate": rate,
                }
            )

    def _restart_totals(self) -> None:
        """Start the next row; a term that a method leaves out at some steps keeps its column."""
        self.totals = {name: torch.zeros_like(total) for name, total in self.totals.items()}
        self.counted = 0

    def _save_milestone(self) -> None:
        if self.group.main:
            self.env.keep(self.step)
            path = weights_path(self.folder, self.step)
            averaged = state_of(self.model, self.parameters, self.ema)
            save_weights(path, averaged, state_of(self.model), self.key, self.step, self.env.guard)

    def _save(self) -> None:
        totals = self.group.means(self.totals)
        if self.group.main:
            self.env.keep(self.step)
            state = {
                "key": self.key,
                "step": self.step,
                "model": state_of(self.model),
                "ema": self.ema,
                "optimizer": self.optimizer.state_dict(),
                "totals": totals,
                "counted": self.counted,
            }
            save_checkpoint(self.folder / CHECKPOINT, state, self.env.guard)
        self.saved_at = time.monotonic()

    def _resume(self) -> None:
        state = load_checkpoint(self.folder / CHECKPOINT, self.key)
        if state is not None:
            try:
                load_state(self.model, state["model"])
                self.optimizer.load_state_dict(state["optimizer"])
                self.ema = [value.to(self.device) for value in state["ema"]]
                self.totals = {name: total.to(self.device) for name, total in state["totals"].items()}
                self.counted, self.step = state["counted"], state["step"]
            except (RuntimeError, KeyError, ValueError) as error:
                raise CheckpointError(
                    f"the checkpoint {self.folder / 'checkpoint.pt'} does not fit the model: "
                    "delete it to train from the start"
                ) from error
        if not self.group.share(self.step, self.device):
            raise CheckpointError(
                f"the processes see different checkpoints in {self.folder}: put --out on a disk that all of them share"
            )
        if self.step > self.spec.train.steps:
            # A longer run passed this milestone without keeping it: only training again can make it.
            raise CheckpointError(
                f"{self.folder} is already trained to step {self.step} without keeping step {self.spec.train.steps}: "
                "use another --out, or name that step in train.snapshots from the start"
            )
        if self.group.main:
            trainlog.cut(self.folder / TRAIN_LOG, self.step, LOG_EVERY, self.spec.train.steps)


def cut(batch: Batch, rows: slice) -> Batch:
    """Return the given rows of a batch; class-level fields stay whole."""
    per_image = ("x0", "y", "t", "alpha_bar", "noise", "x_t", "label", "dropped", "snr")
    given = {name: getattr(batch, name) for name in per_image}
    kept = {name: v[rows] for name, v in given.items() if v is not None}
    x0, y = batch.reference or (None, None)
    reference = None if x0 is None or y is None else (x0[rows], y[rows])
    return dataclasses.replace(batch, **kept, reference=reference)


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
            "leave train.micro_batch out"
        )
    if local % min(micro, local):
        raise UsageError(
            f"train.micro_batch {micro} does not divide the {local} images of a process: choose a divisor"
        )
    first, micro = group.rank * local, min(micro, local)
    return slice(first, first + local), [slice(i, i + micro) for i in range(first, first + local, micro)]
