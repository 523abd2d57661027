"""From samples to rows: the schema, floors, groups, intervals, and a file that keeps every number."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_runs import digits, make_spec

from ltbench.data import ImageSet
from ltbench.errors import CheckpointError, ClaimLost, DataCorrupt, UsageError
from ltbench.extractors.registry import cached_features, get_extractor
from ltbench.metrics.frechet import frechet_distance
from ltbench.data.images import ImageSet, balanced
from ltbench.runs.scores import COLUMNS, merge_scores, read_scores, run_columns
from ltbench.scoring.score import requested_metrics, score_pools, score_samples
from ltbench.spec import ScoreSpec, sample_key, train_key

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


def features(images, cache):
    return cached_features(get_extractor("digits_cnn"), images, cache / "features").features


# -- rows -------------------------------------------------------------------------------------------


def test_the_schema_is_what_was_promised(table):
    """Later versions may only add columns at the end: other people's scripts read these."""
    assert list(table.columns) == list(COLUMNS)
    promised = """dataset imbalance_ratio class_order split_seed method variant train_seed step sampler nfe guidance
        sample_seed scope class_or_group n_train metric definition extractor reference n_reference n_generated value
        origin train_key sample_key extractor_hash reference_hash manifest"""
    assert list(COLUMNS)[:28] == promised.split()
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
    assert (
        run_columns(make_spec("cbdm"))["variant"] == "released" and run_columns(make_spec())["variant"] == ""
    )
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
    assert floor == pytest.approx(np.mean(draws), abs=3 * np.std(draws)) and 0 < spread < 4 * np.std(draws)
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


def test_floors_are_kept_and_do_not_depend_on_the_samples(cache, tmp_path, noisy, table):
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
    assert {"frechet", "prd", "cas"} <= names and "precision_recall_coral" not in names
    assert "precision_recall_coral" in {m.name for m in requested_metrics(["all", "precision_recall_coral"])}


def test_unknown_metrics_and_extractors_are_named(cache, noisy):
    with pytest.raises(UsageError, match="did you mean 'frechet'"):
        requested_metrics(["frechte"])
    with pytest.raises(UsageError, match="did you mean 'digits_cnn'"):
        score_samples(CELL, *noisy, make_spec(score=REQUEST | {"extractors": ["digit_cnn"]}), cache)


def test_a_metric_with_too_few_images_is_left_out_of_that_scope(cache):
    few = cut(HELD, (3, 3, 3))  # recall takes four
    table = score_samples(CELL, few.images, few.labels, make_spec(score=REQUEST), cache)
    assert set(table[table.metric == "recall"].scope) == {"overall"}
    assert set(table[table.metric == "frechet"].scope) == {"overall", "class", "group"}


# -- the file ---------------------------------------------------------------------------------------


def test_merging_replaces_equal_numbers_and_loses_no_other(tmp_path, table):
    path = tmp_path / "scores.csv"
    merge_scores(path, table, lambda: None)
    pd.testing.assert_frame_equal(read_scores(path), table, check_dtype=False)
    better = table[table.metric == "frechet"].assign(value=0.5)
    foreign = table[table.metric == "recall"].assign(extractor="inception", extractor_hash="abc")
    merge_scores(path, pd.concat([better, foreign]), lambda: None)
    merged = read_scores(path)
    assert len(merged) == len(table) + len(foreign)
    assert (merged[merged.metric == "frechet"].value == 0.5).all()
    untouched = merged[~merged.metric.eq("frechet") & merged.extractor.eq("digits_cnn")]
    kept = table[table.metric != "frechet"]
    assert sorted(untouched.value) == sorted(kept.value)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=50))
def test_numbers_come_back_to_the_last_bit(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("scores") / "scores.csv"
    row = run_columns(make_spec()) | dict.fromkeys(
        ["class_or_group", "extractor_hash", "reference_hash"], "x"
    )
    rows = [row | {"metric": f"m{i}", "scope": "class", "value": v} for i, v in enumerate(values)]
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
        lambda text: "",
        lambda text: text.replace("sample_key", "key"),
        lambda text: text.replace(",ours,", "x,ours,"),
        lambda text: "\x00\xff" * 50,
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
