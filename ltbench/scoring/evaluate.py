"""Stored sample sets scored again: from a request and folders of runs to rows added to their scores."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ltbench.data.dataset import cached_dataset
from ltbench.environment import usable_device
from ltbench.extractors.registry import resolve_extractors
from ltbench.metrics.registry import requested_metrics
from ltbench.runs.bundle import is_bundle
from ltbench.runs.layout import CACHE
from ltbench.runs.places import opened
from ltbench.runs.run import SampleSet, sample_sets
from ltbench.runs.scores import merge_scores, record_requests, scored_requests
from ltbench.scoring.nearest import write_nearest_and_confusion
from ltbench.scoring.score import score_samples
from ltbench.specs import ScoreSpec, stage_key
from ltbench.temporary import remove_abandoned

if TYPE_CHECKING:
    from ltbench.data import Dataset


def evaluate_sets(
    folders: Sequence[Path],
    request: ScoreSpec,
    recompute: bool = False,
    data_root: Path | None = None,
    device: str | None = None,
) -> Iterator[tuple[SampleSet, pd.DataFrame]]:
    """Score the sample sets below some folders as a request says, one by one.

    What is stored already, of the same metric, extractor, reference and groups, is left as it is. Of a bundle the
    sample sets whose images it holds are scored, and it is packed again.

    Parameters
    ----------
    folders
        Runs, sample sets, folders of runs or bundles.
    request
        Metrics, extractors, groups and replicates.
    recompute
        Replace numbers that are there already.
    data_root
        Folder of the data sets; None: the default one.
    device
        Where features are computed; None: a GPU where there is one.

    Yields
    ------
    Each sample set with the rows that were added to its scores.

    Raises
    ------
    UsageError
        No finished sample set, an unknown metric or extractor, or a device that is not here.
    """
    requested_metrics(request.metrics)  # a wrong name is refused before anything is read
    where = usable_device(device)
    with contextlib.ExitStack() as stack:  # a bundle is packed again with what was added
        once = {folder.resolve(): folder for folder in folders}.values()
        roots = [stack.enter_context(opened(folder)) if is_bundle(folder) else folder for folder in once]
        for samples in {each.folder.resolve(): each for root in roots for each in sample_sets(root)}.values():
            remove_abandoned(samples.folder)
            dataset = cached_dataset(samples.spec.data, data_root)
            yield samples, score_stored(samples, request, dataset, where, recompute)


def score_stored(
    samples: SampleSet,
    request: ScoreSpec,
    dataset: Dataset,
    device: str,
    recompute: bool = False,
    guard: Callable[[], None] | None = None,
) -> pd.DataFrame:
    """Score a stored sample set, and leave all that its score stage does: so the stage is done, whoever asked.

    Parameters
    ----------
    samples
        Where the images lie, and what was sampled; of images made elsewhere only the numbers are kept.
    request
        Metrics, extractors, groups and replicates.
    dataset
        The samples' data cell.
    device
        Where features are computed.
    recompute
        Replace numbers that are there already.
    guard
        Called just before each file is renamed into place; may raise to withhold it.

    Returns
    -------
    pandas.DataFrame
        The rows that were added.
    """
    folder, cache = samples.folder, samples.root / CACHE
    images, labels = samples.arrays()
    spec = samples.spec.model_copy(update={"score": request})
    key = stage_key(spec, "score")
    stored = None if recompute else samples.scores()
    table = score_samples(dataset, images, labels, spec, cache, device, stored)
    table = table.assign(**samples.stated())
    merge_scores(samples.scores_file, table, guard)
    if key not in scored_requests(folder) and not samples.claims:
        names = resolve_extractors(request.extractors, dataset.spec.dataset, request.resize)
        write_nearest_and_confusion(folder, dataset, images, labels, cache, device, guard, names)
        record_requests(folder, {key: request.model_dump(mode="json")}, guard)
    return table
