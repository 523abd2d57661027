"""Cost of a report: of the committed studies, and over the number of sample sets from generated scores.

    python benchmarks/run.py --only reports        into RESULTS.md
    python benchmarks/reports.py 50 500 5000       some sizes alone

Each is a process of its own, and CPU time is that of it and its children. Generated scores are a committed digits
run's, under further seeds, with noise.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ltbench.runs.places import places
from ltbench.runs.scores import read_scores, write_scores

TEMPLATES = Path(__file__).parents[1] / "results" / "digits"
METHODS = ("ddpm", "cbdm", "t2h", "coral", "class_balanced")


def generate(root: Path, sets: int) -> None:
    """Write `sets` sample sets of five methods, as many seeds as that takes, at guidance 0 and 1."""
    rng = np.random.default_rng(0)
    runs = places(TEMPLATES)[-1]
    templates = {m: sorted(runs.glob(f"digits_lt-r0.1-{m}-s0-*/samples/*/scores.csv"))[:2] for m in METHODS}
    tables = [read_scores(path) for paths in templates.values() for path in paths]
    for i in range(sets):
        table = tables[i % len(tables)].copy()
        seed = i // len(tables)
        table["train_seed"] = float(seed)
        table["train_key"] = f"{i // 2:064x}"
        table["sample_key"] = f"{i:064x}"
        table["value"] *= 1 + 0.02 * rng.standard_normal(len(table))
        write_scores(root / f"run-{i:05d}" / "scores.csv", table)


def measure_one(sets: int) -> str:
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


def committed(study: str) -> str:
    """Return a table row: a committed study, CPU seconds of `ltbench report` with its children, size of its page."""
    with tempfile.TemporaryDirectory() as name:
        command = [sys.executable, "-m", "ltbench", "report", str(TEMPLATES.parent / study), "--out", name]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        size = (Path(name) / "index.html").stat().st_size / 1e6
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return f"| results/{study} | {seconds:.1f} | {size:.1f} |"


def sizes(numbers: Sequence[int]) -> Iterator[str]:
    """Yield the rows of `measure_one`, a process each."""
    for number in numbers:
        command = [sys.executable, __file__, "--one", str(number)]
        yield subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def measure(_) -> str:
    """Part ``reports``: return the tables as Markdown."""
    studies = [committed(study) for study in ("digits", "fashion")]
    head = ["| `ltbench report` | CPU s | page, MB |", "| :-- | --: | --: |"]
    return "\n".join([*head, *studies, "", *HEAD, *sizes((50, 500, 5000))])


HEAD = ["| sample sets | numbers | CPU s | peak GiB |", "| --: | --: | --: | --: |"]

if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "--one":
        print(measure_one(int(sys.argv[2])))
    else:
        print(*HEAD, *sizes([int(n) for n in sys.argv[1:]] or [50, 500, 5000]), sep="\n")
