"""The public functions: from names, folders and arrays to data sets, runs, images, tables and reports.

A notebook and the command line call the same functions. None of them prints (but for the progress of `run`,
where it is asked for) and none of them ends the process: what goes wrong is an `ltbench.errors.LtbenchError`
whose sentence says how to mend it. Heavy libraries are imported by the function that needs them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import ltbench.runs.run as stored
from ltbench.environment import Settings, default_device
from ltbench.errors import Interrupted, RunFailed, UsageError, nearest
from ltbench.files import ensure_writable
from ltbench.spec import UNLABELLED, RunSpec, ScoreSpec

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from rich.console import Console
    from torch import Tensor, nn

    from ltbench.data import Dataset
    from ltbench.diffusion.guidance import Omega
    from ltbench.method import Prediction
    from ltbench.plugins import ExtensionPoint
    from ltbench.runs.run import SampleSet
    from ltbench.study.contrast import Contrast
    from ltbench.study.file import Study
    from ltbench.study.selection import Choice
    from ltbench.sweep.status import Row

__all__ = [
    "Report",
    "Run",
    "available",
    "compare",
    "evaluate",
    "load_dataset",
    "load_run",
    "load_scores",
    "load_study",
    "report",
    "run",
    "sample",
    "score",
]

_PUBLISHED_RATIO = 0.01


class DenoiserLike(Protocol):
    """What `sample` takes: a network with labels, ``(x_t, t, label) -> Prediction``; see `sample`."""

    shape: tuple[int, int, int]
    num_classes: int

    def __call__(self, x_t: Tensor, t: Tensor, label: Tensor) -> Prediction:
        """Return the predicted noise (B, C, H, W); label K stands for no label."""


# -- data and studies -----------------------------------------------------------------------------------


def load_dataset(
    name: str,
    *,
    imbalance_ratio: float = _PUBLISHED_RATIO,
    class_order: str = "identity",
    split_seed: int = 0,
    image_size: int | None = None,
    data_root: str | Path | None = None,
) -> Dataset:
    """Return a long-tailed data set with the real images that scores compare with.

    Parameters
    ----------
    name
        A source of ``available("datasets")``.
    imbalance_ratio
        Images of the rarest class / of the most frequent one, in (0, 1]; a source with counts of its own
        (a folder, ImageNet-LT) keeps them at the default.
    class_order
        Which class is the most frequent: ``identity`` (class 0), ``reversed`` or ``permuted:SEED``.
    split_seed
        Seed of the subset's selection; 0 is the published split.
    image_size
        Pixels a side; default: the source's own.
    data_root
        Where files lie and are downloaded to; default: ``$LTBENCH_DATA`` or ``./data``.

    Returns
    -------
    Dataset
        ``train``, ``reference`` and ``heldout`` (each with ``images`` uint8 (N,C,H,W) and ``labels`` (N,)),
        ``counts`` (K,), ``groups``, ``class_names`` and ``manifest_hash``.

    Raises
    ------
    UsageError
        An unknown source, a size it has not, a ratio that leaves a class empty.
    DataMissing, DataCorrupt
        Files are absent (the sentence says where to put them) or broken.

    Examples
    --------
    >>> import ltbench as lt
    >>> digits = lt.load_dataset("digits_lt", imbalance_ratio=0.1)
    >>> digits.counts.tolist()
    [120, 92, 71, 55, 43, 33, 25, 20, 15, 12]
    >>> digits.train.images.shape, digits.reference.images.dtype.name
    ((486, 1, 8, 8), 'uint8')
    """
    from ltbench.data import get_source
    from ltbench.data.dataset import cached_dataset
    from ltbench.study.resolve import resolve_cell

    settings: dict[str, Any] = {
        "class_order": class_order,
        "split_seed": split_seed,
        "image_size": image_size,
    }
    if get_source(name).default_profile != "asis" or imbalance_ratio != _PUBLISHED_RATIO:
        settings["imbalance_ratio"] = imbalance_ratio
    given = {f"data.{key}": value for key, value in settings.items() if value is not None}
    root = None if data_root is None else Path(data_root)
    return cached_dataset(resolve_cell(name, flags=given, data_root=root), root)


def load_study(preset_or_path: str | Path | None = None, **settings: Any) -> Study:
    """Return a study: a preset or a study file, with settings that replace its own.

    Parameters
    ----------
    preset_or_path
        A name of ``available("presets")``, the path of a TOML file, or None: the default preset of the data
        set among the settings, or the demo.
    settings
        The keys of ``--set``, a value or a list of them: ``**{"train.steps": 2000, "methods": ["ddpm", "coral"]}``.

    Returns
    -------
    Study
        ``runs`` (a `RunSpec` each), ``title``, ``description``, ``contrast`` and ``select``.

    Raises
    ------
    UsageError
        One sentence naming the file, the key and what is allowed, for the first thing wrong.

    Examples
    --------
    >>> import ltbench as lt
    >>> study = lt.load_study("demo", methods=["ddpm", "coral"], seeds="0..2", **{"train.steps": 100})
    >>> [(run.method.name, run.train_seed, run.train.steps) for run in study.runs][:2]
    [('ddpm', 0, 100), ('ddpm', 1, 100)]
    """
    from ltbench.study.resolve import resolve_study

    return resolve_study(preset_or_path, flags=settings)


# -- running ----------------------------------------------------------------------------------------------


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

        if self.spec is None:
            raise UsageError(f"{self.folder} holds images made elsewhere: there is no network")
        if not self.steps:
            raise UsageError(f"{self.folder} has no weights yet: finish its training first")
        chosen = self.steps[-1] if step is None else step
        if chosen not in self.steps:
            kept = ", ".join(map(str, self.steps))
            raise UsageError(f"{self.folder} keeps no weights of step {chosen}: there are {kept}")
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
    from ltbench.sweep.local import run_local
    from ltbench.sweep.status import closing_lines, exit_code

    study = load_study(study) if isinstance(study, str | Path) else study
    out, settings = Path(out), Settings(device=usable_device(device))
    ensure_writable(out)
    study = dataclasses.replace(study, runs=with_networks(study.runs, out, None)[0])
    console = _progress_console() if progress else None

    def do(runs: Sequence[RunSpec]) -> list[Row]:
        return run_local(runs, out, settings, str(workers), study.title, console)

    rows = execute(study, out, do)
    code = exit_code(rows)
    if code == Interrupted.exit_code:
        raise Interrupted("stopped: what is done is kept; call run again to go on")
    if code:
        failed = [row for row in rows if row.state == "failed"]
        raise RunFailed(
            " ".join(closing_lines(rows, out)), tuple(f"{row.task.name}: {row.message}" for row in failed)
        )
    specs = [row.task.stage.spec for row in rows if row.task.stage.kind == "train"]
    return [load_run(out / name) for name in dict.fromkeys(map(folder_name, specs))]


def _progress_console() -> Console:
    from rich.console import Console

    return Console(highlight=False, markup=False)


def execute(
    study: Study,
    out: Path,
    do: Callable[[Sequence[RunSpec]], list[Row]],
    chosen: Callable[[Sequence[Choice], Path], None] = lambda *_: None,
) -> list[Row]:
    """Do a study's runs and return the last state of their stages.

    A study that tunes (``[select]``) has its trials done, its choice made and kept as CSV, and then what is to
    be reported done.

    Parameters
    ----------
    study
        What to run.
    out
        Folder of the runs.
    do
        Does all stages of some runs, here or on a cluster.
    chosen
        Told the choices and where their curves are kept.
    """
    from ltbench.study import selection
    from ltbench.sweep.status import exit_code

    if study.select is None:
        return do(study.runs)
    trials = selection.trials(study.runs, study.select)
    rows = do(trials)
    if exit_code(rows):
        return rows
    choices = selection.choose(trials, study.select, out)
    path = out / "selection" / f"{study.source.stem if study.source else 'study'}.csv"
    selection.write_curves(choices, study.select, path)
    chosen(choices, path)
    return do(selection.reported(choices, study.select))


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
    folder = Path(folder)
    found = stored.read_run(folder)
    if found.spec is None and found.data is None:
        raise UsageError(f"{folder} is no run's folder: give one that `ltbench run` made")
    return Run(**vars(found))


def usable_device(name: str | None) -> str:
    """Return the device of that name, or the default one, after trying it."""
    if name is None:
        return default_device()
    import torch

    try:
        if not re.fullmatch(r"(cpu|cuda|xpu|mps)(:[0-9]{1,3})?", name):  # "meta" computes nothing
            raise RuntimeError("no device that computes")
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        lacks = {
            "cuda": "PyTorch finds no such GPU: leave the device out, or name cpu",
            "mps": "PyTorch finds no Apple GPU, which needs a Mac with Apple silicon: leave the device out, or name cpu",
        }
        advice = lacks.get(name.partition(":")[0], "try cpu, cuda or mps")
        raise UsageError(f"device {name!r} cannot be used here: {advice}") from error
    return name


# -- sampling and scoring ---------------------------------------------------------------------------------


def sample(
    model: nn.ModuleDict | DenoiserLike,
    labels: Sequence[int] | np.ndarray | Tensor,
    *,
    sampler: str = "dpmsolver++",
    steps: int = 20,
    guidance: float | Mapping[str, Any] | Omega = 0.0,
    seed: int = 0,
    device: str | None = None,
    away_from: nn.ModuleDict | DenoiserLike | None = None,
) -> np.ndarray:
    """Generate one image for every label.

    Parameters
    ----------
    model
        What `Run.model` returns, or any callable ``(x_t, t, label) -> Prediction`` with ``shape`` (C, H, W) and
        ``num_classes`` K: ``x_t`` is (B,C,H,W) in about [-1, 1], ``t`` (B,) in 0..999, ``label`` (B,) in 0..K where K
        means no label, and the prediction's ``eps`` (B,C,H,W). A module is moved to `device`.
    labels
        (N,) classes, 0..K-1.
    sampler, steps
        As the settings ``sample.sampler`` and ``sample.steps``.
    guidance
        The scale omega, as ``sample.guidance``; or the settings of a rule by name, such as
        ``{"rule": "interval", "sigma_high": 2.9, "guidance": 1.5}``, with ``counts``, (K,) training images of each
        class, for one that goes by them; or a rule of your own, a function ``(t, labels) -> omega`` of an integer time
        step and labels (B,), which returns a number or (B,) of them.
    seed
        Image i's noise depends on the seed and on i alone.
    device
        Default: a GPU where there is one.
    away_from
        The weaker network that predictions are pushed away from, as `model`, for the rule ``auto``, or with a function;
        default: the network itself without a label.

    Returns
    -------
    numpy.ndarray
        (N,C,H,W) uint8.

    Raises
    ------
    UsageError
        Labels or a setting out of range, or a model without ``shape`` and ``num_classes``.

    Examples
    --------
    >>> import ltbench as lt
    >>> from pathlib import Path
    >>> model = lt.load_run(next(Path("runs").glob("digits_lt-*"))).model()
    >>> lt.sample(model, [0, 1, 1], steps=2, device="cpu").shape
    (3, 1, 8, 8)
    >>> middle = {"rule": "interval", "sigma_low": 0.3, "sigma_high": 5, "guidance": 1.5}
    >>> lt.sample(model, [0, 1, 1], steps=2, guidance=middle, device="cpu").shape
    (3, 1, 8, 8)
    """
    import numpy as np
    import torch
    from pydantic import ValidationError

    from ltbench.diffusion.guidance import RULES
    from ltbench.diffusion.samplers import Guided, guide
    from ltbench.diffusion.samplers import sample as draw
    from ltbench.spec import SampleSpec

    where = usable_device(device)
    denoiser = _denoiser(model, where)
    wanted = torch.as_tensor(np.asarray(labels))
    if wanted.ndim != 1 or wanted.is_floating_point() or wanted.is_complex():
        raise UsageError(f"labels must be whole numbers (N,), not {wanted.dtype} {tuple(wanted.shape)}")
    if len(wanted) and not 0 <= int(wanted.min()) <= int(wanted.max()) < denoiser.num_classes:
        raise UsageError(
            f"labels must be 0..{denoiser.num_classes - 1}, not {int(wanted.min())}..{int(wanted.max())}"
        )
    plain: dict[str, Any] = {"guidance": 0.0 if callable(guidance) else guidance}
    rule: dict[str, Any] = dict(guidance) if isinstance(guidance, Mapping) else plain
    counts = rule.pop("counts", None)
    if (name := rule.get("rule")) in RULES and RULES[str(name)].away_from == "network":
        rule.setdefault("bad_weights", "away_from")
    elif away_from is not None and not callable(guidance):
        raise UsageError("sample: away_from goes with the rule auto, or with a function for guidance")
    try:
        spec = SampleSpec.model_validate({**rule, "sampler": sampler, "steps": steps, "seed": seed})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise UsageError(
            f"sample: {name}{': ' * bool(name)}{first['msg'].removeprefix('Value error, ')}"
        ) from error
    prior = None if counts is None else np.asarray(counts, float) / np.sum(counts)
    other = None if away_from is None else _denoiser(away_from, where)
    guided = Guided(denoiser, guidance, other) if callable(guidance) else guide(denoiser, spec, prior, other)
    return draw(guided, wanted.long(), sampler=spec, device=where).numpy()


class _Callable:
    """A stranger's network with what sampling asks of ours: ``eval`` where it has none."""

    def __init__(self, function: DenoiserLike) -> None:
        try:
            self.shape, self.num_classes = tuple(function.shape), int(function.num_classes)
        except (AttributeError, TypeError, ValueError) as error:
            raise UsageError(
                "the model must be a callable (x_t, t, label) -> Prediction with shape (C, H, W) and num_classes"
            ) from error
        self.function = function

    def eval(self) -> None:
        """Leave dropout out, where the network knows how."""
        if callable(off := getattr(self.function, "eval", None)):
            off()

    def __call__(self, x_t: Tensor, t: Tensor, label: Tensor) -> Prediction:
        return self.function(x_t, t, label)


def _denoiser(model: Any, device: str) -> Any:
    from torch import nn

    if isinstance(model, nn.ModuleDict) and "denoiser" in model:
        model = model["denoiser"]
    if isinstance(model, nn.Module):
        model = model.to(device)
    return _Callable(model)


def score(
    images: np.ndarray,
    labels: Sequence[int] | np.ndarray | None,
    dataset: Dataset,
    *,
    metrics: str | Sequence[str] = "default",
    extractors: str | Sequence[str] = "auto",
    bootstrap: int = 0,
    device: str | None = None,
    cache: str | Path | None = None,
) -> pd.DataFrame:
    """Score generated images: one call that returns the numbers.

    Parameters
    ----------
    images
        (N,C,H,W) uint8, of every class of the data set.
    labels
        (N,) classes, 0..K-1; None: the images are scored as one set, and what needs classes is a row without a
        value and with its reason.
    dataset
        What they are compared with, from `load_dataset`.
    metrics, extractors
        Names of ``available("metrics")`` and ``available("extractors")``; ``default``, ``all``, ``auto``.
    bootstrap
        Replicates over images for an interval beside each number; 0: none.
    device
        Default: a GPU where there is one.
    cache
        Folder for features and floors, which depend on content alone; default: nothing is kept.

    Returns
    -------
    pandas.DataFrame
        One row a number: ``metric``, ``scope`` (overall, class, group ...), ``class_or_group``, ``value``, ``extractor``,
        ``n_generated``, ``n_reference``; a floor, the same of held-out real images, is a row ``METRIC.floor``.

    Raises
    ------
    UsageError
        Arrays of another shape or type, labels out of range, an unknown metric or extractor.
    DataMissing
        An extractor's weights are not here; the sentence says where they belong.

    Examples
    --------
    >>> import ltbench as lt
    >>> digits = lt.load_dataset("digits_lt")
    >>> real = digits.heldout
    >>> table = lt.score(real.images, real.labels, digits, metrics="frechet")
    >>> overall = table[(table["scope"] == "overall") & (table["metric"] == "frechet")]
    >>> bool(overall["value"].item() < 1)
    True
    """
    import numpy as np
    import pandas as pd

    from ltbench.data import ImageSet
    from ltbench.scoring.score import score_pools

    images = np.asarray(images)
    if images.ndim != 4 or images.dtype != np.uint8:
        raise UsageError(f"images must be uint8 (N,C,H,W), not {images.dtype} {images.shape}")
    if labels is None:
        labels = np.full(len(images), UNLABELLED)
    else:
        labels = _checked_labels(np.asarray(labels), len(images), dataset.num_classes)
    request = _request(metrics, extractors, bootstrap)
    generated = ImageSet(np.ascontiguousarray(images), labels.astype(np.int64))
    with tempfile.TemporaryDirectory(prefix="ltbench-") as scratch:
        kept = Path(scratch) if cache is None else Path(cache)
        rows = score_pools(dataset, generated, request, kept, usable_device(device))
    return pd.DataFrame(rows)


def _checked_labels(labels: np.ndarray, count: int, num_classes: int) -> np.ndarray:
    if labels.shape != (count,) or labels.dtype.kind not in "iu":
        raise UsageError(
            f"labels must be whole numbers, one for each of the {count} images, not {labels.dtype} {labels.shape}"
        )
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < num_classes:
        raise UsageError(f"labels must be 0..{num_classes - 1}, not {labels.min()}..{labels.max()}")
    return labels


def _request(metrics: str | Sequence[str], extractors: str | Sequence[str], bootstrap: int) -> ScoreSpec:
    """Return a request; a TorchScript file that the caller names here may run."""
    from ltbench.extractors import torchscript

    request = ScoreSpec(metrics=_names(metrics), extractors=_names(extractors), bootstrap=bootstrap)
    for name in request.extractors:
        if name.startswith(torchscript.PREFIX):
            torchscript.trust(name)
    return request


def _names(names: str | Sequence[str]) -> tuple[str, ...]:
    given = names.split(",") if isinstance(names, str) else names
    return tuple(name.strip() for name in given if name.strip())


def evaluate(
    runs: Run | str | Path | Sequence[Run | str | Path],
    *,
    metrics: str | Sequence[str],
    extractors: str | Sequence[str] = "auto",
    bootstrap: int = 0,
    recompute: bool = False,
    device: str | None = None,
) -> pd.DataFrame:
    """Add metrics to the scores of finished runs; nothing is trained or sampled.

    Parameters
    ----------
    runs
        Runs, their folders, or folders of runs.
    metrics, extractors, bootstrap, device
        As `score`.
    recompute
        Replace numbers that are there already.

    Returns
    -------
    pandas.DataFrame
        The rows that were added, with the columns of ``scores.csv``.

    Raises
    ------
    UsageError
        No finished sample set, or an unknown metric or extractor.

    Examples
    --------
    >>> import ltbench as lt
    >>> added = lt.evaluate("runs", metrics="kid", recompute=True)
    >>> sorted(added["metric"].unique())[:1]
    ['kid']
    """
    import pandas as pd

    given = [runs] if isinstance(runs, stored.Run | str | Path) else list(runs)
    folders = [entry.folder if isinstance(entry, stored.Run) else Path(entry) for entry in given]
    request = _request(metrics, extractors, bootstrap)
    tables = [table for _, table in evaluate_sets(folders, request, recompute, device=device)]
    return pd.concat(tables, ignore_index=True)


def evaluate_sets(
    folders: Sequence[Path],
    request: ScoreSpec,
    recompute: bool = False,
    data_root: Path | None = None,
    device: str | None = None,
) -> Iterator[tuple[SampleSet, pd.DataFrame]]:
    """Score the sample sets below some folders as a request says, one by one; yield each with what was added.

    What is stored already, of the same metric, extractor, reference and groups, is left as it is. Of a bundle the
    sample sets whose images it holds are scored, and it is packed again.
    """
    from ltbench.data.dataset import cached_dataset
    from ltbench.metrics.registry import requested_metrics
    from ltbench.runs.bundle import is_bundle
    from ltbench.runs.layout import CACHE
    from ltbench.runs.places import opened
    from ltbench.runs.scores import merge_scores
    from ltbench.scoring.score import score_samples

    requested_metrics(request.metrics)  # a wrong name is refused before anything is read
    where = usable_device(device)
    with contextlib.ExitStack() as stack:  # a bundle is packed again with what was added
        roots = [stack.enter_context(opened(folder)) if is_bundle(folder) else folder for folder in folders]
        sets = [found for root in roots for found in stored.sample_sets(root)]
        for found in sets:
            dataset = cached_dataset(found.spec.data, data_root)
            images, labels = found.arrays()
            asked = found.spec.model_copy(update={"score": request})
            there = None if recompute else found.scores()
            table = score_samples(dataset, images, labels, asked, found.root / CACHE, where, there)
            table = table.assign(**found.claims)
            merge_scores(found.scores_file, table)
            yield found, table


# -- reading results --------------------------------------------------------------------------------------


def load_scores(*roots: str | Path) -> pd.DataFrame:
    """Return every stored score below some folders of runs.

    Parameters
    ----------
    roots
        Folders that ``ltbench run --out`` or `run` wrote, or bundles; default: ``runs``.

    Returns
    -------
    pandas.DataFrame
        One row a number: the columns of ``scores.csv`` (`ltbench.runs.scores.SCHEMA` explains each), then ``run``
        and ``folder`` (where it lies), ``cell`` (the data in words), ``settings`` (JSON) and ``series`` (equal where
        nothing but seeds differs).

    Raises
    ------
    UsageError
        A root is no folder or holds no scores.
    CheckpointError
        A ``scores.csv`` or ``spec.json`` is truncated or not what it should be.

    Examples
    --------
    >>> import ltbench as lt
    >>> scores = lt.load_scores("runs")
    >>> sorted(scores["scope"].unique())[:2]
    ['class', 'group']
    """
    from ltbench.runs import results

    return results.load_scores(roots or ("runs",))


def compare(
    scores: pd.DataFrame, baseline: str = "ddpm", *, metric: str = "frechet", where: str = "overall"
) -> pd.DataFrame:
    """Compare every method with a baseline, paired by training seed.

    Parameters
    ----------
    scores
        What `load_scores` returns.
    baseline
        The method that is taken away from the others, at the same step and the most alike protocol.
    metric, where
        A metric, and ``overall`` or a group: ``tail``, ``macro``, ``worst``.

    Returns
    -------
    pandas.DataFrame
        One row a series and extractor: ``cell``, ``label``, ``baseline_label``, ``extractor``, ``n`` common seeds, ``mean``,
        ``low`` and ``high`` (95 % t interval of the mean difference; nan for one seed), ``agree`` (seeds with the
        mean's sign) and ``p`` (a sentence).

    Raises
    ------
    UsageError
        No scores of that metric in that place, or nothing to compare with the baseline.

    Examples
    --------
    >>> import ltbench as lt
    >>> scores = lt.load_scores("runs")
    >>> doubled = scores.assign(method="other", series="other", train_key="other", value=2 * scores["value"])
    >>> import pandas as pd
    >>> lt.compare(pd.concat([scores, doubled]), where="tail")["n"].tolist()
    [1]
    """
    import pandas as pd

    from ltbench.report.cells import cells
    from ltbench.report.tables.differences import differences

    tables = [differences(cell, baseline) for cell in cells(scores)]
    tables = [table for table in tables if len(table)]
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
    if table.empty:
        raise UsageError(f"no method has a seed in common with a baseline called {baseline!r}")
    place = "" if where == "overall" else where
    table = table[
        (table["metric"] == metric) & (table["class_or_group"] == place) & (table["scope"] != "pooled")
    ]
    if table.empty:
        raise UsageError(
            f"no {metric!r} in {where!r} to compare: `load_scores` says which metrics and groups there are"
        )
    columns = [
        "cell",
        "label",
        "baseline_label",
        "extractor",
        "n",
        "seeds",
        "mean",
        "low",
        "high",
        "agree",
        "p",
    ]
    return table[columns].reset_index(drop=True)


@dataclass(frozen=True)
class Report:
    """A written report.

    Attributes
    ----------
    path
        Its folder, with ``index.html`` and ``report.md``.
    findings
        Sentences, what was declared beforehand first.
    tables
        Name -> table as it is printed.
    figures
        Name -> PNG file.
    """

    path: Path
    findings: tuple[str, ...] = ()
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict, repr=False)
    figures: Mapping[str, Path] = field(default_factory=dict, repr=False)


def report(
    *roots: str | Path,
    out: str | Path | None = None,
    baseline: str = "ddpm",
    paper: bool = False,
    contrast: Contrast | None = None,
) -> Report:
    """Write the report of all runs in some folders: tables, figures and one HTML page.

    Parameters
    ----------
    roots
        Folders of runs, shown side by side; default: ``runs``.
    out
        Where it goes; default: ``report`` in the first root.
    baseline
        The method that the others are compared with, seed by seed.
    paper
        Also fill the papers' tables, published numbers beside ours.
    contrast
        The comparison declared beforehand: ``load_study(...).contrast``.

    Returns
    -------
    Report
        ``path``, ``findings``, ``tables`` and ``figures``.

    Raises
    ------
    UsageError
        Nothing to report, or no such baseline.
    CheckpointError
        A file is truncated or not what it should be.

    Examples
    --------
    >>> import ltbench as lt
    >>> written = lt.report("runs")
    >>> (written.path / "index.html").exists(), len(written.tables) > 0
    (True, True)
    """
    import pandas as pd

    from ltbench.report import write_report

    given = [Path(root) for root in roots or ("runs",)]
    target = Path(out) if out is not None else given[0] / "report"
    written = write_report(given, target, paper=paper, baseline=baseline, contrast=contrast)
    tables = {
        table.name: pd.DataFrame([list(map(str, row)) for row in table.rows], columns=table.columns)
        for table in written.document.tables()
    }
    figures = {path.stem: path for path in written.files if path.suffix == ".png"}
    return Report(target, tuple(written.findings), tables, figures)


def available(kind: str) -> pd.DataFrame:
    """Return what can be named: one row each with its name, title and origin.

    Parameters
    ----------
    kind
        ``methods``, ``datasets``, ``metrics``, ``extractors``, ``samplers``, ``guidance`` or ``presets``.

    Raises
    ------
    UsageError
        Another kind.

    Examples
    --------
    >>> import ltbench as lt
    >>> "coral" in set(lt.available("methods")["name"])
    True
    """
    import pandas as pd

    if kind not in KINDS:
        raise UsageError(f"nothing of the kind {kind!r}{nearest(kind, KINDS)}")
    if kind == "presets":
        from ltbench.study.presets import load_all

        rows = [(name, content.get("title", ""), "ltbench") for name, content in load_all().items()]
    elif kind == "extractors":
        from ltbench.extractors.registry import EXTRACTORS, known_extractors

        rows = [(row.name, row.title, EXTRACTORS.origin(row.name)) for row in known_extractors()]
    else:
        point = extension_points()[kind]
        rows = [(name, _title(found.value), found.origin) for name, found in point.extensions().items()]
    return pd.DataFrame(rows, columns=["name", "title", "origin"])


KINDS = ("methods", "datasets", "metrics", "extractors", "samplers", "guidance", "presets")


def extension_points() -> dict[str, ExtensionPoint[Any]]:
    """Return where other people's packages can add something, by kind."""
    from ltbench.data.registry import SOURCES
    from ltbench.diffusion.guidance import RULES
    from ltbench.diffusion.registry import SAMPLERS
    from ltbench.extractors.registry import EXTRACTORS
    from ltbench.method.registry import METHODS
    from ltbench.metrics.registry import METRICS

    return {
        "methods": METHODS,
        "datasets": SOURCES,
        "metrics": METRICS,
        "extractors": EXTRACTORS,
        "samplers": SAMPLERS,
        "guidance": RULES,
    }


def _title(extension: Any) -> str:
    """Return one line about an extension: a method states its paper, a metric what it measures."""
    for name in ("title", "paper", "description"):
        if text := getattr(extension, name, ""):
            return str(text)
    return ""
