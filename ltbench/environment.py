"""Where and how a stage runs, from settings and hooks to a prepared process: nothing here is in a key.

`Settings` can be written to a plan and sent to another machine; an `Environment` is the same with the hooks of
the process that runs the stage. What a machine lacks (memory, a compiler) is answered here too.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltbench.errors import LtbenchError, OutOfMemory, UsageError, is_out_of_memory
from ltbench.specs import RunSpec

if TYPE_CHECKING:  # torch takes seconds, and a driver that only plans needs none of it
    from torch import nn

BEAT_SECONDS = 5.0
LEASE_SECONDS = 60.0
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


def _quiet(_: dict[str, Any]) -> None:
    return None


def _unlogged(_: int, __: dict[str, float]) -> None:
    return None


def _unkept(_: int) -> None:
    return None


def _never() -> bool:
    return False


def _pass() -> None:
    return None


@dataclass(frozen=True)
class Settings:
    """How stages run and workers work: plain values, in no key. They change rounding, and dropout's masks, at most.

    Attributes
    ----------
    data_root
        Where data sets are looked for; None: ``$LTBENCH_DATA`` or ``./data``.
    device
        Torch device name. Each kind draws dropout's masks from a generator of its own.
    threads
        CPU threads of a process.
    checkpoint_seconds
        Least time between two checkpoints of a training.
    sample_batch
        Images a sampling batch; another size changes rounding only.
    compile, channels_last, cuda_graphs
        Speed options for the U-Net. They change rounding only, but for
        dropout under channels_last: a mask is drawn in the order of memory, so it is another.
    recompute
        Less memory for more time: activations are computed again for the backward pass.
    beat
        Seconds between two heartbeats of a worker.
    lease
        A claim silent for so long may be taken over.
    track
        Trackers that runs are shown in, comma-separated: ``tensorboard,wandb``.
    """

    data_root: Path | None = None
    device: str = "cpu"
    threads: int = 1
    checkpoint_seconds: float = 60.0
    sample_batch: int = 250
    compile: bool = False
    channels_last: bool = False
    cuda_graphs: bool = False
    recompute: bool = False
    beat: float = BEAT_SECONDS
    lease: float = LEASE_SECONDS
    track: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the values as JSON has them: what a plan keeps and a worker's command line carries."""
        return {**asdict(self), "data_root": None if self.data_root is None else str(self.data_root)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Settings:
        """Return settings from `as_json`; what an older or newer version wrote besides is left out."""
        known = {name: values[name] for name in cls.__dataclass_fields__ if name in values}
        if known.get("data_root") is not None:
            known["data_root"] = Path(known["data_root"])
        return cls(**known)


@dataclass(frozen=True)
class Environment(Settings):
    """What a stage is given besides its spec: `Settings`, and the hooks of the process that runs it.

    Attributes
    ----------
    progress
        Called with {"stage", "step", "total", and where known "loss", "rate"}.
    stop
        True once a soft stop is asked for; the stage saves and raises `Interrupted`.
    guard
        Called before every file is published; raises `ClaimLost` to withhold it.
    keep
        Called with the step before a training publishes what it did so far: puts its cost on record.
    log
        Called with the step and the values of each row of the training's log.
    """

    progress: Callable[[dict[str, Any]], None] = _quiet
    stop: Callable[[], bool] = _never
    guard: Callable[[], None] = _pass
    keep: Callable[[int], None] = _unkept
    log: Callable[[int, dict[str, float]], None] = _unlogged

    @classmethod
    def of(cls, settings: Settings, **hooks: Any) -> Environment:
        """Return the environment of a process that runs with `settings` and has these hooks."""
        return cls(**{name: getattr(settings, name) for name in Settings.__dataclass_fields__}, **hooks)


def speed_up(denoiser: nn.Module, env: Settings) -> Any:
    """Return the U-Net laid out and compiled as `env` asks; its parameters stay the same objects.

    A compiled network draws dropout as an eager one does, so that only rounding differs.
    """
    import torch

    if env.channels_last:
        denoiser.to(memory_format=torch.channels_last)
    if env.recompute:
        denoiser.recompute_activations()  # type: ignore[operator]
    if not (env.compile or env.cuda_graphs):
        return denoiser
    import torch._inductor.config as inductor

    inductor.fallback_random = True
    return torch.compile(denoiser, mode="reduce-overhead" if env.cuda_graphs else None)


def set_threads(threads: int) -> None:
    """Set this process's CPU threads, and let it keep the memory that a step frees for the next one.

    glibc hands large blocks back to the system, which clears each page again when a step asks for it: up to
    7 % of a training step on a CPU. Other C libraries are left as they are.
    """
    import torch

    torch.set_num_threads(threads)
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_M_MMAP_THRESHOLD, 32 * 2**20)  # the most that glibc takes
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def default_device() -> str:
    """Return ``cuda`` where there is one, else ``cpu``."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def free_memory() -> int:
    """Return the bytes of main memory that nothing uses; where a system does not tell, all of it."""
    pages = "SC_AVPHYS_PAGES" if "SC_AVPHYS_PAGES" in os.sysconf_names else "SC_PHYS_PAGES"
    return os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")


def usable_device(name: str | None) -> str:
    """Return the device of that name, or the default one, after trying it.

    Raises
    ------
    UsageError
        It computes nothing here.
    """
    if name is None:
        return default_device()
    import torch

    try:
        name = str(name)  # a torch.device too
        if not re.fullmatch(r"(cpu|cuda|xpu|mps)(:[0-9]{1,3})?", name):  # "meta" computes nothing
            raise RuntimeError("no device that computes")
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        lacks = {
            "cuda": "PyTorch finds no such GPU: leave the device out, or name cpu",
            "mps": "PyTorch finds no Apple GPU, which needs a Mac with Apple silicon: leave the device out, or name cpu",
        }
        advice = lacks.get(name.partition(":")[0], "try cpu, cuda or mps")
        raise UsageError(f"device {name!r} cannot be used here: {advice}") from error
    return name


# -- what a machine lacks -------------------------------------------------------------------------------

_COMPILER = ("torch._inductor", "torch._dynamo")  # where the exceptions of torch.compile live


@contextlib.contextmanager
def explain_failures(kind: str, spec: RunSpec, env: Settings) -> Iterator[None]:
    """Turn a stage's memory and compiler errors into one sentence that names the setting to change.

    Parameters
    ----------
    kind
        Train, sample, score or probe.
    spec
        The run that the stage belongs to, for the settings that its advice names.
    env
        What the stage runs with.

    Raises
    ------
    OutOfMemory
        The device or the machine has no memory left; says what to lower.
    UsageError
        torch.compile has no compiler here.
    """
    try:
        yield
    except LtbenchError:
        raise
    except Exception as error:
        if not is_out_of_memory(error):
            flag = "--compile" if env.compile else "--cuda-graphs" if env.cuda_graphs else ""
            if flag and type(error).__module__.startswith(_COMPILER):
                raise UsageError(
                    f"torch.compile cannot work here ({str(error).strip().partition(chr(10))[0]}): install a C++ "
                    f"compiler (on a GPU, Triton), or leave {flag} out, which changes nothing but speed"
                ) from error
            raise
        raise OutOfMemory(
            f"{env.device} ran out of memory in the {kind} stage: {advice(kind, spec, env)}"
        ) from error


def advice(kind: str, spec: RunSpec, env: Settings) -> str:
    """Return what to lower so that a stage fits."""
    if kind == "train":
        return _train_advice(spec)
    if kind in ("sample", "probe") and env.sample_batch > 1:
        return f"add --sample-batch {env.sample_batch // 2} (now {env.sample_batch}), which changes no key"
    if kind == "score":
        return (
            "use fewer --workers, or ask for fewer score.metrics and score.extractors at a time, which `ltbench evaluate` "
            "adds to"
        )
    return "use fewer --workers, or another --device"


def _train_advice(spec: RunSpec) -> str:
    from ltbench.method.registry import create

    processes = int(os.environ.get("WORLD_SIZE", "1"))
    local = spec.train.batch_size // processes
    micro = min(spec.train.micro_batch or local, local)
    if create(spec.method.name, spec.method.hyperparameters).needs.batch_coupled:
        return (
            f"lower train.batch_size (now {spec.train.batch_size}; {spec.method.name} compares the images of a batch, "
            "so train.micro_batch cannot cut it), or share it among more processes with torchrun"
        )
    if micro == 1:
        return "use a smaller model.size"
    smaller = max(n for n in range(1, micro // 2 + 1) if local % n == 0)
    return f"set train.micro_batch={smaller} (now {micro}) or lower train.batch_size; either makes it another run"
