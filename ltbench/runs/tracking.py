"""Runs in the tracker that people already use: from a stage's rows, sheets and scores to TensorBoard, W&B, MLflow, ...

The trackers are accelerate's. A training is one run of the tracker; its x-axis is the training step. What a tracker does
never reaches a result: nothing here is in a key, draws a random number or raises. One that fails is left out, with
one warning, until the stage ends.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltbench.errors import UsageError, nearest
from ltbench.runs.layout import SHEET
from ltbench.specs import RunSpec, train_key

if TYPE_CHECKING:
    import pandas as pd

FOLDER = "tracking"  # below the output root; `tensorboard --logdir runs/tracking`
PROJECT = "ltbench"
_STEP = "step"
log = logging.getLogger("ltbench")


def check_trackers(names: Sequence[str]) -> None:
    """Raise `UsageError` unless every tracker is known to accelerate and its package is installed.

    Raises
    ------
    UsageError
        One is unknown, or its package is not installed.
    """
    if not names:
        return
    if importlib.util.find_spec("accelerate") is None:
        raise UsageError("--track needs accelerate and a tracker: pip install 'ltbench[track]'")
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

    ready = {str(getattr(name, "value", name)) for name in get_available_trackers()}
    for name in names:
        if name not in LOGGER_TYPE_TO_CLASS:
            raise UsageError(f"--track: unknown tracker {name!r}{nearest(name, LOGGER_TYPE_TO_CLASS)}")
        if name not in ready:
            raise UsageError(f"--track {name}: its package is not installed: pip install {name}")


class Tracking:
    """The trackers of one stage; every method swallows what goes wrong."""

    def __init__(self, names: Sequence[str], root: Path, folder: str, spec: RunSpec) -> None:
        self.trackers: dict[str, Any] = {}
        self.spec = spec
        for name in names:
            with self._guarded(name, "cannot be started"):
                self.trackers[name] = _start(name, root / FOLDER, folder, spec)

    def row(self, step: int, values: Mapping[str, float]) -> None:
        """Log a row of the training's log: learning rate, loss, each term, gradient norm, images a second."""
        self._log({f"train/{name}": value for name, value in values.items() if name != _STEP}, step)

    def samples(self, folder: Path) -> None:
        """Log the sheet of a sample set: a row of images a class."""
        import numpy as np
        from PIL import Image

        with (
            self._guarded("", f"cannot show {folder / SHEET}"),
            Image.open(folder / SHEET, formats=("PNG",)) as image,
        ):
            sheet = np.asarray(image.convert("RGB"))
            for name, tracker in list(self.trackers.items()):
                if hasattr(tracker, "log_images"):
                    with self._guarded(name, "is left out"):
                        _log_images(
                            name, tracker, {f"samples/{self._how()}": sheet[None]}, self.spec.train.steps
                        )

    def scores(self, table: pd.DataFrame) -> None:
        """Log the scores of a sample set that are no single class's: overall and groups."""
        with self._guarded("", "cannot read the scores"):
            shown = table[(table["scope"] != "class") & table["value"].notna()]
            parts = shown[["extractor", "metric", "scope", "class_or_group"]].astype(str)
            names = [
                "/".join(filter(None, ("scores", self._how(), *row))) for row in parts.to_numpy().tolist()
            ]
            self._log(dict(zip(names, map(float, shown["value"]), strict=True)), self.spec.train.steps)

    def finish(self) -> None:
        """Flush and close."""
        for name, tracker in list(self.trackers.items()):
            with self._guarded(name, "could not be closed"):
                tracker.finish()

    def _log(self, values: Mapping[str, float], step: int) -> None:
        for name, tracker in list(self.trackers.items()):
            with self._guarded(name, "is left out"):
                _log_values(name, tracker, dict(values), step)

    def _how(self) -> str:
        """Return what tells sample sets of a training apart."""
        sample = self.spec.sample
        rule = f" {sample.rule_label}" if sample.rule_label else ""
        return f"{sample.sampler}-{sample.steps} w={sample.guidance:g}{rule} n={sample.per_class} seed={sample.seed}"

    @contextlib.contextmanager
    def _guarded(self, name: str, what: str) -> Iterator[None]:
        try:
            yield
        except (Exception, SystemExit) as error:  # a tracker may do anything; the run goes on without it
            log.warning("tracker %s %s (%s: %s): the run goes on", name, what, type(error).__name__, error)
            self.trackers.pop(name, None)


@contextlib.contextmanager
def tracking(names: str, root: Path, folder: str, spec: RunSpec) -> Iterator[Tracking | None]:
    """Yield the trackers of a stage, or None where none is asked for or another process leads.

    Parameters
    ----------
    names
        Comma-separated.
    root, folder
        The output root, and the training's folder in it, which names the run.
    spec
        The run, logged as the trackers' configuration.
    """
    wanted = [name for name in names.split(",") if name]
    if not wanted or os.environ.get("RANK", "0") != "0":
        yield None
        return
    found = Tracking(wanted, root, folder, spec)
    try:
        yield found
    finally:
        found.finish()


# -- what differs between trackers --------------------------------------------------------------------


def _start(name: str, folder: Path, run: str, spec: RunSpec) -> Any:
    from accelerate.state import PartialState
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    folder.mkdir(parents=True, exist_ok=True)
    if not PartialState._shared_state:
        PartialState(cpu=True)  # the trackers ask it whether they are on the first process
    kind = LOGGER_TYPE_TO_CLASS[name]
    given, named = _ARGUMENTS.get(name, _others)(folder, run, spec)
    if kind.requires_logging_directory and name not in _ARGUMENTS:
        named["logging_dir"] = str(folder / name)
    made = kind(*given, **named)
    made.start()
    if name == "wandb":
        made.tracker.define_metric("*", step_metric=_STEP)
    return made


def _tensorboard(folder: Path, run: str, _spec: RunSpec) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return (run, str(folder / "tensorboard")), {}


def _wandb(folder: Path, run: str, spec: RunSpec) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """One run a training, which each stage takes up again; offline unless the user is logged in or says otherwise."""
    more: dict[str, Any] = {"name": run, "id": train_key(spec)[:16], "resume": "allow", "dir": str(folder)}
    if "WANDB_MODE" not in os.environ and "WANDB_API_KEY" not in os.environ:
        more["mode"] = "offline"
    return (PROJECT,), {**more, "config": spec.model_dump(mode="json")}


def _mlflow(folder: Path, run: str, _spec: RunSpec) -> tuple[tuple[Any, ...], dict[str, Any]]:
    where = None if "MLFLOW_TRACKING_URI" in os.environ else f"file://{(folder / 'mlflow').resolve()}"
    return (PROJECT,), {"logging_dir": where, "run_name": run}


def _others(_folder: Path, run: str, _spec: RunSpec) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return (f"{PROJECT} {run}",), {}


_ARGUMENTS = {"tensorboard": _tensorboard, "wandb": _wandb, "mlflow": _mlflow}


def _log_values(name: str, tracker: Any, values: dict[str, float], step: int) -> None:
    if name == "wandb":  # its own steps only grow; a snapshot may be scored after the last step was trained
        tracker.log({**values, _STEP: step})
    else:
        tracker.log(values, step=step)


def _log_images(name: str, tracker: Any, images: dict[str, Any], step: int) -> None:
    if name == "tensorboard":
        tracker.log_images(images, step=step, dataformats="NHWC")
    elif name == "wandb":
        tracker.log_images(images)
    else:
        tracker.log_images(images, step=step)
