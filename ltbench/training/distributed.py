"""Several processes of one training (torchrun): a process's rank and group, and the two collectives it needs.

Every process computes the global batch's draws and targets and works on its own rows. Gradients are
averaged after the backward pass rather than through DistributedDataParallel's hooks, because a method
may run the network several times a step (CBDM) or only once, and both must reduce alike.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch._utils import _flatten_dense_tensors, _unflatten_dense_tensors

from ltbench.errors import ProcessLost, UsageError


@dataclass(frozen=True)
class Group:
    """This process's place: `rank` of `world` processes."""

    rank: int = 0
    world: int = 1

    @property
    def main(self) -> bool:
        """True in the one process that writes files."""
        return self.rank == 0

    def gather(self, local: Tensor) -> Tensor:
        """Concatenate `local` (B, ...) of all processes along dim 0; differentiable."""
        if self.world == 1:
            return local
        gathered: Tensor = _Gather.apply(local)
        return gathered

    def average_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Average the gradients of all processes in place, in one flat all-reduce a dtype.

        A process whose rows left a parameter out, as those without an image of some class, adds 0 to it. Where all
        left it out it has no gradient, as with one process: to the optimiser that is not the same as 0.
        """
        if self.world == 1:
            return
        parameters = list(parameters)
        for dtype in sorted({p.dtype for p in parameters}, key=str):
            same = [p for p in parameters if p.dtype == dtype]
            grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in same]
            has = torch.tensor([float(p.grad is not None) for p in same], dtype=dtype).to(same[0].device)
            flat = _flatten_dense_tensors([*grads, has])
            dist.all_reduce(flat)
            *sums, having = _unflatten_dense_tensors(flat, [*grads, has])
            for index, (parameter, total) in enumerate(zip(same, sums, strict=True)):
                if parameter.grad is not None:
                    parameter.grad.copy_(total / self.world)
                elif having[index] > 0:  # on a GPU this waits for it, and is asked of what is left out alone
                    parameter.grad = total / self.world

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean of a detached tensor over processes."""
        if self.world == 1:
            return value
        total = value.clone()
        dist.all_reduce(total)
        return total / self.world

    def means(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the mean of each named scalar over processes; one that a process has not counts there as 0."""
        if self.world == 1:
            return dict(values)
        named: list[list[str]] = [[] for _ in range(self.world)]
        dist.all_gather_object(named, list(values))
        zero = torch.zeros_like(next(iter(values.values())))
        every = dict.fromkeys(name for names in named for name in names)
        return {name: self.mean(values.get(name, zero)) for name in every}

    def agree(self, flag: bool, device: torch.device) -> bool:
        """Return the main process's flag in all processes."""
        if self.world == 1:
            return flag
        value = torch.tensor(int(flag), device=device)
        dist.broadcast(value, 0)
        return bool(value.item())

    def share(self, number: int, device: torch.device) -> bool:
        """Tell whether all processes hold the same number."""
        if self.world == 1:
            return True
        bounds = torch.tensor([number, -number], device=device)
        dist.all_reduce(bounds, dist.ReduceOp.MAX)
        return bool((bounds[0] == -bounds[1]).item())

    def barrier(self) -> None:
        """Wait for all processes."""
        if self.world > 1:
            dist.barrier()


_GROUP_ERRORS = ("DistBackendError", "DistNetworkError", "DistStoreError")
_PEER_ERRORS = ("gloo/transport/", "Connection closed by peer", "Connection reset by peer")


@contextlib.contextmanager
def explain_lost_peers() -> Iterator[None]:
    """Turn what a collective raises when another process is gone into one sentence.

    Raises
    ------
    ProcessLost
        Another process was ended, or does not answer.
    """
    try:
        yield
    except RuntimeError as error:
        told = type(error).__name__ in _GROUP_ERRORS
        if not told and not any(words in str(error) for words in _PEER_ERRORS):
            raise
        raise ProcessLost(
            "another process of this training was ended, or does not answer: see what it printed, or whether its machine "
            "ran out of memory, and run the same command again, which goes on from the last checkpoint"
        ) from error


class _Gather(torch.autograd.Function):
    """Concatenation over processes along dim 0; a row's gradient is the sum of what it has in all processes."""

    @staticmethod
    def forward(_context: Any, local: Tensor) -> Tensor:
        local = local.contiguous()
        parts = [torch.empty_like(local) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, local)
        return torch.cat(parts)

    @staticmethod
    def backward(_context: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total.chunk(dist.get_world_size())[dist.get_rank()]


def local_device(name: str) -> torch.device:
    """Return the device called `name`; of several processes, each takes the GPU of its own number.

    Raises
    ------
    UsageError
        Several processes of a machine were given one GPU, or are more than its GPUs.
    """
    device = torch.device(name)
    if device.type != "cuda" or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return device
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if device.index is not None:
        if here > 1:
            raise UsageError(
                f"--device {name} is one GPU for the {here} processes that torchrun started here: leave it out"
            )
        return device
    if here > (gpus := torch.cuda.device_count()):
        raise UsageError(
            f"torchrun started {here} processes here, which has {gpus} GPU{'s' * (gpus != 1)}: give "
            f"--nproc-per-node {gpus}, or --device cpu"
        )
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def join(device: torch.device) -> Group:
    """Join torchrun's process group (gloo on the CPU, nccl on GPUs); one process where there is none."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        return Group()
    if device.type == "cuda":
        torch.cuda.set_device(device)  # nccl's collectives run on the current device
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Group(dist.get_rank(), world)
