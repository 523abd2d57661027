"""Checks of a run before anything is trained: from a spec and its data to one sentence, or to warnings."""

from __future__ import annotations

import math
from pathlib import Path

from ltbench.data import Dataset, default_data_root, get_source
from ltbench.data.dataset import cached_dataset
from ltbench.data.facts import DatasetFacts, static_facts
from ltbench.diffusion.calibration import unfit
from ltbench.diffusion.guidance import make_omega
from ltbench.errors import DataMissing, UsageError
from ltbench.extractors.registry import check_images, resolve_extractors
from ltbench.method.composition import is_plain
from ltbench.method.registry import create
from ltbench.specs import RunSpec


def validate(spec: RunSpec, data_root: Path | None, need_files: bool = True) -> Dataset | DatasetFacts:
    """Check what a spec alone cannot: the data are there, the ratio leaves no class empty, model and flips fit.

    Parameters
    ----------
    spec
        The run.
    data_root
        Folder of the data sets; None: the default one.
    need_files
        False: where files are absent, go by what the source says of them; nothing is downloaded.

    Raises
    ------
    DataMissing, UsageError
        One sentence on how to mend it.
    """
    root = default_data_root() if data_root is None else data_root
    dataset: Dataset | DatasetFacts | None = None
    if need_files or get_source(spec.data.dataset).status(root).found:
        try:
            dataset = cached_dataset(spec.data, data_root)
        except DataMissing:  # prepared at another size only
            if need_files:
                raise
    dataset = dataset or static_facts(spec.data, data_root)
    if spec.train.flip and not dataset.flip_allowed:
        raise UsageError(
            f"train.flip must be false for {spec.data.dataset}: its mirrored images are not of their class"
        )
    names = resolve_extractors(spec.score.extractors, spec.data.dataset, spec.score.resize)
    check_images(names, dataset.shape)
    composition = create(spec.method.name, spec.method.hyperparameters)
    if spec.model.size == "exact" and not all(is_plain(method) for _, method in composition.parts):
        raise UsageError(
            "model.size=exact is the perfect network, which no training and so no method changes: choose ddpm, or "
            f"another size for {spec.method.name}"
        )
    composition.left_out(spec.sample.leave_out)
    make_omega(spec.sample, dataset.prior)
    micro, size = spec.train.micro_batch or spec.train.batch_size, spec.train.batch_size
    if micro < size and composition.needs.batch_coupled:
        raise UsageError(
            f"{spec.method.name} compares images of a batch with one another: leave train.micro_batch out"
        )
    if size % min(micro, size):
        raise UsageError(
            f"train.micro_batch {micro} does not divide train.batch_size {size}: choose a divisor"
        )
    return dataset


def fitting_ema_decay(steps: int) -> float:
    """Return the largest decay in four decimals whose average spans no more than `steps`: 10 / (1 - decay) <= steps."""
    return max(0, 10_000 - math.ceil(100_000 / steps)) / 10_000


def warnings(spec: RunSpec) -> list[str]:
    """Return what is legal but probably unwanted: an average or warm-up longer than the training, a sampler
    that distorts even a distribution it is told exactly. A decay is judged in four decimals, as people write it."""
    out: list[str] = []
    if distorted := unfit(spec.sample):
        out.append(distorted)
    settings = spec.train
    if settings.imported is not None:
        return out  # trained elsewhere, by settings that no file tells
    if settings.ema_decay > round(1 - 10 / settings.steps, 4) + 1e-9 and settings.ema_decay > 0:
        out.append(
            f"train.ema_decay {settings.ema_decay} averages over more than the {settings.steps} steps: "
            f"the sampled weights keep part of the initial ones; {fitting_ema_decay(settings.steps):g} fits"
        )
    if settings.warmup_steps > 0.05 * settings.steps:
        out.append(f"train.warmup_steps {settings.warmup_steps} is over 5 % of the {settings.steps} steps")
    return out
