"""Several processes that train as one: shares of a batch, sums over processes."""

import pytest
import torch
from tiny_runs import make_spec

from ltbench.errors import UsageError
from ltbench.method.registry import create
from ltbench.training import trainer as training
from ltbench.training.distributed import Group, local_device


def torchrun(monkeypatch, world, here, rank, gpus):
    for name, value in {"WORLD_SIZE": world, "LOCAL_WORLD_SIZE": here, "LOCAL_RANK": rank}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)


@pytest.mark.parametrize(
    ("world", "here", "rank", "gpus", "name", "expected"),
    [
        (1, 1, 0, 4, "cuda", "cuda"),
        (1, 1, 0, 4, "cuda:3", "cuda:3"),
        (4, 2, 1, 2, "cuda", "cuda:1"),  # two machines of two GPUs
        (2, 1, 0, 4, "cuda:3", "cuda:3"),  # two machines, one process each
        (2, 2, 1, 0, "cpu", "cpu"),
    ],
)
def test_each_process_of_a_machine_has_a_gpu_of_its_own(world, here, rank, gpus, name, expected, monkeypatch):
    torchrun(monkeypatch, world, here, rank, gpus)
    assert local_device(name) == torch.device(expected)


@pytest.mark.parametrize(
    ("here", "gpus", "name", "sentence"),
    [
        (2, 2, "cuda:1", "--device cuda:1 is one GPU for the 2 processes that torchrun started here"),
        (3, 2, "cuda", "torchrun started 3 processes here, which has 2 GPUs: give --nproc-per-node 2"),
    ],
)
def test_processes_that_cannot_each_have_a_gpu_are_told_so(here, gpus, name, sentence, monkeypatch):
    """NCCL's own words were "Duplicate GPU detected", and those of CUDA "invalid device ordinal"."""
    torchrun(monkeypatch, here, here, 0, gpus)
    with pytest.raises(UsageError, match=sentence):
        local_device(name)


def test_a_batch_that_processes_cannot_share_is_refused():
    with pytest.raises(UsageError, match="batch_size 8 is not divisible by 3 processes: choose a multiple"):
        training._rows(make_spec(), create("ddpm"), Group(0, 3))
