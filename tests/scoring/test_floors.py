"""Floors: real images scored as if they were samples, of as many images, kept between scorings."""

import dataclasses
import json

import numpy as np
import pytest
from scored_digits import CELL, FRECHET, HELD, REFERENCE, REQUEST, SMALLEST, at, cut, features, value
from tiny_runs import make_spec

from ltbench.data.images import ImageSet, balanced
from ltbench.errors import UsageError
from ltbench.metrics.base import Metric, Output
from ltbench.metrics.frechet import frechet_distance
from ltbench.scoring import floors
from ltbench.scoring.inputs import OVERALL, MetricInputs, ReferenceCache, ScoringContext
from ltbench.scoring.score import score_pools, score_samples
from ltbench.specs import ScoreSpec


def test_held_out_images_in_the_samples_place_score_their_own_floor(cache):
    pool = balanced(HELD, "heldout")
    table = score_samples(CELL, pool.images, pool.labels, make_spec(score=REQUEST), cache)
    for metric in ("frechet", "recall", "agreement"):
        assert value(table, metric) == value(table, f"{metric}.floor")
    assert not table.metric.str.contains("floor_sd|at_floor_n").any()  # one draw is all there are


def test_a_floor_is_the_mean_over_draws_of_as_many_real_images(cache):
    few = cut(HELD, (10, 10, 10))
    table = score_samples(CELL, few.images, few.labels, make_spec(score=FRECHET), cache)
    assert not table.metric.str.endswith("at_floor_n").any()
    floor, spread = (value(table, f"frechet.{name}", "class", 0) for name in ("floor", "floor_sd"))
    real, reference = features(HELD.images, cache), features(REFERENCE.images, cache)
    stream = np.random.default_rng(0)
    draws = [
        frechet_distance(
            reference[REFERENCE.labels == 0],
            real[stream.choice(np.flatnonzero(HELD.labels == 0), 10, replace=False)],
        )
        for _ in range(15)
    ]
    assert floor == pytest.approx(np.mean(draws), abs=3 * np.std(draws))
    assert 0 < spread < 4 * np.std(draws)
    more = score_samples(CELL, few.images, few.labels, make_spec(score=FRECHET | {"floor_draws": 5}), cache)
    assert value(more, "frechet.floor", "class", 0) != floor


def test_more_samples_than_held_out_images_are_also_scored_at_their_number(table, cache, noisy):
    real, fake = features(REFERENCE.images, cache), features(noisy[0], cache)
    for k in (0, 2):
        at_n = value(table, "frechet.at_floor_n", "class", k)
        stream = np.random.default_rng(0)
        rows = np.flatnonzero(noisy[1] == k)
        draws = [
            frechet_distance(real[REFERENCE.labels == k], fake[stream.choice(rows, SMALLEST, replace=False)])
            for _ in range(15)
        ]
        assert at_n == pytest.approx(np.mean(draws), abs=4 * np.std(draws))


def test_floors_are_kept_and_do_not_depend_on_the_samples(cache, noisy, table):
    images = 255 - noisy[0]
    kept = sorted((cache / "floors").iterdir())
    again = score_samples(CELL, images, noisy[1], make_spec(score=FRECHET), cache)
    assert sorted((cache / "floors").iterdir()) == kept
    assert value(again, "frechet.floor") == value(table, "frechet.floor")
    assert value(again, "frechet") > value(table, "frechet")


def test_where_held_out_images_are_the_reference_a_floor_compares_two_halves(cache, noisy):
    shared = dataclasses.replace(CELL, heldout=REFERENCE, heldout_in_reference=True)
    few = cut(ImageSet(*noisy), (25, 25, 25))  # as many as half the reference: drawn whole
    rows = score_pools(shared, ImageSet(few.images, few.labels), ScoreSpec(**FRECHET), cache)
    found = {(row["metric"], row["class_or_group"]): row["value"] for row in rows}
    naive = frechet_distance(*[features(REFERENCE.images, cache)] * 2)
    assert naive < 1e-6 < 0.01 < found["frechet.floor", ""]
    # Beside the floor stands the score against the floor's half of the reference, though no sample is left out.
    assert found["frechet.at_floor_n", ""] != pytest.approx(found["frechet", ""], rel=1e-3)


def test_a_score_has_a_floor_of_its_sizes_beside_it_or_its_own_value_at_the_floors(cache, noisy):
    shared = dataclasses.replace(CELL, heldout=REFERENCE, heldout_in_reference=True)
    many, few = ImageSet(*noisy), cut(ImageSet(*noisy), (9, 9, 9))
    for cell in (CELL, shared):
        for samples in (many, few):
            rows = score_pools(cell, samples, ScoreSpec(**REQUEST), cache)
            for row in (r for r in rows if r["metric"] in ("frechet", "recall", "agreement")):
                if row["class_or_group"] == "worst":
                    continue  # the worst of the scores has no floor
                place = (row["scope"], row["class_or_group"])
                floor = at(rows, row["metric"] + ".floor", *place)
                sizes = (row["n_generated"], row["n_reference"])
                if (floor["n_generated"], floor["n_reference"]) != sizes:
                    own = at(rows, row["metric"] + ".at_floor_n", *place)
                    assert own["n_generated"] == floor["n_generated"]
                    assert own["n_reference"] == floor["n_reference"]


def test_a_floors_spread_is_the_sample_standard_deviation(cache, monkeypatch):
    """Draws of 1, 2 and 6: mean 3, sd sqrt(7) with divisor 2 (sqrt(14/3) with 3)."""
    monkeypatch.setattr(
        floors, "floor_draws", lambda inputs, *_: {o.name: [1.0, 2.0, 6.0] for o in inputs.metric.outputs}
    )
    few = cut(HELD, (10, 10, 10))
    rows = score_pools(CELL, few, ScoreSpec(**FRECHET, bootstrap=0), cache)
    assert at(rows, "frechet.floor")["value"] == 3
    assert at(rows, "frechet.floor_sd")["value"] == pytest.approx(7**0.5, rel=1e-12)


@pytest.mark.usefixtures("noisy")
def test_a_floor_kept_for_one_data_set_is_not_read_for_another(tmp_path):
    """Equal counts, another reference or other held-out images: the cache's name has to tell them apart."""
    few, request = cut(HELD, (10, 10, 10)), ScoreSpec(**FRECHET, bootstrap=0)
    changed = [
        dataclasses.replace(CELL, reference=dataclasses.replace(REFERENCE, images=255 - REFERENCE.images)),
        dataclasses.replace(CELL, heldout=dataclasses.replace(HELD, images=255 - HELD.images)),
    ]
    first = at(score_pools(CELL, few, request, tmp_path), "frechet.floor")["value"]
    for number, cell in enumerate(changed):
        shared = at(score_pools(cell, few, request, tmp_path), "frechet.floor")["value"]
        alone = at(score_pools(cell, few, request, tmp_path / str(number)), "frechet.floor")["value"]
        assert shared == alone != first


def test_a_kept_floor_that_reads_the_training_set_is_not_read_for_another_ratio(tmp_path):
    """AuthPct's floor is of held-out images against the training set: equal reference, a tenth of the images."""
    few = cut(HELD, (10, 10, 10))
    fewer = dataclasses.replace(CELL, train=cut(CELL.train, (4, 4, 4)), counts=np.array([4, 4, 4]))
    request = ScoreSpec(metrics=("authpct", "frechet"), floor_draws=3, bootstrap=0)
    before = score_pools(CELL, few, request, tmp_path)
    kept = len(list((tmp_path / "floors").iterdir()))
    shared, alone = (score_pools(fewer, few, request, tmp_path / folder) for folder in ("", "alone"))
    for where in (("overall", ""), ("class", 0)):
        floor = at(alone, "authpct.floor", *where)
        assert at(shared, "authpct.floor", *where) == floor
        assert at(before, "authpct.floor", *where)["value"] != floor["value"]
    made = len(list((tmp_path / "floors").iterdir())) - kept
    assert made == sum(row["metric"] == "authpct.floor" and row["scope"] != "group" for row in shared)


def test_a_kept_floor_that_was_changed_is_computed_again(tmp_path):
    few, request = cut(HELD, (10, 10, 10)), ScoreSpec(**FRECHET, bootstrap=0)
    before = score_pools(CELL, few, request, tmp_path)
    for path in (tmp_path / "floors").iterdir():
        content = json.loads(path.read_text())
        content["draws"]["frechet"][0] += 1
        path.write_text(json.dumps(content))
    assert score_pools(CELL, few, request, tmp_path) == before


def test_rows_stand_in_one_order_whether_floors_were_kept_or_not(noisy, tmp_path):
    request = ScoreSpec(metrics=("density_coverage", "precision_recall"), floor_draws=2)
    first, again = (score_pools(CELL, ImageSet(*noisy), request, tmp_path) for _ in range(2))
    assert first == again
    assert len(first) > 50


@pytest.mark.parametrize(
    ("refused", "count", "without"),
    [
        (
            "real",
            72,
            {"grey.floor"},
        ),  # no value at the floor's n either: there is no floor to read it against
        ("made", 72, {"grey.at_floor_n"}),
        ("made", 45, {"grey.ci_low", "grey.ci_high"}),
        ("none", 0, set()),
    ],
)
def test_what_stands_beside_a_value_and_cannot_be_computed_leaves_the_value(
    refused, count, without, noisy, tmp_path
):
    """90 samples, 72 held-out images at the floor's n, halves of 45: a metric that refuses one of them."""
    real = {image.tobytes() for image in HELD.images}

    def mean_grey(reference, generated):  # noqa: ARG001 - compared with a reference, so that it has a floor
        kind = "real" if generated[0].tobytes() in real else "made"
        if (kind, len(generated)) == (refused, count):
            raise UsageError("too dark to compare")
        return float(generated.mean())

    metric = Metric("grey", "images", ("reference", "generated"), mean_grey, (Output("grey", None),), "", "")
    pools = {"reference": REFERENCE, "heldout": HELD, "training": CELL.train, "generated": ImageSet(*noisy)}
    pools |= {"floor_reference": REFERENCE, "floor_heldout": balanced(HELD, "heldout")}
    context = ScoringContext(pools, None, 3, tmp_path, "digits_lt", ReferenceCache())
    numbers = floors.with_floors(MetricInputs(metric, context), OVERALL, ScoreSpec(bootstrap=3))
    assert numbers["grey"].value == noisy[0].mean()
    assert {name for name, number in numbers.items() if np.isnan(number.value)} == without
    assert all(numbers[name].reason == "too dark to compare" for name in without)
    absent = {"grey.at_floor_n"} if refused == "real" else set()
    everything = {f"grey{role}" for role in ("", ".floor", ".at_floor_n", ".ci_low", ".ci_high")}
    assert set(numbers) == everything - absent


def test_a_score_that_its_floors_size_does_not_allow_has_a_value_and_a_floor_without_one(noisy, tmp_path):
    """PRD with 20 x 3 clusters takes 30 images: 90 samples against 150 have it, 18 held-out ones do not."""
    few = dataclasses.replace(CELL, heldout=cut(HELD, (6, 6, 6)))
    rows = score_pools(few, ImageSet(*noisy), ScoreSpec(metrics=("prd",), bootstrap=0), tmp_path)
    assert 0 < at(rows, "f8")["value"] < 1
    floor = at(rows, "f8.floor")
    assert np.isnan(floor["value"])
    assert floor["reason"].startswith("PRD with 60 clusters needs at least 30 images a set, got 18")


@pytest.mark.parametrize(
    ("cell", "counts", "reason"),
    [
        ({"heldout": cut(HELD, (1, 1, 1))}, (9, 9, 9), "3 held out"),
        ({}, (9, 9, 1), "3 generated with equally many a class"),
        (
            {"reference": cut(REFERENCE, (2, 2, 2)), "heldout_in_reference": True},
            (9, 9, 9),
            "3 in half of the reference",
        ),
    ],
)
def test_a_floor_of_too_few_images_names_the_set_that_is_short(cell, counts, reason, tmp_path):
    few = cut(HELD, counts)
    request = ScoreSpec(metrics=("precision_recall",), bootstrap=0)
    rows = score_pools(dataclasses.replace(CELL, **cell), few, request, tmp_path)
    assert at(rows, "recall.floor")["reason"] == f"the whole set has too few images for a floor: {reason}"
    assert np.isfinite(at(rows, "recall")["value"])
