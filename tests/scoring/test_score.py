"""From samples to rows: the schema, floors, groups, intervals, and a file that keeps every number."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_runs import digits, make_spec

from ltbench.data.images import ImageSet, balanced, halves
from ltbench.errors import CheckpointError, ClaimLost, DataCorrupt, DataMissing, UsageError
from ltbench.extractors.registry import cached_features, get_extractor
from ltbench.metrics.frechet import frechet_distance
from ltbench.metrics.registry import get_metric, requested_metrics
from ltbench.runs.score_columns import COLUMNS, run_columns
from ltbench.runs.score_rows import in_order
from ltbench.runs.scores import merge_scores, read_scores
from ltbench.scoring import floors
from ltbench.scoring.inputs import OVERALL, MetricInputs, ReferenceCache, ScoringContext
from ltbench.scoring.nearest import write_nearest_and_confusion
from ltbench.scoring.score import score_pools, score_samples
from ltbench.specs import UNLABELLED, ScoreSpec, sample_key, train_key

WHOLE = digits()
K = 3  # classes 0, 1, 2 of the digits: head, middle and tail


def cut(images, counts):
    """Return the first `counts` images of the first classes."""
    rows = np.concatenate([np.flatnonzero(images.labels == k)[:n] for k, n in enumerate(counts)])
    return images.take(rows)


CELL = dataclasses.replace(
    WHOLE,
    reference=cut(WHOLE.reference, (50, 50, 50)),
    heldout=cut(WHOLE.heldout, (30, 28, 24)),
    train=cut(WHOLE.reference, (40, 20, 5)),
    counts=np.array([40, 20, 5]),
    head_to_tail=(0, 1, 2),
    groups={"head": (0,), "middle": (1,), "tail": (2,)},
)
HELD, REFERENCE = CELL.heldout, CELL.reference
SMALLEST = 24  # held-out images of the smallest class
REQUEST = {"metrics": ["frechet", "precision_recall", "agreement"], "floor_draws": 3}
FRECHET = REQUEST | {"metrics": ["frechet"]}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def noisy():
    """30 images a class, ever noisier towards the tail."""
    clean = cut(REFERENCE, (30, 30, 30))
    noise = np.random.default_rng(0).normal(0, 25, clean.images.shape) * clean.labels[:, None, None, None]
    return np.clip(clean.images + noise, 0, 255).astype(np.uint8), clean.labels


@pytest.fixture(scope="module")
def table(cache, noisy):
    return score_samples(CELL, *noisy, make_spec("coral+t2h", score=REQUEST), cache)


def value(table, metric, scope="overall", which=""):
    rows = table[(table.metric == metric) & (table.scope == scope) & (table.class_or_group == str(which))]
    assert len(rows) == 1, (metric, scope, which, len(rows))
    return float(rows.value.iloc[0])


def test_the_five_samples_of_a_class_that_lie_nearest_to_training_images_are_kept(cache, noisy, tmp_path):
    write_nearest_and_confusion(tmp_path, CELL, *noisy, cache, "cpu", lambda: None, ("digits_cnn",))
    with np.load(tmp_path / "nearest.npz") as kept:
        assert kept["labels"].tolist() == [0] * 5 + [1] * 5 + [2] * 5
        assert all(len(kept[name]) == 15 for name in ("generated", "training", "distance"))
        assert (np.diff(kept["distance"].reshape(3, 5)) >= 0).all()


def features(images, cache):
    return cached_features(get_extractor("digits_cnn"), images, cache / "features").features


# -- rows -------------------------------------------------------------------------------------------


def test_the_schema_is_what_was_promised(table):
    """Later versions may only add columns at the end: other people's scripts read these."""
    assert list(table.columns) == list(COLUMNS)
    promised = """dataset imbalance_ratio class_order split_seed method variant train_seed step sampler nfe guidance
        sample_seed scope class_or_group n_train metric definition extractor reference n_reference n_generated value
        origin train_key sample_key extractor_hash reference_hash manifest grouping labels reason"""
    assert list(COLUMNS)[:31] == promised.split()
    assert not table.isna().any().any()


def test_every_row_names_its_run_and_what_it_was_measured_with(table):
    spec = make_spec("coral+t2h", score=REQUEST)
    expected = {
        "dataset": "digits_lt",
        "imbalance_ratio": 0.1,
        "class_order": "identity",
        "split_seed": 0,
        "method": "coral+t2h",
        "variant": "coral:published+t2h:released",
        "train_seed": 0,
        "step": 2,
        "sampler": "dpmsolver++",
        "nfe": 2,
        "guidance": 0.0,
        "sample_seed": 0,
        "origin": "ours",
        "train_key": train_key(spec),
        "sample_key": sample_key(spec),
        "reference": "digits_lt",
        "extractor": "digits_cnn",
        "extractor_hash": get_extractor("digits_cnn").hash,
        "manifest": CELL.manifest_hash[:16],
    }
    for column, wanted in expected.items():
        assert set(table[column]) == {wanted}, column
    assert run_columns(make_spec("cbdm"), 2)["variant"] == "released"
    assert run_columns(make_spec(), 2)["variant"] == ""
    by_scope = table[table.metric == "frechet"].groupby("scope")[["n_train", "n_reference", "n_generated"]]
    assert by_scope.first().loc["overall"].tolist() == [65, 150, 90]
    tail = table[(table.metric == "frechet") & (table.class_or_group == "2")].iloc[0]
    assert [tail.n_train, tail.n_reference, tail.n_generated] == [5, 50, 30]


def test_numbers_are_those_of_the_metric_on_the_scopes_images(table, cache, noisy):
    real, fake = features(REFERENCE.images, cache), features(noisy[0], cache)
    assert value(table, "frechet") == pytest.approx(frechet_distance(real, fake), rel=1e-9)
    for k in range(K):
        mine = frechet_distance(real[REFERENCE.labels == k], fake[noisy[1] == k])
        assert value(table, "frechet", "class", k) == pytest.approx(mine, rel=1e-9)
    assert value(table, "frechet", "class", 0) < value(table, "frechet", "class", 2)


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


# -- floors -----------------------------------------------------------------------------------------


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


def at(rows, metric, scope="overall", place=""):
    """Return the one row (dict) of a number."""
    found = [r for r in rows if (r["metric"], r["scope"], r["class_or_group"]) == (metric, scope, str(place))]
    assert len(found) == 1, (metric, scope, place, len(found))
    return found[0]


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


def test_memorisation_uses_every_held_out_image(cache, noisy):
    request = ScoreSpec(metrics=("memorisation",))
    rows = score_pools(CELL, ImageSet(*noisy), request, cache)
    for k, count in enumerate((30, 28, 24)):
        expected = at(rows, "memorisation_expected", "class", k)["value"]
        assert expected == pytest.approx(max(1, int(0.05 * (count + 1))) / (count + 1))


# -- caches: the same call after another data set's -------------------------------------------------


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


# -- groups and references --------------------------------------------------------------------------


def test_pooled_and_mean_of_classes_are_two_scopes_of_a_named_grouping(cache, noisy):
    cell = dataclasses.replace(CELL, groups={"head": (0, 1), "tail": (2,)}, head_to_tail=(0, 1, 2))
    request = ScoreSpec(**FRECHET, groups=("auto", "cm"), bootstrap=0)
    rows = score_pools(cell, ImageSet(*noisy), request, cache)
    real, fake = features(REFERENCE.images, cache), features(noisy[0], cache)
    pooled = at(rows, "frechet", "pooled", "head")
    expected = frechet_distance(real[REFERENCE.labels < 2], fake[noisy[1] < 2])
    assert pooled["value"] == pytest.approx(expected, rel=1e-9)
    assert (pooled["grouping"], pooled["labels"]) == ("thirds", "0 1")
    assert (pooled["n_reference"], pooled["n_generated"], pooled["n_train"]) == (100, 60, 60)
    mean = at(rows, "frechet", "group", "head")
    each = [at(rows, "frechet", "class", k)["value"] for k in (0, 1)]
    assert mean["value"] == pytest.approx(np.mean(each)) != pooled["value"]
    few = at(rows, "frechet", "pooled", "cm:few")
    assert (few["grouping"], few["labels"]) == ("cm", "2")
    assert few["value"] == pytest.approx(at(rows, "frechet", "class", 2)["value"], rel=1e-9)
    assert at(rows, "frechet.floor", "pooled", "head")["n_generated"] == 48
    assert not [row for row in rows if row["scope"] == "pooled" and row["class_or_group"] == "macro"]


def test_the_reference_is_a_choice_and_named(cache, noisy):
    found = {}
    for reference in ("balanced", "heldout", "longtail"):
        request = ScoreSpec(**FRECHET, reference=reference, bootstrap=0)
        found[reference] = at(score_pools(CELL, ImageSet(*noisy), request, cache), "frechet")
    assert [row["reference"] for row in found.values()] == [
        "digits_lt",
        "digits_lt, held-out",
        "digits_lt, long-tailed",
    ]
    assert [row["n_reference"] for row in found.values()] == [150, 72, 65]
    assert len({row["reference_hash"] for row in found.values()}) == 3
    assert found["longtail"]["reason"].startswith("the samples (30 images a class) and the reference hold")
    real, fake = features(CELL.train.images, cache), features(noisy[0], cache)
    assert found["longtail"]["value"] == pytest.approx(frechet_distance(real, fake), rel=1e-9)


def test_a_half_of_the_reference_is_the_half_that_it_says(cache, noisy):
    first, second = halves(REFERENCE, "reference/halves")
    for half, images in (("first", first), ("second", second)):
        request = ScoreSpec(**FRECHET, reference_half=half, bootstrap=0)
        row = at(score_pools(CELL, ImageSet(*noisy), request, cache), "frechet")
        expected = frechet_distance(features(images.images, cache), features(noisy[0], cache))
        assert row["value"] == pytest.approx(expected, rel=1e-9)
        assert row["reference"] == f"digits_lt, {half} half"
        assert row["reference_hash"] == images.score_sha256[:16]


def test_what_is_stored_is_judged_by_extractor_reference_and_grouping(cache, noisy):
    spec = make_spec(score=FRECHET | {"bootstrap": None})
    table = score_samples(CELL, *noisy, spec, cache)

    def missing(**changes):
        score = spec.score.model_copy(update=changes)
        again = spec.model_copy(update={"score": score})
        return score_samples(CELL, *noisy, again, cache, stored=table)

    assert missing().empty
    assert set(missing(metrics=("frechet", "kid")).definition) == {"kid/1"}
    assert "cm:few" in set(missing(groups=("cm",)).class_or_group)
    assert set(missing(reference="heldout").reference) == {"digits_lt, held-out"}
    assert not missing(bootstrap=5).empty
    assert missing(metrics=("frechet",)).columns.tolist() == list(COLUMNS)


# -- intervals and the balanced reference -----------------------------------------------------------


def test_bootstrap_intervals_are_made_on_request_and_widen_for_a_class(cache, noisy):
    request = {"metrics": ["agreement"], "floor_draws": 1, "bootstrap": 60}
    table = score_samples(CELL, *noisy, make_spec(score=request), cache)
    low, high = value(table, "agreement.ci_low"), value(table, "agreement.ci_high")
    assert low < value(table, "agreement") < high
    noisiest = [value(table, f"agreement.{name}", "class", 2) for name in ("ci_low", "ci_high")]
    assert noisiest[1] - noisiest[0] > high - low
    assert not (table[table.scope == "group"].metric.str.contains("ci_|floor_sd")).any()


def test_an_unequal_reference_is_cut_to_its_smallest_class_by_a_fixed_draw():
    labels = np.repeat(np.arange(3), [5, 2, 9])
    pool = ImageSet(np.arange(16, dtype=np.uint8)[:, None, None, None], labels)
    cut = balanced(pool, "reference")
    assert cut.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert np.array_equal(pool.labels[cut.images.ravel()], cut.labels)
    assert np.array_equal(balanced(pool, "reference").images, cut.images)
    assert not np.array_equal(balanced(pool, "heldout").images, cut.images)
    assert balanced(cut, "reference") is cut


# -- what cannot be scored --------------------------------------------------------------------------


def test_samples_without_a_class_or_of_another_shape_are_refused(cache, noisy):
    images, labels = noisy
    spec = make_spec(score=REQUEST)
    with pytest.raises(DataCorrupt, match="images of 2 of 3 classes: sample all of them"):
        score_samples(CELL, images[labels != 2], labels[labels != 2], spec, cache)
    with pytest.raises(DataCorrupt, match=r"the samples are \(1, 8, 4\), the data set's images \(1, 8, 8\)"):
        score_samples(CELL, images[..., :4], labels, spec, cache)


def test_all_metrics_need_no_extractor_but_the_chosen_ones():
    names = {metric.name for metric in requested_metrics(["all"])}
    assert {"frechet", "prd", "cas"} <= names
    assert "precision_recall_coral" not in names
    assert "precision_recall_coral" in {m.name for m in requested_metrics(["all", "precision_recall_coral"])}


def test_unknown_metrics_and_extractors_are_named(cache, noisy):
    with pytest.raises(UsageError, match="did you mean 'frechet'"):
        requested_metrics(["frechte"])
    with pytest.raises(UsageError, match="did you mean 'digits_cnn'"):
        score_samples(CELL, *noisy, make_spec(score=REQUEST | {"extractors": ["digit_cnn"]}), cache)


def test_a_metric_with_too_few_images_is_a_dash_with_its_reason(cache):
    few = cut(HELD, (3, 3, 3))  # recall takes four
    table = score_samples(CELL, few.images, few.labels, make_spec(score=REQUEST), cache)
    recall = table[table.metric == "recall"]
    assert np.isfinite(recall[recall.scope == "overall"].value).all()
    classes = recall[recall.scope == "class"]
    assert len(classes) == K
    assert classes.value.isna().all()
    assert classes.reason.iloc[0] == "class 0 has 3 generated images and precision_recall needs 4"
    assert value(table, "frechet", "class", 0) > 0
    macro = recall[recall.class_or_group == "macro"].iloc[0]
    assert np.isnan(macro.value)
    assert macro.reason.startswith("no value of classes 0 1 2: class 0 has 3")


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


def test_samples_without_labels_have_overall_numbers_and_say_why_no_others(cache, noisy, table):
    images, labels = noisy
    without = np.full_like(labels, UNLABELLED)
    found = score_samples(CELL, images, without, make_spec(score=REQUEST | {"bootstrap": 20}), cache)
    for metric in ("frechet", "frechet.floor", "precision", "recall", "recall.floor"):
        assert value(found, metric) == value(table, metric), metric  # no label goes into these
    frechet = found[found.metric == "frechet"].set_index(["scope", "class_or_group"])
    assert "proportions" in frechet.loc[("overall", ""), "reason"]
    elsewhere = frechet.drop(("overall", ""))
    assert elsewhere.value.isna().all()
    assert elsewhere.reason.str.contains("the samples have no labels").all()
    assert {("class", "0"), ("pooled", "tail"), ("group", "macro"), ("group", "worst")} <= set(
        elsewhere.index
    )
    agreement = found[(found.metric == "agreement") & (found.scope == "overall")].iloc[0]
    assert np.isnan(agreement.value)
    assert agreement.reason == "the samples have no labels, which agreement needs here"
    # At the floor's number: as many in all as a class's share times the classes.
    assert value(found, "frechet.at_floor_n") > value(found, "frechet")
    cut_rows = found[(found.metric == "frechet.at_floor_n") & (found.scope == "overall")]
    assert cut_rows.n_generated.item() == SMALLEST * K
    assert value(found, "frechet.ci_low") < value(found, "frechet") < value(found, "frechet.ci_high")


def test_subsets_of_a_thousand_images_on_twenty_are_a_dash_with_the_reason(cache):
    few = cut(HELD, (7, 7, 6))
    request = {"metrics": ["kid_subsets"]}
    table = score_samples(CELL, few.images, few.labels, make_spec(score=request), cache)
    overall = table[table.scope == "overall"].iloc[0]
    assert overall.metric == "kid_subsets_mean"
    assert np.isnan(overall.value)
    assert overall.reason == "the whole set has 150 reference images and kid_subsets needs 1000"
    elsewhere = table[table.scope != "overall"]
    assert set(elsewhere.scope) == {"group", "pooled"}
    assert elsewhere.value.isna().all()
    assert elsewhere.reason.str.contains("published for whole sample sets").all()


def test_a_classifier_of_other_classes_is_a_dash_with_the_reason(cache, noisy):
    other = dataclasses.replace(CELL, spec=CELL.spec.model_copy(update={"dataset": "fashion_mnist_lt"}))
    request = ScoreSpec(metrics=("agreement",), extractors=("digits_cnn",), bootstrap=0)
    rows = score_pools(other, ImageSet(*noisy), request, cache)
    assert [(row["metric"], row["scope"]) for row in rows] == [("agreement", "overall")]
    assert rows[0]["reason"] == "digits_cnn does not classify the classes of fashion_mnist_lt"


def test_missing_weights_are_a_dash_with_the_way_to_them_beside_what_can_be_computed(
    cache, noisy, tmp_path, monkeypatch
):
    monkeypatch.setenv("LTBENCH_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    spec = make_spec(score={"metrics": ["frechet", "sfid"], "bootstrap": 0})
    table = score_samples(CELL, *noisy, spec, cache)
    (sfid,) = [row for _, row in table[table.metric == "sfid"].iterrows()]
    assert (sfid.extractor, sfid.extractor_hash, sfid.scope) == ("inception_mixed_6", "", "overall")
    assert np.isnan(sfid.value)
    assert "get it with `curl" in sfid.reason
    assert value(table, "frechet") > 0
    with pytest.raises(DataMissing, match="inception_mixed_6 needs"):
        score_samples(CELL, *noisy, make_spec(score={"metrics": ["sfid"]}), cache)


# -- the file ---------------------------------------------------------------------------------------


def test_merging_replaces_equal_numbers_and_loses_no_other(tmp_path, table):
    path = tmp_path / "scores.csv"
    merge_scores(path, table, lambda: None)
    pd.testing.assert_frame_equal(read_scores(path), in_order(table), check_dtype=False)
    better = table[table.metric == "frechet"].assign(value=0.5)
    foreign = table[table.metric == "recall"].assign(extractor="inception", extractor_hash="abc")
    merge_scores(path, pd.concat([better, foreign]), lambda: None)
    merged = read_scores(path)
    assert len(merged) == len(table) + len(foreign)
    assert (merged[merged.metric == "frechet"].value == 0.5).all()
    untouched = merged[~merged.metric.eq("frechet") & merged.extractor.eq("digits_cnn")]
    kept = table[table.metric != "frechet"]
    assert sorted(untouched.value) == sorted(kept.value)


def test_rows_of_a_file_stand_in_one_order_however_they_came(tmp_path, table):
    files = []
    for name, parts in (
        ("whole", [table]),
        ("backwards", [table[::-1]]),
        ("in pieces", [table[1::2], table[::2]]),
    ):
        path = tmp_path / name
        for part in parts:
            merge_scores(path, part.reset_index(drop=True), lambda: None)
        files.append(path.read_bytes())
    assert files[0] == files[1] == files[2]
    classes = [r for r in read_scores(tmp_path / "whole").class_or_group if r.isdecimal()]
    assert classes[:2] == ["0", "0"]
    assert classes.index("1") < classes.index("2")


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=50))
def test_numbers_come_back_to_the_last_bit(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("scores") / "scores.csv"
    row = run_columns(make_spec(), 2) | dict.fromkeys(
        ["class_or_group", "extractor_hash", "reference_hash"], "x"
    )
    rows = [row | {"metric": f"m{i:03d}", "scope": "class", "value": v} for i, v in enumerate(values)]
    table = pd.DataFrame([dict.fromkeys(COLUMNS, "") | row for row in rows])
    merge_scores(path, table, lambda: None)
    merge_scores(path, table[:0], lambda: None)
    assert read_scores(path).value.tolist() == values


def test_a_withheld_merge_leaves_the_old_file(tmp_path, table):
    def lost():
        raise ClaimLost("another worker has it")

    path = tmp_path / "scores.csv"
    merge_scores(path, table[:3], lambda: None)
    before = path.read_bytes()
    with pytest.raises(ClaimLost):
        merge_scores(path, table, lost)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-3],
        lambda text: text[: len(text) // 2],
        lambda text: text[:40],
        lambda _: "",
        lambda text: text.replace("sample_key", "key"),
        lambda text: text.replace(",ours,", "x,ours,"),
        lambda _: "\x00\xff" * 50,
    ],
)
def test_truncated_scores_are_named_and_kept(tmp_path, table, damage):
    path = tmp_path / "scores.csv"
    merge_scores(path, table, lambda: None)
    path.write_text(damage(path.read_text()))
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match=r"scores\.csv.* delete it and run `ltbench evaluate"):
        merge_scores(path, table, lambda: None)
    assert path.read_bytes() == before


def test_a_bottleneck_metric_leaves_those_after_it(cache, noisy):
    table = score_samples(
        CELL, *noisy, make_spec(score=FRECHET | {"metrics": ["entanglement", "frechet"]}), cache
    )
    assert "frechet" in set(table.metric)


def test_a_requests_words_are_compared_by_value():
    assert requested_metrics(["".join(["def", "ault"])]) == requested_metrics(["default"])


def test_a_quick_metric_has_its_interval_unasked(cache, noisy):
    request = {"metrics": ["agreement"], "floor_draws": 1, "bootstrap": None}
    table = score_samples(CELL, *noisy, make_spec(score=request), cache)
    low, high = (value(table, f"agreement.ci_{end}") for end in ("low", "high"))
    assert low <= value(table, "agreement") <= high


def test_one_number_a_class_becomes_a_row_a_class(cache, noisy, monkeypatch):
    monkeypatch.setitem(get_metric("cas").settings, "steps", 2)  # a classifier of two steps is one
    table = score_samples(CELL, *noisy, make_spec(score={"metrics": ["cas"], "floor_draws": 1}), cache)
    classes = [value(table, "cas_class", "class", k) for k in range(K)]
    assert value(table, "cas") == pytest.approx(np.mean(classes))
