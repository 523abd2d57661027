"""What a metric is given: pools, places, references made ready once."""

import dataclasses

import numpy as np
import pytest
from scored_digits import CELL, HELD, REFERENCE, REQUEST, WHOLE, K, at, cut, features

from ltbench.data.images import ImageSet
from ltbench.errors import UsageError
from ltbench.extractors.registry import get_extractor
from ltbench.metrics.base import Metric, Output
from ltbench.metrics.manifold import precision_recall
from ltbench.metrics.registry import get_metric
from ltbench.scoring.inputs import OVERALL, MetricInputs, ReferenceCache, ScoringContext
from ltbench.scoring.score import score_pools
from ltbench.specs import ScoreSpec


def test_memorisation_uses_every_held_out_image(cache, noisy):
    request = ScoreSpec(metrics=("memorisation",))
    rows = score_pools(CELL, ImageSet(*noisy), request, cache)
    for k, count in enumerate((30, 28, 24)):
        expected = at(rows, "memorisation_expected", "class", k)["value"]
        assert expected == pytest.approx(max(1, int(0.05 * (count + 1))) / (count + 1))


def test_metrics_that_share_a_reference_made_ready_each_refuse_by_their_own_k(noisy, tmp_path):
    """Five reference images a class: k = 3 has its radii, k = 5 needs a sixth image."""
    five = dataclasses.replace(CELL, reference=cut(REFERENCE, (5, 5, 5)))
    request = ScoreSpec(metrics=("precision_recall", "density_coverage"), bootstrap=0, floor_draws=1)
    rows = score_pools(five, ImageSet(*noisy), request, tmp_path)
    real, fake = (
        features(images[labels == 1], tmp_path)
        for images, labels in ((five.reference.images, five.reference.labels), noisy)
    )
    for name, expected in precision_recall(real, fake, k=3).items():
        assert at(rows, name, "class", 1)["value"] == expected
        assert np.isfinite(at(rows, f"{name}.floor", "class", 1)["value"])
    density = at(rows, "density", "class", 1)
    assert density["reason"] == "class 1 has 5 reference images and density_coverage needs 6"


@pytest.mark.usefixtures("cache")
def test_a_reference_made_ready_for_one_data_set_is_not_used_for_another(noisy, tmp_path):
    """One process scores two references in turn, with one extractor: each number is as if scored alone."""
    other = dataclasses.replace(CELL, reference=cut(WHOLE.reference, (20, 20, 20)))
    request, samples = ScoreSpec(**REQUEST, bootstrap=0), ImageSet(*noisy)

    def numbers(cell, prepared):
        rows = score_pools(cell, samples, request, tmp_path, prepared=prepared)
        return [row["value"] for row in rows]

    shared = ReferenceCache()
    first, second, again = (numbers(cell, shared) for cell in (CELL, other, CELL))
    assert first == again != second
    assert second == numbers(other, ReferenceCache())


def test_a_reference_made_ready_on_one_extractor_is_not_used_on_another(cache, noisy):
    class Twice:
        """digits_cnn with all features doubled: every Frechet distance is four times as large."""

        def __init__(self, hash_):
            self.inner, self.name, self.hash = get_extractor("digits_cnn"), "twice", hash_
            self.classifies, self.has_logits = "digits_lt", True

        def __call__(self, images, *_):
            out = self.inner(images)
            return dataclasses.replace(out, features=2 * out.features)

    pools = {"reference": REFERENCE, "heldout": HELD, "training": CELL.train, "generated": ImageSet(*noisy)}
    shared = ReferenceCache()
    metric = get_metric("frechet")
    values = []
    for extractor in (get_extractor("digits_cnn"), Twice("another")):
        context = ScoringContext(pools, extractor, K, cache, "digits_lt", shared)
        values.append(MetricInputs(metric, context).value(OVERALL)["frechet"])
    assert values[1] == pytest.approx(4 * values[0], rel=1e-5)


def at_overall(metric, tmp_path):
    pools = {"reference": REFERENCE, "heldout": HELD, "training": CELL.train, "generated": HELD}
    context = ScoringContext(pools, None, K, tmp_path, "digits_lt", ReferenceCache())
    return MetricInputs(metric, context).value(OVERALL)


def made(function, *outputs, **options):
    return Metric("x", "images", ("reference", "generated"), function, outputs, "made up", "", **options)


def test_a_reference_that_a_packages_metric_cannot_prepare_is_one_sentence(tmp_path):
    metric = made(lambda reference, generated: 1.0, Output("x", None), prepare=lambda _: 1 / 0)  # noqa: ARG005
    with pytest.raises(UsageError, match="^metric x failed to prepare its reference: ZeroDivisionError: div"):
        at_overall(metric, tmp_path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_is_not_finite_is_refused_and_named(value, tmp_path):
    metric = made(lambda **_: {"x_a": 1.0, "x_b": value}, Output("x_a", None), Output("x_b", None))
    with pytest.raises(UsageError, match=f"^metric x returned {value} for x_b$"):
        at_overall(metric, tmp_path)


def test_a_class_that_a_metric_cannot_be_computed_on_is_nan_and_none_is_infinite(tmp_path):
    each = Output("x_each", "higher", per_class=True)
    nan, inf = (made(lambda value=value, **_: [1.0, value, 2.0], each) for value in (np.nan, np.inf))
    np.testing.assert_array_equal(at_overall(nan, tmp_path)["x_each"], [1, np.nan, 2])
    with pytest.raises(UsageError, match="^metric x returned inf for x_each of class 1$"):
        at_overall(inf, tmp_path)
