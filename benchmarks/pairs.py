"""Two implementations measured in turns within one run, each in a process of its own.

A side is named by "module:function". The function does its imports and returns `build`; `build` makes what
is measured and returns it as a callable without arguments. So each side has its own modules, threads and
memory, and what imports take is not counted. Who goes first alternates from pair to pair.
"""

import gc
import importlib
import multiprocessing
import os
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

MIB = 2**20
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of n numbers."""

    median: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, values) -> "Spread":
        values = sorted(values)
        if len(values) < 2:
            return cls(values[0], values[0], values[0], len(values))
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high, len(values))

    def text(self, digits: int = 3) -> str:
        return f"{self.median:.{digits}g} ({self.low:.{digits}g}-{self.high:.{digits}g})"


@dataclass(frozen=True)
class Comparison:
    """Pairs of measurements of two sides; a ratio is ours / released within a pair.

    Attributes
    ----------
    seconds, ratio, cpu_ratio : wall seconds by side, and ratios of wall and of CPU seconds.
    memory : by side, most MiB held beyond what the process held when its imports were done.
    tensors : by side, most MiB of tensors that one call holds at a time beyond what was there before it.
    notes : by side, what it said of itself.
    """

    seconds: dict[str, Spread]
    ratio: Spread
    cpu_ratio: Spread
    memory: dict[str, float]
    tensors: dict[str, float]
    notes: dict[str, str]


def compare(
    ours,
    released,
    *,
    pairs: int,
    threads: int,
    device: str = "cpu",
    warmup: int = 1,
    count_tensors: bool = False,
) -> Comparison:
    """Measure two sides, each a ("module:function", arguments), in turns.

    `count_tensors`: call each once more, untimed, for `Comparison.tensors`.
    """
    sides = {"ours": Side(*ours, threads, device), "released": Side(*released, threads, device)}
    taken: dict[str, list[dict]] = {name: [] for name in sides}
    try:
        for side in sides.values():
            side.start(warmup)
        for number in range(pairs):
            for name in sides if number % 2 == 0 else reversed(sides):
                taken[name].append(sides[name].ask("time"))
        tensors = {name: side.ask("tensors") for name, side in sides.items() if count_tensors}
    finally:
        for side in sides.values():
            side.stop()

    def ratio(key: str) -> Spread:
        both = zip(taken["ours"], taken["released"], strict=True)
        return Spread.of([max(a[key], 1e-9) / max(b[key], 1e-9) for a, b in both])

    return Comparison(
        {name: Spread.of([one["wall"] for one in runs]) for name, runs in taken.items()},
        ratio("wall"),
        ratio("cpu"),
        {name: max(one["held"] for one in runs) for name, runs in taken.items()},
        tensors,
        {name: side.note for name, side in sides.items()},
    )


def alone(target: str, arguments: dict, *, times: int, threads: int, device: str = "cpu") -> Spread:
    """Return the wall seconds of one implementation; its first call is not counted."""
    side = Side(target, arguments, threads, device)
    try:
        side.start(1)
        return Spread.of([side.ask("time")["wall"] for _ in range(times)])
    finally:
        side.stop()


class Side:
    """One implementation in a process of its own, run when asked."""

    def __init__(self, target: str, arguments: dict, threads: int, device: str) -> None:
        for name in THREAD_VARIABLES:  # read by the fresh process, scipy's library among others
            os.environ[name] = str(threads)
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        given = (theirs, target, arguments, threads, device)
        self.process = context.Process(target=_serve, args=given, daemon=True)
        self.process.start()
        theirs.close()
        self.target, self.note = target, ""

    def start(self, warmup: int) -> None:
        self.note = self._answer()
        for _ in range(warmup):
            self.ask("time")

    def ask(self, what: str):
        """Return one call's times and memory ("time"), or the tensors it holds ("tensors")."""
        self.pipe.send(what)
        return self._answer()

    def _answer(self):
        try:
            answer = self.pipe.recv()
        except EOFError:
            raise SystemExit(f"{self.target} ended early: its own message stands above") from None
        if isinstance(answer, SystemExit):
            raise answer
        return answer

    def stop(self) -> None:
        self.pipe.close()
        self.process.join(10)
        if self.process.is_alive():
            self.process.kill()


def _serve(pipe, target: str, arguments: dict, threads: int, device: str) -> None:
    import torch

    torch.set_num_threads(threads)
    module, function = target.split(":")
    try:
        build = getattr(importlib.import_module(module), function)(**arguments)
        memory = Memory(device)
        action = build()
    except SystemExit as refused:
        pipe.send(refused)
        return
    pipe.send(getattr(action, "note", ""))
    while True:
        try:
            what = pipe.recv()
        except EOFError:
            getattr(action, "close", gc.collect)()
            return
        pipe.send(tensors(action, memory) if what == "tensors" else measured(action, memory))


def measured(action, memory: "Memory") -> dict:
    """Return one call's wall and CPU seconds and memory.

    A call that returns False does not count and is repeated; one that returns a number did a part of the work,
    and the number is the wall seconds that the whole would take.
    """
    while True:
        gc.collect()
        memory.reset()
        memory.wait()
        wall, cpu = time.perf_counter(), time.process_time()
        said = action()
        memory.wait()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        if isinstance(said, float):
            wall, cpu = said, cpu * said / wall
        if said is not False:
            return {"wall": wall, "cpu": cpu, "held": memory.peak() - memory.baseline}


def tensors(action, memory: "Memory") -> float:
    """Return the most MiB of tensors that one call holds at a time, from the allocator's own records."""
    if memory.device == "cuda":
        memory.reset()
        before = memory.now()
        action()
        memory.wait()
        return memory.peak() - before
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        action()
    events = [event for event in record.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = top = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        top = max(top, held)
    return top / MIB


class Memory:
    """Peak memory in MiB: the device's allocations on a GPU, resident memory (Linux) on a CPU."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.baseline = self.now()

    def reset(self) -> None:
        if self.device == "cuda":
            self._cuda().reset_peak_memory_stats()
            return
        with Path("/proc/self/clear_refs").open("w") as handle:
            handle.write("5")

    def wait(self) -> None:
        if self.device == "cuda":
            self._cuda().synchronize()

    def peak(self) -> float:
        """Return the most held since `reset`."""
        return self._cuda().max_memory_allocated() / MIB if self.device == "cuda" else _status("VmHWM")

    def now(self) -> float:
        return self._cuda().memory_allocated() / MIB if self.device == "cuda" else _status("VmRSS")

    @staticmethod
    def _cuda():
        import torch

        return torch.cuda


def _status(field: str) -> float:
    with Path("/proc/self/status").open() as handle:
        return next(int(line.split()[1]) / 1024 for line in handle if line.startswith(field))
