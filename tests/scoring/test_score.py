"""From samples to rows: the schema, choices of the request, intervals, and reasons where no number can be."""

import dataclasses

import numpy as np
import pytest
import torch
from scored_digits import CELL, FRECHET, HELD, REFERENCE, REQUEST, SMALLEST, K, at, cut, features, value
from tiny_runs import digits, make_spec

from ltbench.data.images import ImageSet, balanced, halves
from ltbench.errors import DataCorrupt, DataMissing, UsageError
from ltbench.extractors.registry import get_extractor
from ltbench.metrics.base import EVERY, Metric, Output
from ltbench.metrics.frechet import frechet_distance
from ltbench.metrics.registry import METRICS, requested_metrics
from ltbench.plugins import Extension
from ltbench.runs.score_columns import COLUMNS, run_columns
from ltbench.scoring.score import score_pools, score_samples
from ltbench.specs import UNLABELLED, ScoreSpec, sample_key, train_key


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


def test_samples_without_a_class_or_of_another_shape_are_refused(cache, noisy):
    images, labels = noisy
    spec = make_spec(score=REQUEST)
    with pytest.raises(DataCorrupt, match="images of 2 of 3 classes: sample all of them"):
        score_samples(CELL, images[labels != 2], labels[labels != 2], spec, cache)
    with pytest.raises(DataCorrupt, match=r"the samples are \(1, 8, 4\), the data set's images \(1, 8, 8\)"):
        score_samples(CELL, images[..., :4], labels, spec, cache)


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


class Scaled(torch.nn.Module):
    """The pixels times a factor: squared distances of features are those of pixels times its square."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.factor * images.float().flatten(1)[:, 27:37]


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_two_networks_in_files_of_one_name_are_two_extractors(noisy, tmp_path):
    names = []
    for factor in (1.0, 2.0):
        (tmp_path / f"{factor:g}").mkdir()
        path = tmp_path / f"{factor:g}" / "model.pt"
        torch.jit.script(Scaled(factor)).save(str(path))
        names.append(f"torchscript:{path}")
    request = ScoreSpec(metrics=("frechet",), extractors=tuple(names), floor_draws=1)
    rows = score_pools(CELL, ImageSet(*noisy), request, tmp_path)
    overall = {r["extractor_hash"]: r for r in rows if (r["metric"], r["scope"]) == ("frechet", "overall")}
    plain, doubled = (overall[get_extractor(name).hash]["value"] for name in names)
    assert doubled == pytest.approx(4 * plain, rel=1e-5)


def test_a_bottleneck_metric_leaves_those_after_it(cache, noisy):
    table = score_samples(
        CELL, *noisy, make_spec(score=FRECHET | {"metrics": ["entanglement", "frechet"]}), cache
    )
    assert "frechet" in set(table.metric)


def test_a_quick_metric_has_its_interval_unasked(cache, noisy):
    request = {"metrics": ["agreement"], "floor_draws": 1, "bootstrap": None}
    table = score_samples(CELL, *noisy, make_spec(score=request), cache)
    low, high = (value(table, f"agreement.ci_{end}") for end in ("low", "high"))
    assert low <= value(table, "agreement") <= high


def test_scores_name_the_half_they_are_against(tmp_path):
    cell = digits()
    generated = cell.heldout
    found = {}
    for half in ("none", "first", "second"):
        request = ScoreSpec(metrics=("frechet",), floor_draws=1, reference_half=half)
        rows = score_pools(cell, generated, request, tmp_path)
        (found[half],) = [r for r in rows if r["scope"] == "overall" and r["metric"] == "frechet"]
    assert [row["reference"] for row in found.values()] == [
        "digits_lt",
        "digits_lt, first half",
        "digits_lt, second half",
    ]
    assert [row["n_reference"] for row in found.values()] == [1200, 600, 600]
    assert (
        len({row["value"] for row in found.values()})
        == len({r["reference_hash"] for r in found.values()})
        == 3
    )


def boom(generated):  # noqa: ARG001 - a metric's signature
    raise ValueError("boom")


@pytest.mark.parametrize(
    ("outputs", "scopes", "function", "where"),
    [
        ((Output("x_v", None),), EVERY, boom, [("overall", "")]),
        (
            (Output("x_each", None, per_class=True),),
            ("overall",),
            boom,
            [("class", "0"), ("class", "1"), ("class", "2")],
        ),
        ((Output("x_v", None),), EVERY, lambda generated: float("nan"), [("overall", "")]),  # noqa: ARG005
    ],
)
def test_a_packages_metric_that_fails_is_a_dash_with_its_reason_and_leaves_the_others(
    outputs, scopes, function, where, cache, noisy, monkeypatch
):
    bad = Metric("x", "features", ("generated",), function, outputs, "", "", scopes=scopes, floor=False)
    monkeypatch.setitem(METRICS.extensions(), "x", Extension("x", bad, "package evil 1.0", True))
    spec = make_spec(score=FRECHET | {"metrics": ["x", "frechet"], "bootstrap": 2})
    table = score_samples(CELL, *noisy, spec, cache)
    assert value(table, "frechet") > 0
    mine = table[table.definition == "x/1"]
    assert mine.value.isna().all()
    assert mine.reason.str.contains("metric x (package evil 1.0) ", regex=False).all()
    assert mine.reason.str.contains("failed: ValueError: boom|returned nan for x_v").all()
    assert {*where, ("group", "macro")} <= set(zip(mine.scope, mine.class_or_group, strict=True))


def test_what_is_measured_on_networks_is_a_dash_where_images_are_asked_for_it_by_name(cache, noisy):
    def rows(*metrics):
        request = ScoreSpec(**(REQUEST | {"metrics": metrics, "bootstrap": 0}))
        return score_pools(CELL, ImageSet(*noisy), request, cache)

    alone = rows("entanglement")
    assert "knn_accuracy" in {row["metric"] for row in alone}
    assert {row["reason"] for row in alone} == {"entanglement is measured on a trained network (probe stage)"}
    assert all(np.isnan(row["value"]) for row in alone)
    assert alone[0].keys() == rows("frechet")[0].keys()
    assert not any(row["definition"].startswith("entanglement") for row in rows("default"))
