"""Provenance: code, versions, machine, threads and cost of each stage, to ``provenance.json`` and back."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import math
import os
import platform
import resource
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import ltbench
from ltbench.errors import CheckpointError, Interrupted
from ltbench.files import locked, read_object, write_json
from ltbench.runs.digests import check_digest, recording
from ltbench.runs.layout import PROVENANCE, files_below

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
    """Return ltbench's version, and its git commit and dirty flag where it runs from a checkout; None: unknown."""
    here = Path(ltbench.__file__).resolve().parent
    out: dict[str, Any] = {"ltbench": ltbench.__version__}
    if (here.parent / ".git").exists():
        out["git_commit"] = _git(here.parent, "rev-parse", "HEAD")
        changed = _git(here.parent, "status", "--porcelain", "--", "ltbench", "methods", "baselines")
        out["git_dirty"] = None if changed is None else bool(changed)
        methods = importlib.util.find_spec("ltbench.methods")  # of one checkout, see `check_one_checkout`
        for place in (methods.submodule_search_locations or ()) if methods else ():
            out["methods_git_commit"] = _git(Path(place), "rev-parse", "HEAD")
    return out


def _git(place: Path, *words: str) -> str | None:
    """Return what git says of a folder; None where it is not installed, or refuses ("dubious ownership")."""
    try:
        done = subprocess.run(["git", *words], cwd=place, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return None if done.returncode else done.stdout.strip()


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
    """Measures a stage's wall and CPU seconds, from when it is made."""

    def __init__(self) -> None:
        self.wall, self.cpu = time.monotonic(), time.process_time()
        self.began = datetime.now(UTC).isoformat(timespec="microseconds")

    @contextlib.contextmanager
    def recording(
        self, folder: Path, stage: str, device: str, guard: Callable[[], None] | None = None
    ) -> Iterator[Sitting]:
        """Record the block as one sitting, also where a soft stop ends it.

        `guard` is called before it is written and may withhold the record.
        """
        sitting = Sitting(self, folder, {"stage": stage, "device": device}, guard)
        try:
            yield sitting
        except Interrupted:
            sitting.keep()
            raise
        sitting.finish()


@dataclass
class Sitting:
    """A stage's entry in ``provenance.json``: what was done of it in one go, as `StageClock.recording` yields it.

    Attributes
    ----------
    clock : when it began.
    folder : whose record it is.
    more : what the entry says beside times and machine.
    guard : called before it is written; may withhold it.
    """

    clock: StageClock
    folder: Path
    more: dict[str, Any]
    guard: Callable[[], None] | None = None

    def keep(self) -> None:
        """Put on record what was done so far: called before that is published, so that a kill does not lose it."""
        self._write({"interrupted": True})

    def finish(self) -> None:
        """Put on record that the sitting did all of it."""
        self._write({})

    def _write(self, how: dict[str, Any]) -> None:
        import torch

        entry = {
            "began": self.clock.began,
            "wall_seconds": round(time.monotonic() - self.clock.wall, 3),
            "cpu_seconds": round(time.process_time() - self.clock.cpu, 3),
            "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "processor": machine()["processor"],  # a folder may have been worked on by several machines
            "threads": torch.get_num_threads(),
            "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "code": code_version(),
            **self.more,
            **how,
        }
        if self.guard is not None:
            self.guard()
        with locked(self.folder):
            content = read_provenance(self.folder)
            others = [kept for kept in content.get("stages", []) if kept.get("began") != self.clock.began]
            changed = {**content, "stages": [*others, entry], "machine": machine()}
            write_provenance(self.folder, changed, self.guard)


# -- reading ----------------------------------------------------------------------------------------------


def write_provenance(
    folder: Path, content: Mapping[str, Any], guard: Callable[[], None] | None = None
) -> None:
    """Write a training's or sample set's ``provenance.json``; `guard` may withhold it."""
    with recording(folder / PROVENANCE, guard) as temporary:
        write_json(temporary, content)


def read_provenance(folder: Path) -> dict[str, Any]:
    """Return a training's or sample set's ``provenance.json``, empty where there is none.

    Raises
    ------
    CheckpointError
        The file is cut, or of another version.
    """
    path = folder / PROVENANCE
    if not path.is_file():
        return {}
    content = read_object(path)
    check_digest(path, "delete it; the numbers stand without it")
    stages = content.get("stages", [])
    if not isinstance(stages, list) or not all(isinstance(stage, dict) for stage in stages):
        raise CheckpointError(
            f"{path} is no provenance of this version: delete it; the numbers stand without it"
        )
    return content


def all_stages(folder: Path) -> list[dict[str, Any]]:
    """Return the recorded sittings that made what is there of a training and of all its sample sets."""
    provenances = [read_provenance(path.parent) for path in files_below(folder, PROVENANCE)]
    return [
        stage
        for provenance in provenances
        for kind in dict.fromkeys(str(stage.get("stage")) for stage in provenance.get("stages", []))
        for stage in recorded(provenance, kind)
    ]


def join_provenances(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record of one training or sample set of which two places have each a part.

    A sitting of both counts once. The training that went further is told last: where the other was begun by itself, it
    is that one's cost.
    """
    sides = [list(side.get("stages", [])) for side in (first, second)]
    before, after = sorted(sides, key=lambda stages: _trained(stages))
    known = [stage for stage in before if stage not in after]
    return {**second, **first, "stages": [*known, *after]}


def _trained(stages: Iterable[Mapping[str, Any]]) -> int:
    """Return the step that trainings came to; a sitting of before that was cut off did not say it."""
    stages = [stage for stage in stages if stage.get("stage") == "train"]
    known = [s.get("reached", 0 if s.get("interrupted") else s.get("steps", 0)) for s in stages]
    return max(known, default=0) or max((s.get("steps", 0) for s in stages), default=0)


def recorded(provenance: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    """Return the sittings of one kind that made what is there: none of a training that was begun again since."""
    stages = [s for s in provenance.get("stages", []) if s.get("stage") == kind]
    begun = [i for i, stage in enumerate(stages) if stage.get("anew")]
    return stages[begun[-1] :] if begun else stages


def compute_seconds(stage: Mapping[str, Any]) -> float:
    """Return what a stage cost: CPU time on a CPU, which other work there hardly moves; else wall-clock time."""
    name = "cpu_seconds" if str(stage.get("device", "")).startswith("cpu") else "wall_seconds"
    value = stage.get(name, stage.get("wall_seconds", math.nan))
    return float(value) if isinstance(value, int | float) else math.nan


def training_cost(provenance: Mapping[str, Any], step: float) -> tuple[float, float]:
    """Return seconds and FLOPs of a training up to a step, nan where they are not recorded."""
    stages = recorded(provenance, "train")
    trained = _trained(stages)
    if not trained:
        return math.nan, math.nan
    share = min(1.0, step / trained)
    flops = [s["flops"] / s["steps"] for s in stages if s.get("flops") and s.get("steps")]
    return sum(map(compute_seconds, stages)) * share, flops[-1] * step if flops else math.nan


def sampling_cost(folders: Iterable[Path]) -> list[float]:
    """Return seconds for 1,000 images of each sample set whose sampling is on record."""
    out = []
    for folder in folders:
        stages = recorded(read_provenance(folder), "sample")
        images = sum(s.get("images", 0) for s in stages[-1:])
        if images:
            out.append(1000 * sum(map(compute_seconds, stages)) / images)
    return out


def processors(provenances: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the processors that the stages of some trainings are recorded on."""
    found = set()
    for provenance in provenances:
        last = provenance.get("machine", {}).get("processor", "?")
        found |= {stage.get("processor", last) for stage in provenance.get("stages", [])} or {last}
    return sorted(found)


def sampled_weights(folder: Path) -> str | None:
    """Return the hash of the weights that a sample set came from, or None where it is not recorded."""
    stages = read_provenance(folder).get("stages", [])
    return next((s["weights"] for s in reversed(stages) if s.get("weights")), None)
