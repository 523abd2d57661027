"""Bundles: what packing, unpacking, reading and reporting 1,000 sample sets cost.

Run folders are made as the report's tests make them (digits' classes and groups, made-up scores, real sizes of
images), so nothing is trained; seconds are of one process, the bundle's size is that on disk.
"""

import os
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "helpers"))


def make_runs(root: Path, sample_sets: int) -> None:
    """Write trainings of ten sample sets each: two methods, five guidance scales, two sampling seeds."""
    from report_folders import make_spec, score_rows, write_run

    for seed in range(max(1, sample_sets // 20)):
        for method in ("ddpm", "coral"):
            for guidance in (0.0, 0.5, 1.0, 1.5, 2.0):
                for sample_seed in (0, 1):
                    spec = make_spec(method, seed, guidance=guidance, sample_seed=sample_seed)
                    write_run(root, spec, score_rows(spec))


def timed(action) -> tuple[object, str]:
    wall, cpu = time.perf_counter(), time.process_time()
    value = action()
    return value, f"{time.process_time() - cpu:.1f} | {time.perf_counter() - wall:.1f}"


def measure(_) -> str:
    """Part ``bundles``: return the table as Markdown."""
    from ltbench.report import write_report
    from ltbench.runs.bundle import read_bundle, unpack
    from ltbench.runs.pack import pack
    from ltbench.runs.results import load_scores

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        os.environ["LTBENCH_CACHE"] = str(folder / "cache")
        make_runs(folder / "runs", 1000)
        before = [p for p in (folder / "runs").rglob("*") if p.is_file()]
        packed, packing = timed(lambda: pack([folder / "runs"], folder / "b", keep_arrays=None))
        bundle, reading = timed(lambda: read_bundle(folder / "b"))
        _, unpacking = timed(lambda: unpack(bundle, folder / "back"))
        scores, loading = timed(lambda: load_scores(folder / "b"))
        _, reporting = timed(lambda: write_report(folder / "b", folder / "report"))
        after = [p for p in (folder / "b").rglob("*") if p.is_file()]
        size = [sum(p.stat().st_size for p in files) / 1e6 for files in (before, after)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return "\n".join(
        [
            f"{packed.index['trainings']} trainings, 1,000 sample sets, {len(scores):,} numbers: {len(before):,} files of "
            f"{size[0]:.0f} MB become {len(after)} of {size[1]:.1f} MB. Peak memory of all: {peak:.0f} MB.",
            "",
            "| What | CPU s | Wall s |",
            "| :-- | --: | --: |",
            f"| `ltbench pack` | {packing} |",
            f"| opening: every file against its digest | {reading} |",
            f"| `ltbench unpack` | {unpacking} |",
            f"| `load_scores` of the bundle, first time | {loading} |",
            f"| `ltbench report` of the bundle | {reporting} |",
        ]
    )
