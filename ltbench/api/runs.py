"""Runs: a study done in a folder, and a run's folder read again with its trained network."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import ltbench.runs.run as stored
from ltbench.api.arguments import a_path
from ltbench.api.loading import load_study
from ltbench.environment import Settings, usable_device
from ltbench.errors import Interrupted, RunFailed, UsageError
from ltbench.files import ensure_writable

if TYPE_CHECKING:
    from rich.console import Console
    from torch import nn

    from ltbench.study.file import Study


class Run(stored.Run):
    """One training's folder: ``spec``, ``steps``, ``samples()``, ``scores()``, ``train_log()``, ``probes()``,
    ``provenance`` and the trained network, ``model()``."""

    def model(
        self, step: int | None = None, weights: Literal["ema", "raw"] = "ema", device: str | None = "cpu"
    ) -> nn.ModuleDict:
        """Return the trained network, in eval mode.

        Parameters
        ----------
        step
            A step of ``steps``; default: the last.
        weights
            ``ema``, the averaged weights, or ``raw``, the last.
        device
            Where it is put; None: a GPU where there is one.

        Returns
        -------
        torch.nn.ModuleDict
            ``denoiser``, called as ``(x_t (B,C,H,W), t (B,), label (B,)) -> Prediction(eps, bottleneck)``, and
            ``methods``, what methods trained beside it.

        Raises
        ------
        UsageError
            Scores from elsewhere, which have no network, or a step that is not kept.
        CheckpointError
            The weights are broken or do not fit.
        """
        from ltbench.study.checks import validate
        from ltbench.training.model import load_model

        if weights not in ("ema", "raw"):
            raise UsageError(f"weights must be 'ema', the averaged, or 'raw', the last, not {weights!r}")
        if self.spec is None:
            raise UsageError(f"{self.folder} holds images made elsewhere: there is no network")
        if not self.steps:
            raise UsageError(f"{self.folder} has no weights yet: finish its training first")
        chosen = self.steps[-1] if step is None else step
        if chosen not in self.steps:
            steps_kept = ", ".join(map(str, self.steps))
            raise UsageError(f"{self.folder} keeps no weights of step {chosen}: there are {steps_kept}")
        train = self.spec.train.model_copy(update={"steps": chosen})
        spec = self.spec.model_copy(update={"train": train})
        facts = validate(spec, None, need_files=False)
        return load_model(spec, self.folder, facts, usable_device(device), weights)


def run(
    study: Study | str | Path,
    out: str | Path = "runs",
    *,
    workers: int | Literal["auto"] = "auto",
    device: str | None = None,
    progress: bool = True,
) -> list[Run]:
    """Train, sample and score a study's runs with local workers; what is done is skipped.

    Ctrl-C stops at the next checkpoint, and a second one at once; a run in another thread than the main one hears none.

    Parameters
    ----------
    study
        What `load_study` returns, or what it takes.
    out
        Folder that holds the runs.
    workers
        Processes; ``auto``: one a GPU, or one a core.
    device
        ``cpu``, ``cuda``, ``cuda:1``, ``mps``; default: a CUDA GPU where there is one.
    progress
        Show what the workers do, live in a notebook or on a terminal.

    Returns
    -------
    list of Run
        One a training, in the order of the study.

    Raises
    ------
    RunFailed
        Some stages failed; the error's ``failures`` has a sentence for each, and what is done is kept.
    Interrupted
        Stopped softly; calling it again goes on from there.

    Examples
    --------
    >>> import ltbench as lt
    >>> settings = {"model.size": "tiny", "train.steps": 4, "sample.steps": 2, "sample.per_class": 8}
    >>> study = lt.load_study("demo", methods="ddpm", seeds=0, guidance=0, **settings)
    >>> runs = lt.run(study, "runs", workers=1, progress=False)
    >>> runs[0].spec.method.name, runs[0].steps
    ('ddpm', (4,))
    """
    from ltbench.interop.networks import with_networks
    from ltbench.runs.layout import folder_name
    from ltbench.study.file import Study
    from ltbench.sweep.status import closing_lines
    from ltbench.sweep.study_run import StudyRun

    asked = study if isinstance(study, Study) else load_study(a_path(study, "study"))
    out, settings = a_path(out, "out"), Settings(device=usable_device(device))
    ensure_writable(out)
    named, networks = with_networks(asked.runs, out, None)
    job = StudyRun(dataclasses.replace(asked, runs=named), out, settings, str(workers), networks)
    outcome = job.execute(job.locally(_progress_console() if progress else None))
    if outcome.stopped:
        raise Interrupted("stopped: what is done is kept; call run again to go on")
    if outcome.code:
        raise RunFailed(" ".join(closing_lines(outcome.rows, out)), outcome.failures)
    return [load_run(out / name) for name in dict.fromkeys(map(folder_name, outcome.trainings))]


def _progress_console() -> Console:
    from rich.console import Console

    return Console(highlight=False, markup=False)


def load_run(folder: str | Path) -> Run:
    """Return a finished or begun run from its folder.

    Parameters
    ----------
    folder
        A training's folder, as ``runs/digits_lt-r0.1-ddpm-s0-KEY8``.

    Returns
    -------
    Run
        ``spec``, ``steps`` (whose weights are kept), ``model()``, ``samples()`` (each with ``arrays()`` and
        ``scores()``), ``scores()``, ``train_log()``, ``probes()`` and ``provenance``.

    Raises
    ------
    UsageError
        It is no run's folder.
    CheckpointError
        Its spec is truncated or of another version.

    Examples
    --------
    >>> import ltbench as lt
    >>> from pathlib import Path
    >>> run = lt.load_run(next(Path("runs").glob("digits_lt-*")))
    >>> images, labels = run.samples()[0].arrays()
    >>> images.shape, labels.shape
    ((80, 1, 8, 8), (80,))
    >>> run.train_log()["step"].tolist()
    [4]
    """
    folder = a_path(folder, "folder")
    record = stored.read_run(folder)
    if record.spec is None and record.data is None:
        raise UsageError(f"{folder} is no run's folder: give one that `ltbench run` made")
    return Run(**vars(record))
