"""Where the time goes: the demo by method and stage; torch.profiler on its step, `small`'s and `ddpm32`'s."""

import os
import resource
import tempfile
import time
from pathlib import Path

from pairs import Spread
from steps import stepper, synthetic_cell, training_of

ROWS = 12
# name -> network, image, batch, steps, dropout: as in the presets `demo` and `fashion` and the papers' network
STEPS = {
    "tiny": ((1, 8, 8), 64, 20, 0.0),
    "small": ((1, 16, 16), 64, 10, 0.1),
    "ddpm32": ((3, 32, 32), None, 2, 0.1),
}


def profile_step(size: str, options) -> str:
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    import torch
    from torch.profiler import ProfilerActivity, profile

    from ltbench.environment import set_threads

    set_threads(options.threads)
    shape, batch, steps, dropout = STEPS[size]
    batch = batch or options.batch or (128 if options.device == "cuda" else 16)
    cell = synthetic_cell("cifar10_lt", shape)
    training = training_of(options.method, cell, options.device, size=size, dropout=dropout, batch_size=batch)
    one = stepper(training)
    one()
    plain, faults = [], []
    for _ in range(steps):
        start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        one()
        if options.device == "cuda":
            torch.cuda.synchronize()
        plain.append(time.perf_counter() - start)
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    activities = [ProfilerActivity.CPU]
    if options.device == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as record:
        for _ in range(steps):
            one()
    on_device = options.device == "cuda"
    rows = [
        (event.self_device_time_total if on_device else event.self_cpu_time_total, event.count, event.key)
        for event in record.key_averages()
    ]
    total = sum(row[0] for row in rows)
    lines = [
        f"**{size}**, {options.method}, batch {batch}, {'x'.join(map(str, shape))}: "
        f"{1000 * Spread.of(plain).median:.1f} ms a step without the profiler (n = {steps}), "
        f"{Spread.of(faults).median:.0f} page faults a step.",
        "",
        "| Operator | share of own time | ms a step | calls a step |",
        "| :-- | --: | --: | --: |",
    ]
    for microseconds, count, key in sorted(rows, reverse=True)[:ROWS]:
        lines.append(
            f"| `{key[:60]}` | {100 * microseconds / total:.1f} % | {microseconds / 1000 / steps:.2f} "
            f"| {count / steps:.0f} |"
        )
    return "\n".join(lines)


def demo() -> str:
    """Run the demo in this process, one thread, and return the wall seconds of its stages and of its report."""
    from ltbench.environment import Environment, set_threads
    from ltbench.pipeline import run_stage, stages
    from ltbench.report import write_report
    from ltbench.study.file import load_study

    set_threads(1)
    lines, total = [], 0.0
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for run in load_study("demo").runs:
            taken = []
            for stage in stages(run):
                start = time.perf_counter()
                run_stage(stage, root, Environment())
                taken.append(time.perf_counter() - start)
            total += sum(taken)
            lines.append(f"| {run.method.name} | " + " | ".join(f"{seconds:.1f}" for seconds in taken) + " |")
        start = time.perf_counter()
        write_report([root], root / "report")
        report = time.perf_counter() - start
    return "\n".join(
        [
            f"**demo**, one process and one thread: {total:.0f} s for its stages, {report:.1f} s for its report; "
            "`make demo` shares the stages among the cores.",
            "",
            "| Method | train, s | sample, s | score, s |",
            "| :-- | --: | --: | --: |",
            *lines,
        ]
    )


def measure(options) -> str:
    """Part ``profile``: return the tables as Markdown."""
    return "\n\n".join([demo(), *(profile_step(size, options) for size in STEPS)])
