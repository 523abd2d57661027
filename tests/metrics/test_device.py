"""Metrics on fake `cuda` features: no operation mixes devices, and the host reads a number of values that is fixed."""

import sys

import numpy as np
import pytest
import torch
from fake_gpu import Waits, fake_mode

from ltbench.metrics.authenticity import authenticity_percent
from ltbench.metrics.cmmd import cmmd
from ltbench.metrics.diversity import vendi_score
from ltbench.metrics.fld import feature_likelihood_divergence
from ltbench.metrics.frechet import frechet_distance, frechet_infinity
from ltbench.metrics.inception_score import inception_score
from ltbench.metrics.kernel import kernel_distance, kernel_distance_subsets
from ltbench.metrics.manifold import density_coverage, precision_recall
from ltbench.metrics.memorisation import memorisation

READS = ("aten._local_scalar_dense", "aten.nonzero", "aten.is_nonzero", "blocking copy")

METRICS = {
    "frechet": lambda r, g, **_: frechet_distance(r, g),
    "frechet infinity": lambda r, g, **_: frechet_infinity(r, g),
    "kernel": lambda r, g, **_: kernel_distance(r, g),
    "kernel subsets": lambda r, g, **_: kernel_distance_subsets(r, g, subsets=3, size=20),
    "precision": lambda r, g, **_: precision_recall(r, g, k=3),
    "density": lambda r, g, **_: density_coverage(r, g, k=3),
    "memorisation": lambda g, t, h, **_: memorisation(t, h, g),
    "authenticity": lambda g, t, **_: authenticity_percent(t, g),
    "cmmd": lambda r, g, **_: cmmd(r, g),
    "vendi": lambda r, g, **_: vendi_score(r, g),
    "fld": lambda g, t, h, **_: feature_likelihood_divergence(t, h, g),
    "inception score": lambda g, **_: inception_score(g.abs(), splits=2),
}


def waits_of(metric, monkeypatch, n=60, d=8):
    """Compute a metric of fake features on a fake GPU; return what waited. A backward pass would need a driver."""
    monkeypatch.setattr(torch.Tensor, "backward", lambda *_: None)
    stream = np.random.default_rng(0)
    real = [torch.from_numpy(stream.standard_normal((n, d), np.float32)) for _ in range(4)]
    mode = fake_mode()
    with mode:
        sets = [mode.from_tensor(x).to("cuda") for x in real]
        with Waits(answer=True) as waits:
            METRICS[metric](**dict(zip("rgth", sets, strict=True)))
    return waits


@pytest.mark.parametrize("metric", METRICS)
def test_a_metric_mixes_no_devices_and_reads_as_often_for_more_images(metric, monkeypatch):
    """In small blocks: 90 images are more of them than 60."""
    for module in (sys.modules[cmmd.__module__], sys.modules[feature_likelihood_divergence.__module__]):
        blocks = module.in_blocks
        monkeypatch.setattr(module, "in_blocks", lambda n, size, blocks=blocks: blocks(n, min(size, 20)))
    few, many = waits_of(metric, monkeypatch), waits_of(metric, monkeypatch, n=90)
    assert [found for found in many.found if not found.startswith(READS)] == []
    assert len(few.found) == len(many.found)
