"""A known distribution with its exact denoiser through training's, sampling's, scoring's and the report's own code.

Every measure has to come out where independent real draws do: whatever is off is the instrument's.
"""

import numpy as np
import pandas as pd
import pytest
import torch

from ltbench.analysis.cells import cells
from ltbench.data import load_dataset
from ltbench.data.sources.closed_form import class_means, class_sds, draw
from ltbench.environment import Environment
from ltbench.errors import UsageError
from ltbench.pipeline import run_stage, stages
from ltbench.report.tables.scores import overall_table
from ltbench.runs.results import load_scores
from ltbench.runs.samples import load_samples
from ltbench.runs.scores import read_scores
from ltbench.scoring.score import score_samples
from ltbench.specs import ModelSpec
from ltbench.study.file import load_study
from ltbench.training.model import build_model

PER_CLASS = 60
DRAWS = 8
PLACE = ["scope", "class_or_group", "metric"]


def spec_of(sampler, steps):
    settings = [f"sample.sampler={sampler}", f"sample.steps={steps}", f"sample.per_class={PER_CLASS}"]
    return load_study("closed_form", [*settings, "score.floor_draws=2", "score.bootstrap=0"]).runs[0]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Finished runs of a deterministic and a stochastic sampler, at steps where their own error is .3 %."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("exact")
    for spec in (spec_of("dpmsolver++", 100), spec_of("sde-dpmsolver++", 200)):
        for stage in stages(spec):
            run_stage(stage, root, Environment(recompute=True))  # a formula has no activations
    return root


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """Mean and standard deviation of every score over independent sets of real images, place by place."""
    spec = spec_of("dpmsolver++", 100)
    dataset = load_dataset(spec.data)
    tables = []
    for seed in range(100, 100 + DRAWS):
        images = draw(PER_CLASS, seed)
        tables.append(
            score_samples(dataset, images.images, images.labels, spec, tmp_path_factory.mktemp("cache"))
        )
    together = pd.concat(tables)
    together["value"] = together["value"].astype(float)
    return together.groupby(PLACE)["value"].agg(["mean", "std"])


def test_samples_are_of_the_known_distribution(root):
    for folder in sorted(root.glob("*/samples/*")):
        images, labels = load_samples(folder)
        pixels = np.asarray(images, float) / 127.5 - 1
        for k in range(10):
            drawn = pixels[labels == k]
            assert (drawn - class_means()[k]).std() == pytest.approx(class_sds()[k], rel=0.05)
            assert np.abs(drawn.mean(0) - class_means()[k]).max() < 5 * class_sds()[k] / PER_CLASS**0.5


@pytest.mark.parametrize("sampler", ["dpmsolver++", "sde-dpmsolver++"])
def test_every_measure_is_where_real_images_are(root, real, sampler):
    tables = [read_scores(path) for path in sorted(root.glob("*/samples/*/scores.csv"))]
    (scores,) = [table for table in tables if set(table["sampler"]) == {sampler}]
    scores = scores.assign(value=scores["value"].astype(float)).set_index(PLACE)["value"].dropna()
    compared = scores.index.intersection(real.index)
    measures = {metric for _, _, metric in compared}
    assert {"frechet", "recall", "precision", "density", "coverage", "kid"} <= measures
    for place in compared:
        mean, sd = real.loc[place]
        # a mean and a spread of 8 draws, some 400 comparisons: 6 sd of them
        assert abs(scores[place] - mean) <= 6 * sd + 1e-6 + 0.01 * abs(mean), (place, scores[place], mean, sd)


def test_the_report_prints_them_beside_their_floor(root):
    (cell,) = cells(load_scores(root))
    table = overall_table(cell)
    column = table.columns.index("FD (pixels) ↓")
    values = [float(row[column].split(" ")[0]) for row in table.rows]
    assert len(values) == 3
    assert max(values) <= 1.1 * min(values) + 0.02
    assert {"dpmsolver++", "sde-dpmsolver++"} <= {entry for row in table.rows for entry in row}


def test_a_sampler_that_is_too_smooth_is_seen(root, real):
    """The measures can tell: trailing's images are of another distribution."""
    spec = spec_of("dpmsolver++", 20)
    spec = spec.model_copy(update={"sample": spec.sample.model_copy(update={"spacing": "trailing"})})
    for stage in stages(spec):
        run_stage(stage, root.parent / "smooth", Environment())
    (path,) = (root.parent / "smooth").glob("*/samples/*/scores.csv")
    scores = read_scores(path).set_index(PLACE)["value"].astype(float)
    for metric in ("recall", "precision", "density"):
        mean, sd = real.loc[("overall", "", metric)]
        assert abs(scores[("overall", "", metric)] - mean) > 10 * sd, metric


def test_counts_are_long_tailed_and_the_sets_are_apart():
    dataset = load_dataset(spec_of("ddim", 20).data)
    assert dataset.counts[0] == 300
    assert dataset.counts[-1] == 30
    assert len({dataset.train.sha256, dataset.reference.sha256, dataset.heldout.sha256}) == 3
    model = build_model(spec_of("ddim", 20), dataset)["denoiser"]
    np.testing.assert_allclose(model.prior, dataset.prior)


def test_the_exact_network_is_known_for_these_data_only():
    study = load_study("closed_form")
    spec = study.runs[0].model_copy(
        update={"data": study.runs[0].data.model_copy(update={"dataset": "digits_lt"})}
    )
    assert spec.model == ModelSpec(size="exact", dropout=0.0)
    with pytest.raises(UsageError, match="closed_form only: choose tiny"):
        build_model(spec, load_dataset(spec.data))
