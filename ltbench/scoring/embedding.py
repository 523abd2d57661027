"""t-SNE of the bottleneck: from pooled features of one probe to places in the plane, computed once and kept beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from threadpoolctl import threadpool_limits

from ltbench.runs.run import Run, write_embedding

POINTS_PER_CLASS = 30
MOST_POINTS = 3000  # a thousand classes would take minutes and be no picture
PERPLEXITY = 30
ITERATIONS = 500
LEVELS = (100, 0)  # time steps, of those a probe stores


def embed(features: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Place a probe's features in the plane.

    Parameters
    ----------
    features
        ``labels`` (n,) and features (n,d) named ``PROTOCOL_T``, as a probe stores them.

    Returns
    -------
    ``labels`` (m,) and places (m,2) by the same names; the first `POINTS_PER_CLASS` of each class,
    fewer where that were more than `MOST_POINTS`. {} without any.
    """
    from sklearn.manifold import TSNE  # a second of import that only this needs

    names = [n for n in features if n != "labels" and float(n.split("_")[1]) in LEVELS]
    if "labels" not in features or not names:
        return {}
    labels = features["labels"]
    classes = np.unique(labels)
    each = max(1, min(POINTS_PER_CLASS, MOST_POINTS // len(classes)))
    keep = np.concatenate([np.flatnonzero(labels == k)[:each] for k in classes])
    out = {"labels": labels[keep]} if len(keep) > 4 else {}
    for name in names if len(keep) > 4 else ():
        x = features[name][keep].astype(np.float32)
        perplexity = min(PERPLEXITY, (len(x) - 1) // 3)
        with threadpool_limits(1):  # the same picture on any number of cores
            model = TSNE(perplexity=perplexity, max_iter=ITERATIONS, init="pca", random_state=0)
            out[name] = model.fit_transform(x)
    return out


def keep_embeddings(runs: Iterable[tuple[Run, float]]) -> None:
    """Compute the t-SNE of the probes of runs at a step where it is not kept yet, and keep it beside the probe."""
    for run, step in runs:
        if not run.embedding(step) and (places := embed(run.probe_features(step))):
            write_embedding(run.folder, step, places)
