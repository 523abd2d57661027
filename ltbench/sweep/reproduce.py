"""Make a recorded run again in a fresh folder and compare: logs, weights, images and scores.

On the same class of machine (processor or GPU, versions of the libraries that compute, device, threads) every
bit must agree. Elsewhere rounding differs and a training amplifies it, so that only scores are judged: those
over all classes must agree within a relative tolerance; how far weights and images are apart is reported.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console

from ltbench.environment import Settings
from ltbench.errors import CheckpointError, LtbenchError, UsageError
from ltbench.extractors.torchscript import require_trust
from ltbench.files import decoding, require_utf8, write_json
from ltbench.runs.layout import IMAGES, PROVENANCE, SAMPLES, SCORES, TRAIN_LOG, WEIGHTS, folder_name
from ltbench.runs.networks import copy_network
from ltbench.runs.provenance import all_stages, read_provenance
from ltbench.runs.run import check_run, read_run
from ltbench.runs.score_rows import identity
from ltbench.runs.scores import read_scores
from ltbench.runs.spec_files import read_spec, read_trained
from ltbench.runs.weights import initial_weights_path
from ltbench.specs import RunSpec, sample_key
from ltbench.sweep.local import WORKER, run_local
from ltbench.sweep.status import closing_lines, exit_code

TOLERANCE = 0.05
_SWITCHES = ("channels_last", "compile", "cuda_graphs")  # they change rounding, the first what dropout draws
_COMPUTE = ("torch", "torchvision", "diffusers", "numpy", "scipy", "scikit-learn")


class NotReproduced(LtbenchError):
    """The run made again differs from the recorded one by more than it may."""

    kind = "not reproduced"


@dataclass(frozen=True)
class Comparison:
    """One artifact, recorded and made again.

    Attributes
    ----------
    what
        The artifact, by its path in the run's folder.
    count
        Numbers compared.
    unmatched
        What only one of the two has, in words: it was not compared.
    identical
        How many of them agree to the last bit.
    difference
        Largest relative difference of the judged numbers (scores), else the relative L2 distance.
    judged
        Whether the tolerance applies to `difference` on another class of machine.
    """

    what: str
    count: int
    identical: int
    difference: float
    judged: bool
    unmatched: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reproduction:
    """What came of making a run again.

    Attributes
    ----------
    comparisons
        Every artifact that both have.
    absent
        Recorded artifacts that are not kept (weights of a published study).
    changed
        How this machine differs from the recorded one; empty: the same class.
    tolerance
        What scores are held to where something changed.
    """

    comparisons: tuple[Comparison, ...]
    absent: tuple[str, ...]
    changed: tuple[str, ...]
    tolerance: float

    @property
    def unmatched(self) -> tuple[str, ...]:
        """What was not compared because only one of the two has it."""
        return tuple(f"{item.what}: {text}" for item in self.comparisons for text in item.unmatched)

    @property
    def reproduced(self) -> bool:
        """Whether everything agrees as far as it must."""
        if not all(item.count for item in self.comparisons if item.judged):
            return False  # an empty table agrees with an empty one, and shows nothing
        if not any(item.judged for item in self.comparisons):
            return False
        if not self.changed:
            return all(item.identical == item.count for item in self.comparisons)
        return all(item.difference <= self.tolerance for item in self.comparisons if item.judged)


# --- what was recorded ---------------------------------------------------------------------------------


def recorded_runs(folder: Path) -> list[RunSpec]:
    """Return the runs of a training's folder: one for every request of scores on every sample set.

    Extractors that are files of code run only where a person named them, see `require_trust`.

    Raises
    ------
    UsageError, CheckpointError
        It is no run's folder, or its spec is not what its name says.
    """
    read_trained(folder, "make again")
    runs = []
    for samples in read_run(folder).samples():
        if read_spec(samples.folder).get("sample_key") != sample_key(samples.spec):
            raise CheckpointError(
                f"{samples.folder} does not hold what its spec says: it cannot be made again"
            )
        runs += [samples.spec.model_copy(update={"score": request}) for request in samples.requests()]
    require_trust(name for run in runs for name in run.score.extractors)
    if not runs:
        raise UsageError(
            f"{folder} has no finished scores to compare with: let `ltbench run` finish it first"
        )
    return runs


def recorded_settings(folder: Path, settings: Settings) -> Settings:
    """Return `settings` with the threads, the sampling batch and the memory format that the run was made with."""
    stages = all_stages(folder)
    threads = {_whole(stage, "threads") for stage in stages if stage.get("stage") in ("train", "sample")}
    batches = {_whole(stage, "sample_batch") for stage in stages if stage.get("sample_batch")}
    return replace(
        settings,
        threads=max(threads, default=settings.threads),
        sample_batch=max(batches, default=settings.sample_batch),
        channels_last=_switched(stages, "channels_last"),
    )


def machine_class(folder: Path) -> dict[str, Any]:
    """Return what decides whether two runs can agree to the last bit, from a run's provenance."""
    machine, stages = read_provenance(folder).get("machine"), all_stages(folder)
    libraries = machine.get("libraries") if isinstance(machine, dict) else None
    if not isinstance(machine, dict) or not isinstance(libraries, dict) or not stages:
        raise CheckpointError(
            f"{folder} does not record on which machine it was made: there is nothing to compare with"
        )
    devices = sorted({str(stage.get("device")).split(":")[0] for stage in stages})
    out: dict[str, Any] = {
        "device": ", ".join(devices),
        "threads": max(_whole(stage, "threads") for stage in stages),
        "processes": max(_whole(stage, "processes") for stage in ({"processes": 1, **one} for one in stages)),
        **{name: _switched(stages, name) for name in _SWITCHES},
    }
    if "cuda" in devices:
        out["gpu"] = ", ".join(sorted({str(name) for name in machine.get("gpus") or ()}))
    else:
        out["processor"] = machine.get("processor")
    return out | {name: libraries.get(name) for name in _COMPUTE}


def _switched(stages: Sequence[dict[str, Any]], name: str) -> bool:
    """Tell whether any stage was run with a switch; records from before there was one lack it."""
    return any(stage.get(name) is True for stage in stages)


def _whole(stage: dict[str, Any], key: str) -> int:
    """Return a count that a stage's provenance states."""
    value = stage.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 1_000_000:
        raise CheckpointError(f"a {PROVENANCE} states no {key} for {stage.get('stage')}: it is not ltbench's")
    return value


# --- comparing -----------------------------------------------------------------------------------------


def _compare_arrays(what: str, old: Sequence[np.ndarray], new: Sequence[np.ndarray]) -> Comparison:
    count = sum(array.size for array in old)
    if [array.shape for array in old] != [array.shape for array in new]:
        return Comparison(what, count, 0, float("inf"), judged=False)
    identical = sum(int((a == b).sum()) for a, b in zip(old, new, strict=True))
    pairs = [(a.astype(np.float64), b.astype(np.float64)) for a, b in zip(old, new, strict=True)]
    apart = sum(float(((a - b) ** 2).sum()) for a, b in pairs)
    size = sum(float((a**2).sum()) for a, _ in pairs)
    return Comparison(
        what, count, identical, (apart / size) ** 0.5 if size else float(apart > 0), judged=False
    )


def _compare_weights(what: str, old: Path, new: Path) -> Comparison:
    from safetensors.numpy import load_file

    with decoding(what, "restore it: it cannot be compared"):
        first, second = load_file(old), load_file(new)
    names = sorted(set(first) | set(second))
    if set(first) != set(second):
        return Comparison(what, len(names), 0, float("inf"), judged=False)
    return _compare_arrays(what, [first[name] for name in names], [second[name] for name in names])


def _compare_images(what: str, old: Path, new: Path) -> Comparison:
    with decoding(what, "restore it: it cannot be compared"):
        arrays = [np.load(path, mmap_mode="r", allow_pickle=False) for path in (old, new)]
    return _compare_arrays(what, arrays[:1], arrays[1:])


def _compare_log(what: str, old: Path, new: Path) -> Comparison:
    rows = [path.read_text(encoding="utf-8").splitlines() for path in (old, new)]
    same = sum(a == b for a, b in zip(*rows, strict=False))
    return Comparison(
        what, max(map(len, rows)), same, 0.0 if rows[0] == rows[1] else float("nan"), judged=False
    )


def _compare_scores(what: str, old: Path, new: Path) -> Comparison:
    """Compare the numbers that both tables have; those over all classes are held to the tolerance.

    Without a number in common nothing was reproduced, however many agree.
    """
    first, second = (table.assign(key=identity(table)) for table in (read_scores(old), read_scores(new)))
    both = first.merge(second[["key", "value"]], on="key", suffixes=("_old", "_new"))
    if both.empty:
        return Comparison(what, len(first), 0, float("inf"), judged=True)
    unmatched = (
        *_without(first, second, "not made again"),
        *_without(second, first, "made again, but not recorded"),
    )
    before, after = both["value_old"], both["value_new"]
    same = (before == after) | (before.isna() & after.isna())
    judged = (both["scope"] == "overall") & before.notna()
    # Scores near zero (a distance of almost nothing, a rate of one image in 1,000) are compared as they are.
    apart = ((after - before).abs() / before.abs().clip(lower=0.01)).fillna(float("inf"))[judged].max()
    worst = float(apart) if judged.any() else float("nan")  # within no tolerance: nothing was judged
    return Comparison(what, len(both), int(same.sum()), worst, judged=True, unmatched=unmatched)


def _without(table: pd.DataFrame, other: pd.DataFrame, why: str) -> Iterator[str]:
    """Say of which numbers of a table the other has no counterpart, by metric and extractor."""
    alone = table[~table["key"].isin(set(other["key"]))]
    for (metric, extractor), rows in alone.groupby(["metric", "extractor"]):
        yield f"{len(rows)} of {metric}{f' on {extractor}' if extractor else ''} {why}"


_COMPARED = {
    TRAIN_LOG: _compare_log,
    f"{WEIGHTS}/*.safetensors": _compare_weights,
    f"{SAMPLES}/*/{IMAGES}": _compare_images,
    f"{SAMPLES}/*/{SCORES}": _compare_scores,
}


def compare(old: Path, new: Path, tolerance: float = TOLERANCE) -> Reproduction:
    """Compare two folders of the same training."""
    compared, absent = [], []
    for pattern, how in _COMPARED.items():
        for made in sorted(new.glob(pattern)):
            name = made.relative_to(new).as_posix()
            if (old / name).exists():
                compared.append(how(name, old / name, made))
            else:
                absent.append(name)
    before, now = machine_class(old), machine_class(new)
    changed = [f"{key}: {before[key]} -> {now.get(key)}" for key in before if before[key] != now.get(key)]
    return Reproduction(tuple(compared), tuple(absent), tuple(changed), tolerance)


def reproduce(
    folder: Path,
    out: Path,
    settings: Settings,
    tolerance: float = TOLERANCE,
    console: Console | None = None,
    command: Sequence[str] = WORKER,
) -> Reproduction:
    """Make a run again from its recorded spec and compare.

    Parameters
    ----------
    folder
        The recorded training's folder.
    out
        A fresh folder; the comparison is also written there, as ``reproduction.json``.
    settings
        Where to run; threads and sampling batch are taken from the record.
    tolerance
        Relative difference up to which two numbers are one.
    console
        Where progress is shown; None: nowhere.
    command
        The worker's command line.

    Raises
    ------
    UsageError
        `out` is not fresh, or `folder` is no finished run.
    NotReproduced
        A stage of the run made again failed.
    """
    runs = recorded_runs(folder)
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty: name a fresh folder with --out")
    require_utf8(out)
    if (digest := runs[0].train.init_weights) is not None:
        target = initial_weights_path(out, digest)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(initial_weights_path(folder.parent, digest), target)
    for digest in {run.sample.other_network[0] for run in runs} - {None}:
        copy_network(folder.parent, out, str(digest))
    settings = recorded_settings(folder, settings)
    check_run(folder)  # a damaged record would be told after hours of work, or taken for a difference
    machine_class(folder)  # before hours of work: without it there is nothing to hold the result against
    rows = run_local(runs, out, settings, "1", f"again: {folder.name}", console, command)
    if exit_code(rows):
        raise NotReproduced("; ".join(closing_lines(rows, out)))
    result = compare(folder, out / folder_name(runs[0]), tolerance)
    write_json(out / "reproduction.json", asdict(result) | {"reproduced": result.reproduced})
    return result
