"""The host's share of a GPU's training step: CPU milliseconds that drawing a batch takes, beside a step's time."""

import time

import numpy as np
import torch

STEP = 15.0  # ms: a step of the 35.7 M U-Net on a current data-centre card, batch 128 at 3x32x32 (stated, not measured)
STEPS = 200


def measure(_) -> str:
    """Part ``host``: return the table as Markdown."""
    from steps import synthetic_cell

    from ltbench.method import Needs
    from ltbench.spec import TrainSpec
    from ltbench.training.batches import BatchSource

    torch.set_num_threads(1)
    cell, spec = synthetic_cell("cifar10_lt", (3, 32, 32)), TrainSpec(batch_size=128)
    rows = []
    for name, needs in {
        "natural": Needs(),
        "tempered": Needs(draw=0.5),
        "natural, with a balanced reference": Needs(reference="balanced"),
    }.items():
        source = BatchSource(cell, spec, needs, 0, torch.device("cpu"))
        cpu, wall = [], []
        for step in range(STEPS):
            before, started = time.thread_time(), time.perf_counter()
            source.draw(step)
            cpu.append(1e3 * (time.thread_time() - before))
            wall.append(1e3 * (time.perf_counter() - started))
        low, middle, high = np.percentile(cpu, [25, 50, 75])
        rows.append(
            f"| {name} | {middle:.2f} ({low:.2f}-{high:.2f}) | {np.median(wall):.2f} | {middle / STEP:.0%} |"
        )
    return "\n".join(
        [
            f"Drawing one batch of 128 images, 3x32x32, on one thread; n = {STEPS} steps, median (quartiles). A step of the "
            f"GPU is taken as {STEP:g} ms.",
            "",
            "| Draw | CPU ms | Wall ms | CPU of a step |",
            "| :-- | --: | --: | --: |",
            *rows,
            "",
            "On a GPU a thread draws the next batch and copies it from pinned memory while the device works.",
        ]
    )
