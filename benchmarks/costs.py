"""What the harness costs beside the work: start-up, the harness around runs, preparing data."""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import sweep
from pairs import Spread
from PIL import Image

STARTED = {
    "python -c pass": ["-c", "pass"],
    "ltbench --help": ["-m", "ltbench", "--help"],
    "ltbench plan --help": ["-m", "ltbench", "plan", "--help"],
    "import torch": ["-c", "import torch"],
}


def started(arguments: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.perf_counter() - start


def start_up(times: int) -> list[str]:
    """Rows of wall seconds of a fresh process, the commands taking turns."""
    taken: dict[str, list[float]] = {name: [] for name in STARTED}
    for number in range(times + 1):
        for name, arguments in STARTED.items():
            seconds = started(arguments)
            if number:  # the first round fills the disk cache
                taken[name].append(seconds)
    return [f"| `{name}` | {Spread.of(seconds).text()} |" for name, seconds in taken.items()]


def harness(runs: int) -> list[str]:
    """Rows of CPU seconds; the measurement is `sweep`'s."""
    with tempfile.TemporaryDirectory() as folder:
        survey = sweep.expand_and_survey(runs, Path(folder) / "survey")
        worker = sweep.overhead(max(100, runs // 25), Path(folder) / "overhead")
    return [
        f"| expand {survey['runs']} runs and look up {survey['stages']} stages, CPU s | {survey['total']['cpu']:.2f} |",
        f"| claim, record and publish a run that does nothing, CPU s | {worker['cpu a run']:.4f} |",
    ]


def preparation(images: int, threads: int) -> list[str]:
    """Rows of images a second: JPEG files of 178x218 turned into 64x64 arrays, by one process and by several."""
    from ltbench.data.prepare.prepare import prepare

    rows = []
    with tempfile.TemporaryDirectory() as name:
        source, stream = Path(name) / "images", np.random.default_rng(0)
        smooth = np.linspace(0, 200, 218)[:, None, None] + np.zeros((218, 178, 3))
        for k in range(5):
            (source / f"class{k}").mkdir(parents=True)
            for number in range(images // 5):
                pixels = smooth + stream.integers(0, 40, smooth.shape)
                Image.fromarray(pixels.astype(np.uint8)).save(
                    source / f"class{k}" / f"{number}.jpg", quality=90
                )
        for workers in sorted({1, threads}):
            taken = []
            for repeat in range(3):
                start = time.perf_counter()
                prepare(
                    "folder_lt", source, Path(name) / f"{workers}-{repeat}", image_size=64, workers=workers
                )
                taken.append(time.perf_counter() - start)
            rate = images / statistics.median(taken)
            rows.append(
                f"| prepare {images} JPEG files to 64x64, {workers} process(es), images/s | {rate:.0f} |"
            )
    return rows


def measure(options) -> str:
    """Part ``startup``: return the table as Markdown."""
    times = max(3, options.pairs // 2)
    return "\n".join(
        [
            f"Start-up: wall seconds of a fresh process, n = {times}, median (quartiles).",
            "",
            "| What | |",
            "| :-- | --: |",
            *start_up(times),
            *harness(options.runs),
            *preparation(options.images, options.threads),
        ]
    )
