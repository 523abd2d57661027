"""Where a result comes from: code, versions, machine, threads, and what each stage cost."""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import resource
import subprocess
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import ltbench
from ltbench.errors import Interrupted
from ltbench.files import read_json, write_json

_LIBRARIES = (
    "torch",
    "torchvision",
    "diffusers",
    "numpy",
    "scipy",
    "scikit-learn",
    "clean-fid",
    "torch-fidelity",
)


@functools.cache
def code_version() -> dict[str, Any]:
    """Return ltbench's version, and its git commit and dirty flag where it runs from a checkout."""
    here = Path(ltbench.__file__).resolve().parent
    out: dict[str, Any] = {"ltbench": ltbench.__version__}
    if (here.parent / ".git").exists():
        git = functools.partial(subprocess.run, cwd=here.parent, capture_output=True, text=True, check=False)
        out["git_commit"] = git(["git", "rev-parse", "HEAD"]).stdout.strip() or None
        changed = git(["git", "status", "--porcelain", "--", "ltbench", "methods", "baselines"]).stdout
        out["git_dirty"] = bool(changed.strip())
    return out


@functools.cache
def machine() -> dict[str, Any]:
    """Return processor, cores, memory, devices and library versions."""
    import torch

    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":", 1)[1].strip()
            for line in info.read_text().splitlines()
            if line.startswith("model name")
        ]
        model = names[0] if names else model
    libraries: dict[str, str | None] = {}
    for name in _LIBRARIES:
        try:
            libraries[name] = version(name)
        except PackageNotFoundError:
            libraries[name] = None
    return {
        "host": platform.node(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "processor": model,
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "libraries": libraries,
    }


class StageClock:
    """Measures a stage's wall and CPU seconds and writes them into the training folder's provenance."""

    def __init__(self) -> None:
        self.wall, self.cpu = time.monotonic(), time.process_time()

    @contextlib.contextmanager
    def recording(self, folder: Path, stage: str, device: str) -> Iterator[dict[str, Any]]:
        """Record the block, also where a soft stop ends it; what it puts into the yielded dict is kept too."""
        more: dict[str, Any] = {}
        try:
            yield more
        except Interrupted:
            self.record(folder, stage, device, interrupted=True, **more)
            raise
        self.record(folder, stage, device, **more)

    def record(self, folder: Path, stage: str, device: str, **more: Any) -> None:
        """Add this stage's entry to ``provenance.json``; a stage done in several sittings has several."""
        import torch

        path = folder / "provenance.json"
        content = read_json(path) if path.exists() else {"stages": []}
        content["stages"].append(
            {
                "stage": stage,
                "wall_seconds": round(time.monotonic() - self.wall, 3),
                "cpu_seconds": round(time.process_time() - self.cpu, 3),
                "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
                "device": device,
                "processor": machine()["processor"],  # a folder may have been worked on by several machines
                "threads": torch.get_num_threads(),
                "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "code": code_version(),
                **more,
            }
        )
        content["machine"] = machine()
        write_json(path, content)
