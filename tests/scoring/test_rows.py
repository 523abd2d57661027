"""Rows of groups and classes: means, the worst, dashes with their reason."""

import dataclasses

import numpy as np
import pytest
from scored_digits import CELL, FRECHET, HELD, REQUEST, K, at, cut, value
from tiny_runs import make_spec

from ltbench.data.images import ImageSet
from ltbench.metrics.registry import get_metric
from ltbench.scoring.score import score_pools, score_samples
from ltbench.specs import ScoreSpec


def test_groups_are_means_of_their_classes_and_worst_is_the_worst(table):
    for metric in ("frechet", "recall", "agreement"):
        values = [value(table, metric, "class", k) for k in range(K)]
        assert [value(table, metric, "group", name) for name in ("head", "middle", "tail")] == values
        assert value(table, metric, "group", "macro") == pytest.approx(np.mean(values))
        worst = max(values) if metric == "frechet" else min(values)
        assert value(table, metric, "group", "worst") == worst
    floors = [value(table, "frechet.floor", "class", k) for k in range(K)]
    assert value(table, "frechet.floor", "group", "macro") == pytest.approx(np.mean(floors))


def test_a_group_is_the_mean_of_its_classes_and_has_the_size_of_one(cache, noisy):
    pairs = dataclasses.replace(CELL, groups={"head": (0, 1), "tail": (2,)})
    request = ScoreSpec(metrics=("agreement",), floor_draws=1)
    rows = score_pools(pairs, ImageSet(*noisy), request, cache)
    found = {(row["metric"], row["scope"], row["class_or_group"]): row for row in rows}
    head = found["agreement", "group", "head"]
    both = [found["agreement", "class", k]["value"] for k in "01"]
    assert head["value"] == pytest.approx(np.mean(both))
    assert [head["n_train"], head["n_reference"], head["n_generated"]] == [60, 50, 30]


def test_a_group_of_unequal_classes_has_its_value_at_its_floors_sizes(cache, noisy):
    """30 and 10 samples of two classes, 24 held out of each: the first is cut to 24, the second is at its floor's 10."""
    pairs = dataclasses.replace(CELL, groups={"head": (0, 2), "tail": (1,)})
    rows = score_pools(pairs, cut(ImageSet(*noisy), (30, 24, 10)), ScoreSpec(**FRECHET, bootstrap=0), cache)
    places = [
        r["class_or_group"] for r in rows if (r["metric"], r["scope"]) == ("frechet.at_floor_n", "group")
    ]
    assert places == ["head", "macro"]  # of the tail, one class at its floor's size, the value is its own
    first = at(rows, "frechet.at_floor_n", "class", 0)["value"]
    alone = at(rows, "frechet", "class", 2)["value"]
    head = at(rows, "frechet.at_floor_n", "group", "head")
    assert head["value"] == pytest.approx((first + alone) / 2, rel=1e-12)
    assert head["n_generated"] == at(rows, "frechet.floor", "group", "head")["n_generated"] == 10
    few = cut(ImageSet(*noisy), (30, 24, 1))  # too few for any value of class 2
    found = score_pools(pairs, few, ScoreSpec(**FRECHET, bootstrap=0), cache)
    cut_places = {(r["scope"], r["class_or_group"]) for r in found if r["metric"] == "frechet.at_floor_n"}
    assert ("class", "0") in cut_places
    assert ("group", "head") not in cut_places


def test_a_row_states_the_images_that_its_own_number_was_computed_from(cache, noisy):
    """30 images a class are generated and 24 to 30 held out: floors are of 24 a class, and so are their rows."""
    request = ScoreSpec(**REQUEST, bootstrap=3)
    rows = score_pools(CELL, ImageSet(*noisy), request, cache)
    for scope, place, made, used, real in (
        ("overall", "", 90, 72, 150),
        ("class", "0", 30, 24, 50),
        ("pooled", "head", 30, 24, 50),
        ("group", "macro", 30, 24, 50),
    ):
        for role, n in (("", made), (".floor", used), (".at_floor_n", used)):
            row = at(rows, f"frechet{role}", scope, place)
            assert (row["n_generated"], row["n_reference"]) == (n, real), (scope, role)
    assert at(rows, "frechet.ci_low", "overall")["n_generated"] == 90


def test_a_class_of_one_image_leaves_a_dash_in_its_row_its_group_macro_and_worst(cache):
    few = cut(HELD, (6, 6, 1))
    table = score_samples(CELL, few.images, few.labels, make_spec(score=FRECHET), cache)
    frechet = table[table.metric == "frechet"].set_index(["scope", "class_or_group"])
    assert frechet.loc[("class", "2"), "reason"] == "class 2 has 1 generated image and frechet needs 2"
    for place in ("tail", "macro", "worst"):
        row = frechet.loc[("group", place)]
        assert np.isnan(row.value)
        assert "no value of class 2: class 2 has 1 generated image" in row.reason
    assert np.isfinite(frechet.loc[("group", "head"), "value"])
    assert not frechet.loc[("group", "head"), "reason"]
    remark = frechet.loc[("overall", ""), "reason"]
    assert np.isfinite(frechet.loc[("overall", ""), "value"])
    assert "1 to 6 images a class" in remark


def test_one_number_a_class_becomes_a_row_a_class(cache, noisy, monkeypatch):
    monkeypatch.setitem(get_metric("cas").settings, "steps", 2)  # a classifier of two steps is one
    table = score_samples(CELL, *noisy, make_spec(score={"metrics": ["cas"], "floor_draws": 1}), cache)
    classes = [value(table, "cas_class", "class", k) for k in range(K)]
    assert value(table, "cas") == pytest.approx(np.mean(classes))
    # The classifier is tested on every held-out image, 30, 28 and 24 a class, and sees no reference.
    sizes = table[table.metric.isin(["cas", "cas_class"]) & table.scope.isin(["overall", "class"])]
    assert sizes.n_reference.tolist() == [82, 30, 28, 24]


def test_p_values_do_not_average(cache, noisy):
    rows = score_pools(CELL, ImageSet(*noisy), ScoreSpec(metrics=("memorisation",)), cache)
    assert {row["scope"] for row in rows if row["metric"] == "memorisation_p_value"} == {"class"}
    assert {"tail", "macro"} <= {
        row["class_or_group"] for row in rows if row["metric"] == "memorisation_expected"
    }


def test_a_number_beside_another_has_no_mean_over_fewer_classes_than_it_names(cache, noisy):
    """Five samples of class 2 are too few for coverage: nor has its ceiling a value there, or in means over it."""
    samples = cut(ImageSet(*noisy), (30, 30, 5))
    rows = score_pools(CELL, samples, ScoreSpec(metrics=("density_coverage",), bootstrap=0), cache)
    for scope, place in (("class", 2), ("group", "tail"), ("group", "macro")):
        ceiling, coverage = (at(rows, name, scope, place) for name in ("coverage_ceiling", "coverage"))
        assert np.isnan(ceiling["value"])
        assert ceiling["reason"] == coverage["reason"] != ""
    assert np.isfinite(at(rows, "coverage_ceiling", "group", "head")["value"])
