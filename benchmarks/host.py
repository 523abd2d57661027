"""The host's share of a GPU's work: CPU milliseconds of a batch's draws and of a sampling step's noise, beside a step."""

import time

import numpy as np
import torch

STEP = 15.0  # ms: a step of the 35.7 M U-Net on a current data-centre card, batch 128 at 3x32x32 (stated, not measured)
STEPS = 200
IMAGES = 250  # sampled at a time


def timed(action, steps: int = STEPS) -> tuple[np.ndarray, np.ndarray]:
    """Return CPU and wall milliseconds of each call of `action` with a number."""
    cpu, wall = [], []
    for step in range(steps):
        before, started = time.thread_time(), time.perf_counter()
        action(step)
        cpu.append(1e3 * (time.thread_time() - before))
        wall.append(1e3 * (time.perf_counter() - started))
    return np.array(cpu), np.array(wall)


def row(name: str, cpu: np.ndarray, wall: np.ndarray) -> str:
    low, middle, high = np.percentile(cpu, [25, 50, 75])
    bound = "no" if high < STEP else "YES"
    return f"| {name} | {middle:.2f} ({low:.2f}-{high:.2f}) | {np.median(wall):.2f} | {middle / STEP:.0%} | {bound} |"


def measure(_) -> str:
    """Part ``host``: return the table as Markdown."""
    from steps import synthetic_cell

    from ltbench import rng
    from ltbench.diffusion.noise import StepNoise
    from ltbench.method import Needs
    from ltbench.specs import TrainSpec
    from ltbench.training.batches import BatchSource

    torch.set_num_threads(1)
    cell, spec = synthetic_cell("cifar10_lt", (3, 32, 32)), TrainSpec(batch_size=128)
    rows = []
    for name, needs in {
        "a batch of 128, natural": Needs(),
        "a batch of 128, tempered": Needs(draw=0.5),
        "a batch of 128, natural, with a balanced reference": Needs(reference="balanced"),
    }.items():
        source = BatchSource(cell, spec, needs, 0, torch.device("cpu"))
        rows.append(row(name, *timed(source.draw)))
    noise = StepNoise([rng.generator(0, "sample", i) for i in range(IMAGES)], (3, 32, 32), "cpu")
    rows.append(row(f"noise of {IMAGES} images, one sampling step", *timed(lambda _: noise.draw())))
    cpu, wall = timed(lambda _: [rng.generator(0, "sample", i) for i in range(IMAGES)], 20)
    rows.append(row(f"{IMAGES} generators, once a set of steps", cpu, wall))
    return "\n".join(
        [
            f"What one thread of the host draws for a step, images of 3x32x32; n = {STEPS} steps, median (quartiles). A "
            f"step of the GPU is taken as {STEP:g} ms.",
            "",
            "| Drawn | CPU ms | Wall ms | CPU of a step | Bound by it |",
            "| :-- | --: | --: | --: | :-- |",
            *rows,
            "",
            "On a GPU a thread draws the next batch, and the next step's noise of a stochastic sampler, and copies it from "
            "pinned memory on a stream of its own while the device works; deterministic samplers draw once.",
        ]
    )
