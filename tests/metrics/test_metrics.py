"""What holds of all metrics: released code's values, degenerate sets, what is refused, and what their entries state."""

import numpy as np
import pytest
import torch
from metric_sets import ORDERS, SIZES, normal

from ltbench.errors import UsageError
from ltbench.metrics.frechet import frechet_distance
from ltbench.metrics.inception_score import inception_score
from ltbench.metrics.kernel import kernel_distance, kernel_distance_subsets
from ltbench.metrics.manifold import density_coverage, precision_recall
from ltbench.metrics.prd import prd, prd_curve
from ltbench.metrics.registry import REGISTRY, get_metric

UNUSABLE = {
    "None": (None, "must be an array of numbers, got NoneType"),
    "objects": (np.array([[1, "a"], [2, None]], dtype=object), "must be an array of numbers, got object"),
    "text": (np.array([["a", "b"]]), "must be an array of numbers, got <U1"),
    "ragged": ([[1.0, 2.0], [3.0]], "are no array"),
    "complex": (np.ones((60, 8)) + 1j, "are complex: take their real part"),
    "complex tensor": (torch.ones(60, 8, dtype=torch.complex64), "are complex: take their real part"),
    "too large": (np.full((1000, 8), 1e200), r"as large as 1e\+200, which overflows"),
    "masked": (
        np.ma.masked_less(np.arange(480.0).reshape(60, 8), 5),
        "have 5 masked entries: leave those images out",
    ),
    "meta": (torch.empty(60, 8, device="meta"), "on the device meta, which holds no values"),
    "flat": (np.ones(60), r"must be \(images, dimensions\)"),
}


def _inputs(**changes):
    data = {"reference": normal(0), "training": normal(1), "heldout": normal(2), "generated": normal(3)}
    data |= {"num_classes": 1, "seed": 0}
    return data | changes


FEATURE_METRICS = [m for m in REGISTRY.values() if m.needs == "features" and m.minimum <= 60]


def test_released_code_values(golden):
    g, rel = golden
    real, fake = g["real"], g["fake"]
    assert frechet_distance(real, fake) == pytest.approx(g["fid"], rel=rel)
    for k in (3, 5):
        for strict, suffix in ((True, "_strict"), (False, "")):
            got = precision_recall(real, fake, k=k, strict=strict)
            assert got["precision"] == pytest.approx(g[f"ipr_precision_k{k}{suffix}"], rel=1e-6)
            assert got["recall"] == pytest.approx(g[f"ipr_recall_k{k}{suffix}"], rel=1e-6)
    got = density_coverage(real, fake, k=5)
    assert got["density"] == pytest.approx(g["density_k5"], rel=1e-6)
    assert got["coverage"] == pytest.approx(g["coverage_k5"], rel=1e-6)
    assert kernel_distance(real, fake) == pytest.approx(g["kid_unbiased_full"], rel=1e-6)
    got = inception_score(g["logits"], splits=10, seed=None)
    assert got["mean"] == pytest.approx(g["is_mean_10_splits_unshuffled"], rel=1e-6)
    assert got["std"] == pytest.approx(g["is_std_10_splits_unshuffled"], rel=1e-6)


@ORDERS
@SIZES
def test_torch_fidelity_agrees(swapped, sizes):
    from torch_fidelity.metric_fid import fid_statistics_to_metric
    from torch_fidelity.metric_isc import isc_features_to_metric
    from torch_fidelity.metric_kid import kernel_mmd
    from torch_fidelity.metric_prc import calculate_precision_recall_full

    real, fake = normal(1, sizes[0], 16), normal(2, sizes[1], 16, 0.3, 1.1)
    if swapped:
        real, fake = fake, real
    stats = [{"mu": x.mean(axis=0), "sigma": np.cov(x, rowvar=False)} for x in (fake, real)]
    theirs = fid_statistics_to_metric(*stats, verbose=False)["frechet_inception_distance"]
    assert frechet_distance(real, fake) == pytest.approx(theirs, rel=1e-6)
    # its first argument is the generated set
    precision, recall = calculate_precision_recall_full(torch.tensor(fake), torch.tensor(real), 3)
    assert precision != recall
    assert precision_recall(real, fake, k=3) == pytest.approx({"precision": precision, "recall": recall})
    n = min(sizes)
    theirs = kernel_mmd(real[:n], fake[:n])
    assert kernel_distance(real[:n], fake[:n]) == pytest.approx(theirs, rel=1e-9)
    theirs = isc_features_to_metric(torch.tensor(fake), splits=5, shuffle=False)
    got = inception_score(fake, splits=5, seed=None)
    assert list(got.values()) == pytest.approx(list(theirs.values()), rel=1e-9)


def test_duplicated_points():
    x = np.repeat(normal(0, 10, 4), 4, axis=0)  # every ball of k = 3 has radius 0
    assert precision_recall(x, x[::4].repeat(5, axis=0), k=3) == {"precision": 1, "recall": 1}
    assert precision_recall(x, x, k=3, strict=True) == {"precision": 0, "recall": 0}
    assert precision_recall(x, x + 1e-6, k=3) == {"precision": 0, "recall": 0}
    assert density_coverage(x, x, k=3)["density"] == 0
    # moments of a repeated set differ from the set's own by the divisor n - 1 alone
    y = normal(1, 10, 4)
    gap = (1 - np.sqrt(40 / 39 * 9 / 10)) ** 2 * np.cov(y, rowvar=False).trace()
    assert frechet_distance(y, np.repeat(y, 4, axis=0)) == pytest.approx(gap, rel=1e-9)


def test_constant_features():
    ones = np.ones((8, 3), np.float32)
    assert frechet_distance(ones, ones) == 0
    assert frechet_distance(ones, 3 * ones) == pytest.approx(12)
    assert kernel_distance(ones, ones) == 0
    assert precision_recall(ones, ones) == {"precision": 1, "recall": 1}
    assert precision_recall(ones, 3 * ones) == {"precision": 0, "recall": 0}
    assert density_coverage(ones, ones)["coverage"] == 0  # open balls of radius 0 are empty
    assert inception_score(ones, splits=2) == pytest.approx({"mean": 1, "std": 0})


@pytest.mark.parametrize("metric", FEATURE_METRICS, ids=lambda m: m.name)
def test_every_feature_metric_names_the_set_at_fault(metric):
    got = metric(**_inputs(), unknown="left alone")
    assert list(got) == [output.name for output in metric.outputs]
    assert all(isinstance(v, float) and np.isfinite(v) for v in got.values())
    assert (
        metric(**{k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in _inputs().items()})
        == got
    )
    for name in ("reference", "training", "heldout", "generated"):
        if name not in metric.inputs:
            continue
        called = "held-out" if name == "heldout" else name
        for bad, count in ((np.nan, 2), (np.inf, 1), (-np.inf, 1)):
            x = normal(4)
            x[7, 3] = bad
            x[-count + 8, 0] = bad
            with pytest.raises(UsageError, match=rf"of 60 {called} images have NaN or infinite"):
                metric(**_inputs(**{name: x}))
        with pytest.raises(UsageError, match=r"at least \d+ .*0$|at least \d+ .*got 0"):
            metric(**_inputs(**{name: normal(4, 0)}))
        with pytest.raises(UsageError, match="dimensions"):
            metric(**_inputs(**{name: normal(4, d=7)}))
        with pytest.raises(UsageError, match=rf"{called} features must be"):
            metric(**_inputs(**{name: normal(4)[:, :, None]}))


@pytest.mark.parametrize("kind", UNUSABLE)
@pytest.mark.parametrize(
    "metric", [m for m in REGISTRY.values() if m.needs != "images"], ids=lambda m: m.name
)
def test_what_holds_no_usable_numbers_is_refused_in_one_sentence(metric, kind):
    bad, says = UNUSABLE[kind]
    n = max(60, metric.minimum)
    good = {name: normal(i, n) for i, name in enumerate(("reference", "training", "heldout", "generated"))}
    good |= {"features": normal(5, n), "labels": np.arange(n) % 3, "train_counts": [3, 2, 1]}
    good |= {"generated_labels": np.arange(n) % 3, "num_classes": 1, "seed": 0}
    for name in {"reference", "training", "heldout", "generated", "features"} & set(metric.inputs):
        with pytest.raises(UsageError, match=says):
            metric(**good | {name: bad})


@pytest.mark.parametrize("metric", FEATURE_METRICS, ids=lambda m: m.name)
def test_any_layout_of_the_same_numbers_gives_the_same_value(metric):
    """Negative strides, columns first, the other byte order, float16 from a file, a list."""
    plain = {name: np.round(normal(i), 2) for i, name in enumerate(("reference", "training", "heldout"))}
    plain["generated"] = np.round(normal(9), 2)
    expected = metric(**_inputs(**plain))
    for change in (
        lambda x: x[::-1].copy()[::-1],
        np.asfortranarray,
        lambda x: x.astype(">f8"),
        lambda x: x.tolist(),
        lambda x: x.astype(np.longdouble),
        lambda x: torch.from_numpy(x).to_sparse(),
        np.ma.masked_invalid,  # nothing of it is masked
    ):
        assert metric(**_inputs(**{k: change(v) for k, v in plain.items()})) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (np.ma.masked_equal(np.arange(60) % 2, 1), "labels have 30 masked entries"),
        (torch.empty(60, dtype=torch.int64, device="meta"), "labels are a tensor on the device meta"),
        ([[0, 1], [2]], "labels are no array"),
        (np.arange(60) / 2, "labels must be integers"),
        (None, "must be one per image"),
    ],
)
def test_labels_that_are_none_are_refused_in_one_sentence(labels, says):
    with pytest.raises(UsageError, match=says):
        get_metric("agreement")(generated=normal(0), generated_labels=labels)
    dense = get_metric("agreement")(generated=normal(0), generated_labels=np.arange(60) % 2)
    sparse = torch.from_numpy(np.arange(60) % 2).to_sparse()
    assert get_metric("agreement")(generated=normal(0), generated_labels=sparse) == dense


def test_images_that_are_none_are_refused_in_one_sentence():
    y = np.zeros(4, int)
    for bad in (None, np.array([[None]]), np.zeros((4, 1, 8, 8)), np.zeros((4, 1, 8, 8), complex)):
        with pytest.raises(UsageError, match="generated images"):
            get_metric("cas")(
                **{"generated": bad, "generated_labels": y, "heldout": np.zeros((4, 1, 8, 8), np.uint8)},
                **{"heldout_labels": y, "num_classes": 1, "seed": 0},
            )


@pytest.mark.parametrize("metric", [m for m in FEATURE_METRICS if m.minimum > 1], ids=lambda m: m.name)
def test_minimum_is_where_the_metric_begins(metric):
    n = metric.minimum
    sets = {name: normal(i, n) for i, name in enumerate(("reference", "training", "heldout", "generated"))}
    got = metric(**_inputs(**sets))
    assert all(np.isfinite(v) for v in got.values())
    with pytest.raises(UsageError, match=f"at least {n} .*images, got {n - 1}"):
        metric(**_inputs(**{metric.inputs[0]: normal(0, n - 1)}))


@pytest.mark.parametrize("metric", [m for m in REGISTRY.values() if m.prepare], ids=lambda m: m.name)
def test_a_prepared_reference_gives_the_same_number(metric):
    x, y = normal(0), normal(1, shift=0.3)
    found = [metric(reference=r, generated=y, seed=0) for r in (metric.prepare(x), x)]
    assert found[0] == found[1]


def test_one_generated_image_where_that_is_defined():
    x = normal(0)
    assert density_coverage(x, x[:1])["density"] > 0
    with pytest.raises(UsageError, match="at least 2 generated images, got 1"):
        frechet_distance(x, x[:1])


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda x: precision_recall(x, x, k=0), "k must be"),
        (lambda x: kernel_distance_subsets(x, x, size=1), "size >= 2"),
        (lambda x: kernel_distance_subsets(x, x, size=100), "at least 100 reference"),
        (lambda x: inception_score(x, splits=0), "splits"),
        (lambda x: inception_score(x, splits=61), "at least 61"),
        (lambda x: prd(x, x, 100), "2000 clusters needs at least 1000"),
        (lambda x: prd(x, x, 1, runs=0), "runs"),
        (lambda _: prd_curve([0.5, 0.4], [0.5, 0.5]), "sum 1"),
        (lambda _: prd_curve([0.5, 0.5], [1.5, -0.5]), "non-negative"),
        (lambda _: prd_curve([0.5, 0.5], [1.0]), "one shape"),
    ],
)
def test_settings_out_of_range(call, says):
    with pytest.raises(UsageError, match=says):
        call(normal(0))
