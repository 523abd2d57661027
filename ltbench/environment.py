"""Where and how a stage runs: nothing here is in a key, and nothing here may change a result."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


def _quiet(_: dict[str, Any]) -> None:
    return None


def _never() -> bool:
    return False


def _pass() -> None:
    return None


@dataclass
class Environment:
    """What a stage is given besides its spec.

    Attributes
    ----------
    data_root : where data sets are looked for; None: ``$LTBENCH_DATA`` or ``./data``.
    device : torch device name.
    threads : CPU threads of this process.
    progress : called with {"stage", "step", "total", and where known "loss", "rate"}.
    stop : True once a soft stop is asked for; the stage saves and raises `Interrupted`.
    guard : called before every file is published; raises `ClaimLost` to withhold it.
    checkpoint_seconds : least time between two checkpoints of a training.
    compile, channels_last : speed options for the U-Net.
    sample_batch : images a sampling batch.
    """

    data_root: Path | None = None
    device: str = "cpu"
    threads: int = 1
    progress: Callable[[dict[str, Any]], None] = _quiet
    stop: Callable[[], bool] = _never
    guard: Callable[[], None] = _pass
    checkpoint_seconds: float = 60.0
    compile: bool = False
    channels_last: bool = False
    sample_batch: int = 250


def speed_up(denoiser: nn.Module, env: Environment) -> Any:
    """Return the U-Net laid out and compiled as `env` asks; its parameters stay the same objects.

    A compiled network draws dropout as an eager one does, so that only rounding differs.
    """
    if env.channels_last:
        denoiser.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if not env.compile:
        return denoiser
    import torch._inductor.config as inductor

    inductor.fallback_random = True
    return torch.compile(denoiser)


def settle(threads: int) -> None:
    """Set this process's CPU threads, and let it keep the memory that a step frees for the next one.

    glibc hands large blocks back to the system, which clears each page again when a step asks for it: up to
    7 % of a training step on a CPU. Other C libraries are left as they are.
    """
    torch.set_num_threads(threads)
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_M_MMAP_THRESHOLD, 32 * 2**20)  # the most that glibc takes
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def default_device() -> str:
    """Return ``cuda`` where there is one, else ``cpu``."""
    return "cuda" if torch.cuda.is_available() else "cpu"
