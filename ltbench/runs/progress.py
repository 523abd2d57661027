"""How far a training in an output folder has come, and which snapshots it has passed without keeping them."""

from __future__ import annotations

from pathlib import Path

from ltbench.runs.layout import CHECKPOINT, TRAIN_LOG, folder_name, weights_path
from ltbench.specs import RunSpec


def trained_steps(spec: RunSpec, root: Path) -> int:
    """Return how far the training in `root` has come, from its log."""
    log = root / folder_name(spec) / TRAIN_LOG
    if not log.with_name(CHECKPOINT).exists():
        return 0
    try:
        last = log.read_text(encoding="utf-8").rstrip().rsplit("\n", 1)[-1]
        return min(int(last.split(",", 1)[0]), spec.train.steps)
    except (OSError, ValueError):
        return 0


def passed_snapshots(spec: RunSpec, root: Path) -> list[int]:
    """Return the snapshots asked for that the training in `root` has passed without keeping their weights."""
    folder, settings, wanted = root / folder_name(spec), spec.train, needed_snapshots(spec)
    if not wanted:
        return []
    done = weights_path(folder, settings.steps).exists()
    reached = settings.steps if done else trained_steps(spec, root)
    return [s for s in wanted if s <= reached and not weights_path(folder, s).exists()]


def needed_snapshots(spec: RunSpec) -> tuple[int, ...]:
    """Return the steps before the last whose weights a run needs: its snapshots, and the one it is guided away from."""
    _, early = spec.sample.other_network
    return tuple(sorted({*spec.train.snapshots, *(() if early is None else (early,))}))
