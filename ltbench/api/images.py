"""Images: labels to images by a network, and images to scores."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import ltbench.runs.run as stored
from ltbench.api.arguments import (
    a_path,
    class_shares,
    members,
    pixels,
    some_names,
    whole_numbers,
)
from ltbench.api.sampling import modes_kept, network_of, rule_settings
from ltbench.environment import usable_device
from ltbench.errors import UsageError
from ltbench.specs import UNLABELLED, ScoreSpec

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from torch import Tensor, nn

    from ltbench.api.runs import Run
    from ltbench.data import Dataset
    from ltbench.diffusion.guidance import Omega
    from ltbench.method import Prediction
    from ltbench.runs.run import SampleSet


class DenoiserLike(Protocol):
    """What `sample` takes: a network with labels, ``(x_t, t, label) -> Prediction``; see `sample`."""

    shape: tuple[int, int, int]
    num_classes: int

    def __call__(self, x_t: Tensor, t: Tensor, label: Tensor) -> Prediction:
        """Return the predicted noise (B, C, H, W); label K stands for no label."""


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
        means no label, and the prediction (`ltbench.method.Prediction`, or any object with it) has ``eps`` (B,C,H,W). A
        module is moved to `device`, and is in eval mode while it is sampled.
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
    import torch
    from pydantic import ValidationError

    from ltbench.diffusion.guidance import RULES, checked_omega
    from ltbench.diffusion.samplers import Guided, guide
    from ltbench.diffusion.samplers import sample as draw
    from ltbench.specs import SampleSpec

    where = usable_device(device)
    denoiser = network_of(model, where)
    classes = torch.from_numpy(whole_numbers(labels, denoiser.num_classes))
    plain: dict[str, Any] = {"guidance": 0.0 if callable(guidance) else guidance}
    rule = rule_settings(guidance) if isinstance(guidance, Mapping) else plain
    counts = rule.pop("counts", None)
    name = rule.get("rule")
    if isinstance(name, str) and name in RULES and RULES[name].away_from == "network":
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
    prior = class_shares(counts, denoiser.num_classes)
    if len(spec.omega_factors) not in (0, denoiser.num_classes):
        raise UsageError(
            f"sample: omega_factors has {len(spec.omega_factors)} numbers for {denoiser.num_classes} classes"
        )
    other = None if away_from is None else network_of(away_from, where)
    if other is not None and (other.shape, other.num_classes) != (denoiser.shape, denoiser.num_classes):
        raise UsageError(
            f"sample: away_from has images {other.shape} of {other.num_classes} classes, the model "
            f"{denoiser.shape} of {denoiser.num_classes}"
        )
    if callable(guidance):
        guided = Guided(denoiser, checked_omega(guidance), other)
    else:
        guided = guide(denoiser, spec, prior, other)
    with modes_kept(denoiser, other):
        return draw(guided, classes, sampler=spec, device=where).numpy()


def score(
    images: np.ndarray,
    labels: Sequence[int] | np.ndarray | None,
    dataset: Dataset,
    *,
    metrics: str | Iterable[str] = "default",
    extractors: str | Iterable[str] = "auto",
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

    from ltbench.data import Dataset, ImageSet
    from ltbench.scoring.score import score_pools

    if not isinstance(dataset, Dataset):
        raise UsageError(
            f"dataset must be what load_dataset returns, not a {type(dataset).__name__}: lt.load_dataset('digits_lt')"
        )
    images = pixels(images, dataset.shape)
    if not len(images):
        raise UsageError("images are empty: score at least a few of every class")
    if labels is None:
        labels = np.full(len(images), UNLABELLED)
    else:
        labels = whole_numbers(labels, dataset.num_classes, len(images))
    request = _request(metrics, extractors, bootstrap)
    generated = ImageSet(images, labels.astype(np.int64))
    with tempfile.TemporaryDirectory(prefix="ltbench-") as scratch:
        features_folder = Path(scratch) if cache is None else a_path(cache, "cache")
        rows = score_pools(dataset, generated, request, features_folder, usable_device(device))
    return pd.DataFrame(rows)


def _request(metrics: str | Iterable[str], extractors: str | Iterable[str], bootstrap: int) -> ScoreSpec:
    """Return a request; a TorchScript file that the caller names here may run."""
    from pydantic import ValidationError

    from ltbench.extractors import torchscript

    named = {
        "metrics": some_names(metrics, "metrics"),
        "extractors": some_names(extractors, "extractors"),
    }
    try:
        request = ScoreSpec(**named, bootstrap=bootstrap)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise UsageError(f"{name}: {first['msg'].removeprefix('Value error, ')}") from error
    for name in request.extractors:
        if name.startswith(torchscript.PREFIX):
            torchscript.trust(name)
    return request


def evaluate(
    runs: Run | SampleSet | str | Path | Iterable[Run | SampleSet | str | Path],
    *,
    metrics: str | Iterable[str],
    extractors: str | Iterable[str] = "auto",
    bootstrap: int = 0,
    recompute: bool = False,
    device: str | None = None,
) -> pd.DataFrame:
    """Add metrics to the scores of finished runs; nothing is trained or sampled.

    Parameters
    ----------
    runs
        Runs, sample sets of them, their folders, or folders of runs.
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

    from ltbench.scoring.evaluate import evaluate_sets

    several = members(runs)
    given = [runs] if several is None else several
    if not given:
        raise UsageError("evaluate was given no run: name some, or their folder")
    folders = [
        entry.folder
        if isinstance(entry, stored.Run | stored.SampleSet)
        else a_path(entry, "runs, and each of them,")
        for entry in given
    ]
    request = _request(metrics, extractors, bootstrap)
    tables = [table for _, table in evaluate_sets(folders, request, recompute, device=device)]
    return pd.concat(tables, ignore_index=True)
