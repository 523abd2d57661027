"""What a machine has and lacks: versions, devices, data, weights; and the published check values.

`examine` only looks. `check_golden` computes: where CIFAR-10 and Inception's or VGG's weights are present, the
harness must find the numbers that others have published for the real images.
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from ltbench.cli.console import make_console, styled
from ltbench.data import Dataset, default_data_root, get_source, list_sources, load_dataset
from ltbench.data.facts import absent_files
from ltbench.environment import usable_device
from ltbench.errors import DataMissing
from ltbench.extractors.registry import cached_features, get_extractor, known_extractors
from ltbench.metrics.registry import get_metric
from ltbench.runs.layout import CACHE
from ltbench.runs.provenance import code_version, machine
from ltbench.specs import DataSpec

console = make_console()
State = Literal["ok", "missing", "note"]
_EXTRAS = {
    "submitit": "`ltbench run --slurm` needs it: pip install 'ltbench[slurm]'",
    "cleanfid": "FID (clean) needs it: pip install 'ltbench[inception]'",
    "torch_fidelity": "VGG16, CLIP and DINOv2 features need it: pip install 'ltbench[inception]'",
}


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, how it stands, and what to do where it is missing."""

    topic: str
    name: str
    state: State
    text: str
    advice: str = ""


def examine(data_root: Path | None = None, out: Path = Path("runs")) -> list[Finding]:
    """Look at the machine, at every data set and at every extractor's weights; nothing is downloaded."""
    return [*_software(), *_devices(out), *_data(data_root), *_weights()]


def _software() -> Iterator[Finding]:
    code = code_version()
    commit = f", commit {code['git_commit'][:10]}" if code.get("git_commit") else ""
    dirty = " with changes" if code.get("git_dirty") else ""
    yield Finding("software", "ltbench", "ok", f"{code['ltbench']}{commit}{dirty}")
    yield Finding("software", "python", "ok", platform.python_version())
    for name, installed in machine()["libraries"].items():
        if installed is not None:
            yield Finding("software", name, "ok", installed)
    for module, advice in _EXTRAS.items():
        if find_spec(module) is None:
            yield Finding("software", module, "missing", "not installed", advice)


def _devices(out: Path) -> Iterator[Finding]:
    facts = machine()
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else facts["cores"]
    yield Finding(
        "devices", "cpu", "ok", f"{facts['processor']}, {usable} cores, {facts['memory_gb']} GB of memory"
    )
    limit = os.environ.get("OMP_NUM_THREADS")
    yield Finding(
        "devices",
        "threads",
        "ok",
        f"{torch.get_num_threads()} by default{f' (OMP_NUM_THREADS={limit})' if limit else ''}; a worker of "
        "`ltbench run` uses one, since results are bit-identical only at one number of threads",
    )
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        bf16 = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "no bf16"
        yield Finding(
            "devices",
            f"cuda:{index}",
            "ok",
            f"{properties.name}, {properties.total_memory / 2**30:.0f} GB, {bf16}",
        )
    if torch.backends.mps.is_available():
        yield Finding("devices", "mps", "ok", "Apple's GPU; --device mps uses it, nothing does by itself")
    elif not torch.cuda.is_available():
        built = torch.version.cuda
        reason = (
            f"PyTorch is built for CUDA {built}, but finds no GPU"
            if built
            else "this PyTorch is built without CUDA"
        )
        yield Finding(
            "devices",
            "gpu",
            "note",
            reason,
            "the demo and Fashion-MNIST run on the CPU; the papers' cells need a GPU",
        )
    folder = next(path for path in (out.resolve(), *out.resolve().parents) if path.exists())
    yield Finding("devices", "disk", "ok", f"{shutil.disk_usage(folder).free / 1e9:.0f} GB free in {folder}")


def _data(data_root: Path | None) -> Iterator[Finding]:
    for row in list_sources(data_root=data_root):
        name = row.source.name
        if row.found:
            yield Finding("data", name, "ok", str(row.at or "inside scikit-learn"))
        else:
            looked = f"not in {', '.join(map(str, row.looked))}" if row.looked else row.note
            yield Finding("data", name, "missing", looked, row.advice)


def _weights() -> Iterator[Finding]:
    for row in known_extractors():
        if row.found:
            yield Finding("weights", row.name, "ok", str(row.at))
        else:
            yield Finding("weights", row.name, "missing", f"{row.title} not available", row.advice)


# -- published check values -------------------------------------------------------------------------


@dataclass(frozen=True)
class CheckValue:
    """A published number about CIFAR-10's real images.

    Attributes
    ----------
    metric, output
        Of `ltbench.metrics`.
    extractor
        Whose features.
    train, test
        Images of each set, the first in file order; None: all.
    value, tolerance
        Published, and how far ours may be from it. Where the publisher's subset of images is
        not on record, the tolerance is what another subset of that size changes.
    """

    metric: str
    output: str
    extractor: str
    train: int | None
    test: int | None
    value: float
    tolerance: float

    @property
    def name(self) -> str:
        """The check in words."""
        sets = f"train ({self.train or 'all'})"
        if self.test != 0:
            sets += f" vs test ({self.test or 'all'})"
        return f"{self.output} of {self.extractor}, {sets}"


CHECK_VALUES = (
    CheckValue("frechet", "frechet", "inception", None, None, 3.1508, 0.03),  # TF original; numpy port 3.1525
    CheckValue("inception_score", "inception_score", "inception-v3-compat", None, 0, 11.23678, 0.09514),
    CheckValue("frechet", "frechet", "inception", 5000, 5000, 10.32333, 0.3),
    CheckValue("kid", "kid", "inception", 5000, 5000, -2.908e-5, 2e-4),
    CheckValue("precision_recall", "precision", "vgg16", 5000, 5000, 0.6852, 0.01),
    CheckValue("precision_recall", "recall", "vgg16", 5000, 5000, 0.6908, 0.01),
    CheckValue("frechet", "frechet", "inception", 256, 256, 110.281, 4.0),
)


@dataclass(frozen=True)
class CheckResult:
    """What came of a check: our value, or None and what is missing."""

    check: CheckValue
    value: float | None
    missing: str = ""

    @property
    def agrees(self) -> bool | None:
        """Whether ours is within the tolerance; None where nothing could be computed."""
        return None if self.value is None else abs(self.value - self.check.value) <= self.check.tolerance


def check_golden(
    data_root: Path | None,
    cache: Path,
    device: str = "cpu",
    checks: Sequence[CheckValue] = CHECK_VALUES,
    dataset: str = "cifar10_lt",
    progress: Callable[[str], None] = lambda _: None,
) -> list[CheckResult]:
    """Compute every published value whose data and weights are present.

    Parameters
    ----------
    data_root
        Folder of the data sets; None: the default one.
    cache
        Folder of features, so that a second call is quick.
    device
        Where features are computed.
    checks
        The published values to compare with.
    dataset
        Name of the data set that the values are of.
    progress
        Called with each check's name before it is computed.
    """
    root = default_data_root() if data_root is None else data_root
    if not get_source(dataset).status(root).found:
        return [CheckResult(check, None, absent_files(dataset, root)) for check in checks]
    cell = load_dataset(DataSpec(dataset=dataset, imbalance_ratio=1.0), root)
    results = []
    for check in checks:
        progress(check.name)
        try:
            results.append(CheckResult(check, _measure(check, cell, cache, device)))
        except DataMissing as error:
            results.append(CheckResult(check, None, str(error)))
    return results


def _measure(check: CheckValue, dataset: Dataset, cache: Path, device: str) -> float:
    extractor, metric = get_extractor(check.extractor, device=device), get_metric(check.metric)

    def of(images: np.ndarray, count: int | None) -> np.ndarray:
        output = cached_features(extractor, images[:count], cache / "features")
        array = output.logits if metric.needs == "logits" else output.features
        assert array is not None  # the checks on logits name extractors with a classifier
        return array

    train = of(dataset.reference.images, check.train)
    inputs: dict[str, Any] = {"seed": 0}
    if check.test == 0:
        inputs["generated"] = train
    else:
        inputs |= {"reference": train, "generated": of(dataset.heldout.images, check.test)}
    return float(metric(**inputs)[check.output])


# -- what is printed -----------------------------------------------------------------------------------


def show_doctor(golden: bool, out: Path, data_root: Path | None, device: str | None) -> bool:
    """Print what is there, what is missing and what to do; return whether no published value is missed."""
    colours = {"ok": "green", "missing": "red", "note": "yellow"}
    marks = {state: (f"{state:<7}", colour) for state, colour in colours.items()}
    topic = ""
    for finding in examine(data_root, out):
        if finding.topic != topic:
            topic = finding.topic
            console.print(styled((topic, "bold")))
        console.print(
            styled("  ", marks[finding.state], f" {finding.name:<22} {finding.text}"), soft_wrap=True
        )
        if finding.state != "ok" and finding.advice:
            console.print(f"          {finding.advice}", soft_wrap=True)
    if not golden:
        return True
    console.print(styled(("published check values", "bold")))
    with console.status("") as status:
        results = check_golden(
            data_root, out / CACHE, usable_device(device), progress=lambda text: status.update(styled(text))
        )
    for result in results:
        check = result.check
        stated = f"published {check.value:g} +- {check.tolerance:g}"
        if result.value is None:
            console.print(styled("  ", marks["missing"], f" {check.name}, {stated}"), soft_wrap=True)
            console.print(f"          {result.missing}", soft_wrap=True)
            continue
        mark = marks["ok"] if result.agrees else ("differs", "red")
        console.print(styled("  ", mark, f" {check.name}: {result.value:.6g}, {stated}"), soft_wrap=True)
    return all(result.agrees is not False for result in results)
