"""What `ltbench doctor` says first: what can be run here now, and the one thing that each other cell lacks.

It asks file names and package lists only, so it answers without importing torch; `--all` looks at everything.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ltbench.cli.console import make_console, styled
from ltbench.cli.light import lightly
from ltbench.cli.version import version_text
from ltbench.files import memory_bytes

console = make_console()


@dataclass(frozen=True)
class Readiness:
    """Whether a data set's cells can be run here.

    Attributes
    ----------
    dataset
        Its name.
    missing
        What lacks, the first thing first; empty where a run can start and be scored.
    """

    dataset: str
    missing: tuple[str, ...]


def readiness(data_root: Path | None) -> list[Readiness]:
    """Return each data set with what it lacks: its files, then the weights of its own extractor."""
    from ltbench.data import list_sources

    def weights() -> dict[str, tuple[str, ...]]:
        from ltbench.extractors.registry import auto_extractors, known_extractors

        rows = {row.name: row for row in known_extractors()}
        return {
            source.name: tuple(
                f"weights of {name}, for scores only: {rows[name].advice}"
                for name in auto_extractors(source.name)
                if name in rows and not rows[name].found
            )
            for source in (row.source for row in list_sources(data_root=data_root))
        }

    lacking = lightly(weights)
    sources = []
    for row in list_sources(data_root=data_root):
        files = () if row.found else (f"its files: {row.advice}",)
        sources.append(Readiness(row.source.name, (*files, *lacking[row.source.name])))
    return sources


def graphics() -> list[str]:
    """Return the GPUs that NVIDIA's driver names, without asking torch."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()] if done.returncode == 0 else []


def _machine(out: Path) -> Iterator[str]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = memory_bytes() / 2**30
    folder = next(path for path in (out.resolve(), *out.resolve().parents) if path.exists())
    free = shutil.disk_usage(folder).free / 1e9
    yield f"{cores} cores, {memory:.0f} GB of memory, {free:.0f} GB free in {folder}"
    gpus = graphics()
    yield (
        f"GPU: {'; '.join(gpus)}"
        if gpus
        else "no GPU: the demo and Fashion-MNIST run on the CPU, papers' cells need one"
    )


def show_overview(data_root: Path | None, out: Path) -> None:
    """Print version, machine, what can be run now, and what each other data set lacks."""
    console.print(version_text(), soft_wrap=True)
    for line in _machine(out):
        console.print(line, soft_wrap=True)
    for module, meaning in (("cleanfid", "FID (clean)"), ("submitit", "--slurm"), ("accelerate", "--track")):
        if find_spec(module) is None:
            extra = {"cleanfid": "inception", "submitit": "slurm", "accelerate": "track"}[module]
            console.print(f"{meaning} needs: pip install 'ltbench[{extra}]'", soft_wrap=True)
    cells = readiness(data_root)
    ready = [cell.dataset for cell in cells if not cell.missing]
    console.print(
        styled(("\nruns now", "bold"), f"  {', '.join(ready)}   (ltbench run; ltbench run -d NAME)"),
        soft_wrap=True,
    )
    for cell in cells:
        if cell.missing:
            more = f"  (and {len(cell.missing) - 1} more)" if len(cell.missing) > 1 else ""
            console.print(
                styled((f"{cell.dataset}", "bold"), f"  lacks {cell.missing[0]}{more}"), soft_wrap=True
            )
    console.print(
        "\nltbench doctor --all: every library, data set and extractor; --golden: published values",
        soft_wrap=True,
    )
