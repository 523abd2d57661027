"""Runs small enough for tests: the tiny network on digits, a few steps, through the real pipeline."""

import multiprocessing
import os
import signal
from functools import cache

import torch
from safetensors.torch import load_file

from ltbench.data import load_dataset
from ltbench.environment import Environment
from ltbench.files import replacing
from ltbench.method.registry import resolve
from ltbench.specs import DataSpec, ModelSpec, RunSpec, SampleSpec, ScoreSpec, TrainSpec
from ltbench.training.model import build_model
from ltbench.training.trainer import train

DATA = DataSpec(dataset="digits_lt", imbalance_ratio=0.1)


def make_spec(method="ddpm", hyperparameters=None, *, dropout=0.0, seed=0, sample=None, score=None, **train):
    """Return a run of the tiny network on digits; keywords are fields of `TrainSpec`."""
    settings = {
        "steps": 2,
        "batch_size": 8,
        "learning_rate": 1e-3,
        "warmup_steps": 0,
        "ema_decay": 0.5,
        "flip": False,
    }
    drawn = {"sampler": "dpmsolver++", "steps": 2, "per_class": 2}
    return RunSpec(
        data=DATA,
        model=ModelSpec(size="tiny", dropout=dropout),
        method=resolve(method, hyperparameters),
        train=TrainSpec(**settings | train),
        train_seed=seed,
        sample=SampleSpec(**drawn | (sample or {})),
        score=ScoreSpec(**score or {}),
    )


@cache
def digits():
    return load_dataset(DATA)


def lively_model(spec, seed=5):
    """Return a run's network with awake branches: the released initial weights start as the identity."""
    model, stream = build_model(spec, digits()), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p += 0.05 * torch.randn(p.shape, generator=stream)
    return model


def train_in(folder, spec, init=None, **environment):
    train(spec, digits(), folder, Environment(**environment), init)
    return folder


def tensors(folder, step):
    return load_file(folder / f"weights/step-{step:08d}.safetensors")


def checkpoint(folder):
    return torch.load(folder / "checkpoint.pt", weights_only=True)


def same_tensors(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def in_processes(function, *arguments, count=1, environment=None):
    """Start forks of this process, each calling ``function(rank, *arguments)``, and return them."""
    context = multiprocessing.get_context("fork")
    started = [
        context.Process(target=_forked, args=(function, rank, arguments, environment or {}))
        for rank in range(count)
    ]
    for process in started:
        process.start()
    return started


def _forked(function, rank, arguments, environment):
    torch.set_num_threads(1)
    os.environ.update(environment, RANK=str(rank), LOCAL_RANK=str(rank))
    function(rank, *arguments)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def killed_before_renaming(_, path):
    """Write half of a file's temporary, and be killed."""
    with replacing(path) as temporary:
        temporary.write_text("half")
        die()
