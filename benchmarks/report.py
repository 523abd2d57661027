"""Cost of a report over the number of sample sets, from generated scores: CPU seconds and peak memory.

    python benchmarks/report.py 50 500 5000

Each size is a process of its own. Scores are a committed digits run's, under further seeds, with noise.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from ltbench.runs.scores import read_scores, write_scores

TEMPLATES = Path(__file__).parents[1] / "results" / "digits"
METHODS = ("ddpm", "cbdm", "t2h", "coral", "class_balanced")


def generate(root: Path, sets: int) -> None:
    """Write `sets` sample sets of five methods, as many seeds as that takes, at guidance 0 and 1."""
    rng = np.random.default_rng(0)
    templates = {
        m: sorted(TEMPLATES.glob(f"digits_lt-r0.1-{m}-s0-*/samples/*/scores.csv"))[:2] for m in METHODS
    }
    tables = [read_scores(path) for paths in templates.values() for path in paths]
    for i in range(sets):
        table = tables[i % len(tables)].copy()
        seed = i // len(tables)
        table["train_seed"] = float(seed)
        table["train_key"] = f"{i // 2:064x}"
        table["sample_key"] = f"{i:064x}"
        table["value"] *= 1 + 0.02 * rng.standard_normal(len(table))
        write_scores(root / f"run-{i:05d}" / "scores.csv", table)


def measure(sets: int) -> str:
    """Return a table row: sample sets, numbers, CPU seconds, peak memory."""
    from ltbench.report import write_report

    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        generate(root, sets)
        started = time.process_time()
        report = write_report(root, root / "report")
        seconds = time.process_time() - started
        rows = len(report.document.results.scores)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return f"| {sets:,} | {rows:,} | {seconds:.1f} | {peak:.2f} |"


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "--one":
        print(measure(int(sys.argv[2])))
    else:
        print("| sample sets | numbers | CPU s | peak GiB |\n| --: | --: | --: | --: |", flush=True)
        for size in map(int, sys.argv[1:] or ("50", "500", "5000")):
            subprocess.run([sys.executable, __file__, "--one", str(size)], check=True)
