"""Stored sample sets scored again: from a request and folders of runs to rows added to their scores."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from ltbench.data.dataset import cached_dataset
from ltbench.environment import usable_device
from ltbench.metrics.registry import requested_metrics
from ltbench.runs.bundle import is_bundle
from ltbench.runs.layout import CACHE
from ltbench.runs.places import opened
from ltbench.runs.run import SampleSet, sample_sets
from ltbench.runs.scores import merge_scores, record_requests, scored_requests
from ltbench.scoring.score import score_samples
from ltbench.spec import ScoreSpec, stage_key


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
        roots = [stack.enter_context(opened(folder)) if is_bundle(folder) else folder for folder in folders]
        for samples in [each for root in roots for each in sample_sets(root)]:
            dataset = cached_dataset(samples.spec.data, data_root)
            images, labels = samples.arrays()
            asked = samples.spec.model_copy(update={"score": request})
            stored = None if recompute else samples.scores()
            table = score_samples(dataset, images, labels, asked, samples.root / CACHE, where, stored)
            table = table.assign(**samples.claims)
            merge_scores(samples.scores_file, table)
            if len(table) and not samples.claims:  # a sweep that asked for the same has nothing left to do
                requests = scored_requests(samples.folder)
                record_requests(
                    samples.folder, {**requests, stage_key(asked, "score"): request.model_dump(mode="json")}
                )
            yield samples, table
