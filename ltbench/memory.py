"""What a machine lacks: memory, recognised in every library's words and answered with the setting to lower, or
the compiler that --compile needs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from ltbench.errors import LtbenchError, OutOfMemory, UsageError
from ltbench.spec import RunSpec

_WORDS = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "cudaerrormemoryallocation",
)
_COMPILER = ("torch._inductor", "torch._dynamo")  # where the exceptions of torch.compile live


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an exception says that a device or the machine has no memory left."""
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in _WORDS)


@contextlib.contextmanager
def explained(kind: str, spec: RunSpec, env: Any) -> Iterator[None]:
    """Turn a stage's memory and compiler errors into one sentence that names the setting to change.

    Parameters
    ----------
    kind : train, sample, score or probe.
    env : the stage's `ltbench.runtime.Environment`.
    """
    try:
        yield
    except LtbenchError:
        raise
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            if env.compile and type(error).__module__.startswith(_COMPILER):
                raise UsageError(
                    f"torch.compile cannot work here ({str(error).strip().partition(chr(10))[0]}): install a C++ "
                    "compiler (on a GPU, Triton), or leave --compile out, which changes nothing but speed"
                ) from error
            raise
        raise OutOfMemory(
            f"{env.device} ran out of memory in the {kind} stage: {advice(kind, spec, env)}"
        ) from error


def advice(kind: str, spec: RunSpec, env: Any) -> str:
    """Return what to lower so that a stage fits."""
    if kind == "train":
        return _train_advice(spec)
    if kind in ("sample", "probe") and env.sample_batch > 1:
        return f"add --sample-batch {env.sample_batch // 2} (now {env.sample_batch}), which changes no key"
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
