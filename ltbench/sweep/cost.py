"""What a study will cost: from its runs to steps, images, FLOPs, disk and time, before anything runs.

Time is measured, not guessed from a table: a forward and a backward pass of the network on this machine, with
the threads that a worker has, times the passes the method makes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import torch

from ltbench import rng
from ltbench.data import Dataset
from ltbench.data.facts import DatasetFacts, absent_files
from ltbench.diffusion.guidance import evaluations
from ltbench.diffusion.precision import precision
from ltbench.diffusion.schedule import NUM_TIMESTEPS
from ltbench.diffusion.unet import count_parameters, flops
from ltbench.environment import Environment
from ltbench.extractors.efficientnet import ADVICE as IMAGENET_ADVICE
from ltbench.extractors.registry import auto_note, known_extractors, resolve_extractors
from ltbench.extractors.torchscript import is_user_network, path_of
from ltbench.metrics.registry import requested_metrics
from ltbench.pipeline import is_done, stages
from ltbench.runs.layout import folder_name
from ltbench.runs.progress import passed_snapshots, trained_steps
from ltbench.specs import RunSpec
from ltbench.study.checks import validate
from ltbench.sweep.tasks import build_tasks, finished, task_id
from ltbench.training.flops import method_passes
from ltbench.training.model import plain_denoiser


@dataclass(frozen=True)
class RunCost:
    """One run's cost; what is already on disk counts nothing.

    Attributes
    ----------
    steps, images
        Left to train and to generate.
    flops
        Of both, multiply-adds counted as two.
    sample_flops
        Of the images alone.
    disk
        Bytes of weights, checkpoint and images.
    seconds
        Estimated, on one worker.
    nfe
        Network evaluations an image.
    left
        The kinds of its stages that are still to do, scoring and probes included, whose time is not estimated.
    """

    spec: RunSpec
    steps: int
    images: int
    flops: float
    disk: int
    seconds: float
    sample_flops: float = 0.0
    nfe: float = 0.0
    left: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """A study's cost over all its runs; `missing` says what to get before it can run.

    `passed` says which snapshots come too late: their training has gone past them.
    """

    runs: tuple[RunCost, ...]
    parameters: int
    workers: int
    missing: tuple[str, ...] = ()
    passed: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """Estimated wall seconds: work spread over the workers, at least the longest run."""
        longest = max((run.seconds for run in self.runs), default=0.0)
        return max(longest, sum(run.seconds for run in self.runs) / self.workers)


def make_plan(
    runs: Sequence[RunSpec],
    root: Path,
    data_root: Path | None,
    device: str,
    workers: int,
    need_files: bool = True,
    networks: Mapping[str, RunSpec] = MappingProxyType({}),
) -> Plan:
    """Validate every run and estimate its cost.

    Parameters
    ----------
    runs
        The expanded grid.
    root
        Output folder; finished stages there cost nothing.
    data_root
        Folder of the data sets; None: the default one.
    device
        ``cpu``, ``cuda`` or ``cuda:N``; a step is timed on it.
    workers
        Processes that will share the work.
    need_files
        False: plan without data files too; what is missing is named in the plan.
    networks
        Other runs' networks that images are guided away from, by hash.
    """
    counted = _Counted(root, torch.device(device), networks, finished(build_tasks(runs), root, is_done))
    missing: dict[str, str] = {}
    passed: dict[str, None] = {}
    costs = []
    for spec in runs:
        if late := passed_snapshots(spec, root):
            passed[
                f"{folder_name(spec)} is trained past step {', '.join(map(str, late))} without keeping it, which "
                "no setting can mend any more: use another --out to have it"
            ] = None
        dataset = validate(spec, data_root, need_files)
        if isinstance(dataset, DatasetFacts):
            missing[spec.data.dataset] = absent_files(spec.data.dataset, data_root)
        costs.append(counted.cost(spec, dataset))
    notes = (
        auto_note(run.data.dataset)
        for run in runs
        if "auto" in run.score.extractors and run.score.resize == "own"
    )
    lacking = (*missing.values(), *absent_weights(runs), *dict.fromkeys(note for note in notes if note))
    return Plan(tuple(costs), counted.parameters, workers, lacking, tuple(passed))


@dataclass
class _Counted:
    """What is counted so far of a study: a stage that several runs share is made once, a network is timed once.

    Attributes
    ----------
    root, device, networks
        As `make_plan` takes them.
    done
        Names of the stages that are made or counted already.
    parameters
        Of the last network that was timed.
    """

    root: Path
    device: torch.device
    networks: Mapping[str, RunSpec]
    done: set[str]
    parameters: int = 0
    _reached: dict[Path, int] = field(default_factory=dict)  # steps of each training
    _speeds: dict[tuple[str, str], Speed] = field(default_factory=dict)
    _passes: dict[tuple[str, ...], int] = field(default_factory=dict)

    def cost(self, spec: RunSpec, dataset: Dataset | DatasetFacts) -> RunCost:
        """Return what a run adds to those before it, and count it."""
        asked = evaluations(spec.sample, dataset.prior)
        left = tuple(stage.kind for stage in stages(spec) if task_id(stage) not in self.done)
        steps, images = self._left(spec, dataset)
        if not (steps or images):
            return RunCost(spec, 0, 0, 0.0, 0, 0.0, nfe=asked.nfe, left=left)
        measured = self._speed(spec, dataset)
        self.parameters = measured.parameters
        trained = steps * spec.train.batch_size * self._training_passes(spec, dataset)
        sampled = images * asked.own
        seconds = trained * (measured.forward + measured.backward) + sampled * measured.forward
        sampling = sampled * measured.flops
        if asked.other:  # another run's network, or an earlier state of this one
            weaker = self._speed(self.networks.get(spec.sample.bad_weights or "", spec), dataset)
            seconds += images * asked.other * weaker.forward
            sampling += images * asked.other * weaker.flops
        operations = 3 * trained * measured.flops + sampling
        disk = (24 * self.parameters if steps else 0) + images * math.prod(dataset.shape)
        return RunCost(spec, steps, images, operations, disk, seconds, sampling, asked.nfe, left)

    def _left(self, spec: RunSpec, dataset: Dataset | DatasetFacts) -> tuple[int, int]:
        """Return the steps and images that are neither made nor counted yet, and count them."""
        train_stage, sample_stage = stages(spec)[:2]
        steps = images = 0
        if task_id(train_stage) not in self.done:
            before = self._reached.setdefault(train_stage.folder, trained_steps(spec, self.root))
            steps = max(0, spec.train.steps - before)  # a longer run goes on from a shorter one
            self._reached[train_stage.folder] = before + steps
        if task_id(sample_stage) not in self.done:
            images = dataset.num_classes * spec.sample.per_class
        self.done.update(map(task_id, stages(spec)))
        return steps, images

    def _speed(self, spec: RunSpec, dataset: Dataset | DatasetFacts) -> Speed:
        key = _network(spec, dataset)
        if key not in self._speeds:
            self._speeds[key] = _measure(spec, dataset, self.device)
        return self._speeds[key]

    def _training_passes(self, spec: RunSpec, dataset: Dataset | DatasetFacts) -> int:
        """Return the passes of the network that the method makes an image of a step."""
        key = (*_network(spec, dataset), spec.method.model_dump_json())
        if key not in self._passes:
            self._passes[key] = method_passes(spec, dataset)
        return self._passes[key]


def _network(spec: RunSpec, cell: Dataset | DatasetFacts) -> tuple[str, str]:
    """Return what the cost of a network's pass depends on."""
    return spec.model.model_dump_json(), str((cell.shape, cell.num_classes, spec.train.precision))


def absent_weights(runs: Sequence[RunSpec]) -> tuple[str, ...]:
    """Return one sentence for each extractor whose weights a study's scores need and that are not here."""
    needed: dict[str, None] = {}
    for spec in runs:
        names = resolve_extractors(spec.score.extractors, spec.data.dataset, spec.score.resize)
        needed |= dict.fromkeys(names)
        protocols = (metric.extractor for metric in requested_metrics(spec.score.metrics))
        needed |= dict.fromkeys(name for name in protocols if name)
    rows = {row.name: row for row in known_extractors()}
    own = [name for name in needed if is_user_network(name) and not path_of(name).is_file()]
    absent = tuple(
        f"{path_of(name)}, which scoring needs, is no file: give another to torchscript:PATH" for name in own
    )
    return absent + tuple(
        f"the weights of {name} are missing (looked in {', '.join(map(str, rows[name].looked))}), which scoring needs "
        f"and training and sampling do not: {rows[name].advice}; features without a download: {IMAGENET_ADVICE}, for "
        "natural images; `ltbench extractor train FOLDER`, a small network of your own images; or --set "
        "score.extractors=torchscript:FILE, one that you have"
        for name in needed
        if name in rows and not rows[name].found
    )


@dataclass(frozen=True)
class Speed:
    """What one image costs on this machine, on one worker.

    Attributes
    ----------
    flops
        Of a forward pass, multiply-adds counted as two.
    forward, backward
        Seconds; the backward pass with what it needs kept by the forward one.
    parameters
        Of the network.
    """

    flops: float
    forward: float
    backward: float
    parameters: int


def _measure(spec: RunSpec, dataset: Dataset | DatasetFacts, device: torch.device) -> Speed:
    """Time small batches of the network, the best of three, with the threads that a worker has."""
    denoiser = plain_denoiser(spec, dataset)
    per_image, parameters = flops(denoiser), count_parameters(denoiser)
    denoiser.to(device).train()
    count = (
        max(1, min(spec.train.batch_size, int(2e10 // max(per_image, 1))))
        if device.type == "cpu"
        else spec.train.batch_size
    )
    x = torch.randn(count, *dataset.shape, generator=rng.generator(0, "plan")).to(device)
    t = torch.full((count,), NUM_TIMESTEPS // 2, device=device)
    label = torch.zeros_like(t)

    def timed(grad: bool) -> float:
        _wait_for(device)
        start = time.perf_counter()
        with torch.set_grad_enabled(grad), precision(spec.train.precision, device):
            loss = denoiser(x, t, label).eps.float().square().mean()
        if grad and parameters:
            loss.backward()
        _wait_for(device)
        return time.perf_counter() - start

    before = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(Environment().threads)
    try:
        forward, both = (min(timed(grad) for _ in range(3)) for grad in (False, True))
    finally:
        torch.set_num_threads(before)
    return Speed(per_image, forward / count, max(0.0, both - forward) / count, parameters)


def _wait_for(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
