"""Set-against-set metrics: the released code's values, two libraries' values, and laws for any data."""

import inspect

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

import ltbench.metrics.frechet
from ltbench.errors import UsageError
from ltbench.metrics.frechet import Statistics, frechet_distance, frechet_infinity
from ltbench.metrics.inception_score import inception_score
from ltbench.metrics.kernel import KernelMean, kernel_distance, kernel_distance_subsets
from ltbench.metrics.manifold import Manifold, coverage_ceiling, density_coverage, precision_recall
from ltbench.metrics.memorisation import memorisation
from ltbench.metrics.prd import max_f_beta, prd, prd_curve
from ltbench.metrics.registry import REGISTRY, get_metric
from ltbench.rng import numpy_generator

GOLDENS = {"metrics_n400_d32.npz": 1e-6, "metrics_n60_d128_rank_deficient.npz": 1e-4}


def normal(seed, n=60, d=8, shift=0.0, scale=1.0):
    return np.random.default_rng(seed).normal(shift, scale, (n, d))


@pytest.fixture(params=GOLDENS, ids=["full rank", "rank deficient"])
def golden(request, pytestconfig):
    with np.load(pytestconfig.rootpath / "tests/goldens" / request.param) as arrays:
        return dict(arrays), GOLDENS[request.param]


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


def test_released_prd_curve(golden):
    g, _ = golden
    precision, recall = prd_curve(g["prd_ref_hist"], g["prd_eval_hist"])
    np.testing.assert_allclose(precision, g["prd_precision"], rtol=1e-6)
    np.testing.assert_allclose(recall, g["prd_recall"], rtol=1e-6)
    assert max_f_beta(precision, recall, 8) == pytest.approx(g["prd_f8"], rel=1e-6)
    assert max_f_beta(precision, recall, 1 / 8) == pytest.approx(g["prd_f1_8"], rel=1e-6)


ORDERS = pytest.mark.parametrize("swapped", [False, True])
SIZES = pytest.mark.parametrize("sizes", [(90, 70), (50, 120)])


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


@ORDERS
@SIZES
def test_prdc_agrees(swapped, sizes):
    from prdc import compute_prdc

    real, fake = normal(1, sizes[0], 16), normal(2, sizes[1], 16, 0.2, 0.9)
    if swapped:
        real, fake = fake, real
    theirs = compute_prdc(real, fake, nearest_k=5)
    got = precision_recall(real, fake, k=5, strict=True) | density_coverage(real, fake, k=5)
    del got["coverage_ceiling"]
    assert got == pytest.approx(theirs)


def test_matrix_square_root_agrees():
    real, fake = normal(1, 50, 9), normal(2, 40, 9, 1.0, 2.0)
    s1, s2 = np.cov(real, rowvar=False), np.cov(fake, rowvar=False)
    shift = np.sum((real.mean(0) - fake.mean(0)) ** 2)
    naive = shift + np.trace(s1 + s2 - 2 * sqrtm(s1 @ s2).real)
    assert frechet_distance(real, fake) == pytest.approx(naive, rel=1e-9)


# -- properties -----

seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=25, deadline=None)


@few
@given(seeds, st.integers(2, 30), st.integers(2, 30), st.integers(1, 12))
def test_frechet_laws(seed, n, m, d):
    x, y = normal(seed, n, d), normal(seed + 1, m, d, 0.5)
    value = frechet_distance(x, y)
    assert frechet_distance(y, x) == pytest.approx(value, rel=1e-9, abs=1e-9)
    assert frechet_distance(x, x[::-1].copy()) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(x, x + 3) == pytest.approx(9 * d, rel=1e-9)
    assert frechet_distance(10 * x, 10 * y) == pytest.approx(100 * value, rel=1e-9, abs=1e-7)
    rotation = np.linalg.qr(normal(seed + 2, d, d))[0]
    assert frechet_distance(x @ rotation, y @ rotation) == pytest.approx(value, rel=1e-9, abs=1e-9)
    assert frechet_distance(Statistics.of(x), Statistics.of(y)) == value


@few
@given(seeds, st.integers(6, 14), st.integers(6, 14), st.booleans())
def test_manifold_laws(seed, n, m, strict):
    x, y = normal(seed, n, 3), normal(seed + 1, m, 3, 0.5)
    got = precision_recall(x, y, k=3, strict=strict)
    back = precision_recall(y, x, k=3, strict=strict)
    assert (got["precision"], got["recall"]) == (back["recall"], back["precision"])
    assert precision_recall(x, x, k=3, strict=strict) == {"precision": 1, "recall": 1}
    assert precision_recall(x, x + 100, k=3, strict=strict) == {"precision": 0, "recall": 0}
    assert precision_recall(Manifold.of(x), Manifold.of(y), k=3, strict=strict) == got  # smaller k served
    same = density_coverage(x, x, k=5)
    assert (same["density"], same["coverage"]) == (1, 1)  # k open balls hold each point: exact ties stay out
    assert density_coverage(x, x + 100)["density"] == 0
    for memory in (1, 2**13):  # tiles of one row, and of a few
        assert precision_recall(x, y, k=3, strict=strict, memory=memory) == got
        assert density_coverage(x, y, memory=memory) == density_coverage(x, y)


@few
@given(seeds, st.integers(2, 30), st.integers(2, 30))
def test_kernel_laws(seed, n, m):
    x, y = normal(seed, n, 4), normal(seed + 1, m, 4)
    value = kernel_distance(x, y)
    assert kernel_distance(y, x) == pytest.approx(value, rel=1e-9, abs=1e-9)
    assert kernel_distance(KernelMean.of(x), y, memory=1) == pytest.approx(value, rel=1e-9, abs=1e-9)


def test_kernel_distance_is_unbiased():
    values = [kernel_distance(normal(2 * i, 6, 4), normal(2 * i + 1, 9, 4)) for i in range(1000)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))


def test_kernel_subsets_of_everything_are_the_full_estimate():
    x, y = normal(0, 30), normal(1, 30, shift=1)
    got = kernel_distance_subsets(x, y, subsets=3, size=30)
    assert got["mean"] == pytest.approx(kernel_distance(x, y))
    assert got["std"] == pytest.approx(0, abs=1e-12)
    got = kernel_distance_subsets(x, y, subsets=20, size=10, seed=1)
    assert got == kernel_distance_subsets(x, y, subsets=20, size=10, seed=1)
    assert got != kernel_distance_subsets(x, y, subsets=20, size=10, seed=2)
    assert got["std"] > 0


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


def test_ties_survive_a_far_origin():
    x = normal(0, 40, 5)
    near, far = precision_recall(x, x[:20] + 1e-3), precision_recall(x + 1e4, x[:20] + 1e4 + 1e-3)
    assert near == far


def test_improved_precision_sees_quality_and_recall_variety():
    real = normal(0, 200, 2)
    narrow = precision_recall(real, normal(1, 200, 2, scale=0.2))
    wide = precision_recall(real, normal(1, 200, 2, scale=5))
    assert narrow["precision"] > 0.95
    assert narrow["recall"] < 0.5
    assert wide["precision"] < 0.5
    assert wide["recall"] > 0.95


def test_coverage_ceiling_is_coverage_between_equal_distributions():
    values = [
        density_coverage(normal(2 * i, 40, 3), normal(2 * i + 1, 25, 3))["coverage"] for i in range(400)
    ]
    error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values) - coverage_ceiling(40, 25, 5)) < 3 * error
    assert coverage_ceiling(6, 1000, 5) > 0.999


def test_inception_score_bounds_and_shuffle():
    logits = 100.0 * np.eye(10)[np.arange(100) // 10]  # sure of its class, stored class by class
    assert inception_score(logits, splits=1)["mean"] == pytest.approx(10)
    assert inception_score(logits, splits=10, seed=None)["mean"] == pytest.approx(1)
    assert inception_score(logits, splits=2, seed=3)["mean"] > 9
    assert inception_score(logits, splits=2, seed=3) == inception_score(logits, splits=2, seed=3)


def test_prd_names_point_the_right_way():
    modes = 20 * np.eye(4)
    real = np.concatenate([m + normal(i, 50, 4, scale=0.1) for i, m in enumerate(modes)])
    dropped = np.concatenate(
        [modes[0] + normal(9, 100, 4, scale=0.1), modes[1] + normal(8, 100, 4, scale=0.1)]
    )
    got = prd(real, dropped, 1, clusters_per_class=4, runs=2)
    assert got["f1_8"] > 0.9
    assert got["f8"] < 0.6
    back = prd(dropped, real, 1, clusters_per_class=4, runs=2)
    assert (back["f8"], back["f1_8"]) == pytest.approx((got["f1_8"], got["f8"]), abs=0.02)
    same = prd(real, real, 1, clusters_per_class=4, runs=2)
    assert same == pytest.approx({"f8": 1, "f1_8": 1})
    far = prd(real, real + 100, 1, clusters_per_class=4, runs=2)
    assert far == pytest.approx({"f8": 0, "f1_8": 0}, abs=1e-6)
    assert got == prd(real, dropped, 1, clusters_per_class=4, runs=2)


# -- exact small cases -----


def test_coverages_ceiling_of_two_real_and_one_generated_image():
    """k = 1: the nearest other point of a real image is the generated one in half of all orders."""
    assert coverage_ceiling(2, 1, k=1) == 0.5
    assert coverage_ceiling(3, 1, k=1) == pytest.approx(1 / 3)  # one of three other points
    assert coverage_ceiling(3, 2, k=2) == pytest.approx(1 - (2 / 4) * (1 / 3))


def test_memorisations_threshold_is_the_fifth_of_99_held_out_distances():
    """j = floor(.05 (n + 1)) = 5 of n = 99 (4 from n alone); strictly below counts, a tie does not."""
    training, heldout = np.zeros((1, 1)), np.arange(1.0, 100.0)[:, None]
    generated = np.array([[4.0], [5.0], [6.0]])
    found = memorisation(training, heldout, generated)
    assert found.threshold == 5
    assert found.expected == 5 / 100
    assert found.rate == 1 / 3
    assert memorisation(training, heldout, np.full((4, 1), 5.0)).rate == 0
    assert memorisation(training, heldout, np.full((4, 1), -5.0)).rate == 0
    assert memorisation(training, heldout, np.full((4, 1), np.nextafter(5.0, 0))).rate == 1


def test_kernel_subsets_spread_is_the_population_standard_deviation():
    """Of two values the population standard deviation is half their difference, the sample's .71 of it."""
    x, y = normal(0, 12), normal(1, 12, shift=0.5)
    found = kernel_distance_subsets(x, y, subsets=2, size=4)
    values = []
    for i in range(2):
        rng = numpy_generator(0, "kernel distance subset", i)
        a, b = (rng.choice(12, 4, replace=False) for _ in range(2))
        values.append(kernel_distance(x[a], y[b]))
    assert found["mean"] == pytest.approx(np.mean(values))
    assert found["std"] == pytest.approx(abs(values[0] - values[1]) / 2)
    assert found["std"] > 0


# -- extrapolation -----


def test_extrapolated_frechet_distance_does_not_grow_with_fewer_images():
    """Reference N(0, I) exactly, generated N(1/2, I) in 8 dimensions: the distance is 2, of 200 images 2.2."""
    reference = Statistics(10**9, torch.zeros(8, dtype=torch.float64), torch.eye(8, dtype=torch.float64))
    found = []
    for seed in range(40):
        x = np.random.default_rng(seed).normal(0.5, 1, (200, 8))
        found.append((frechet_distance(reference, x), frechet_infinity(reference, x, seed=seed)))
    plain, extrapolated = np.mean(found, axis=0)
    error = np.std(found, axis=0, ddof=1) / np.sqrt(len(found))
    assert plain > 2 + 3 * error[0]
    assert abs(extrapolated - 2) < 3 * error[1]
    assert abs(extrapolated - 2) < (plain - 2) / 2


def test_an_exact_line_is_extrapolated_exactly(monkeypatch):
    monkeypatch.setattr(ltbench.metrics.frechet, "frechet_distance", lambda _, x: 3 + 50 / len(x))
    assert frechet_infinity(normal(0), normal(1, 100)) == pytest.approx(3, abs=1e-9)


def test_an_extrapolation_begins_at_twenty_images():
    assert np.isfinite(frechet_infinity(normal(0), normal(1, 20)))
    with pytest.raises(UsageError, match="at least 20 generated images, got 19"):
        frechet_infinity(normal(0), normal(1, 19))


# -- one clear error -----


def test_unequal_widths_are_both_stated():
    for metric in (precision_recall, kernel_distance):
        with pytest.raises(UsageError, match="reference features have 8 dimensions and generated ones 5;"):
            metric(normal(0, 60, 8), normal(1, 40, 5))


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


def test_registry_names_the_nearest():
    assert get_metric("frechet").definition == "frechet/1"
    with pytest.raises(UsageError, match="did you mean 'precision_recall'"):
        get_metric("precision_recal")
    outputs = [o.name for m in REGISTRY.values() for o in m.outputs]
    assert len(outputs) == len(set(outputs))


def test_named_protocols_are_their_settings():
    x, y = normal(0), normal(1, shift=0.5)
    cbdm = precision_recall(x, y, k=5, strict=True)
    got = get_metric("precision_recall_cbdm")(reference=x, generated=y)
    assert got == {"precision_cbdm": cbdm["precision"], "recall_cbdm": cbdm["recall"]}
    assert get_metric("precision_recall_cbdm").extractor == "inception"
    coral = get_metric("precision_recall_coral")
    assert (coral.extractor, coral.settings["k"]) == ("vgg16", 3)
    assert coral(reference=x, generated=y)["recall_coral"] == precision_recall(x, y, k=3)["recall"]


@pytest.mark.parametrize("metric", REGISTRY.values(), ids=lambda m: m.name)
def test_every_metric_takes_the_inputs_and_settings_its_entry_names(metric):
    parameters = inspect.signature(metric.function).parameters
    assert {*metric.inputs, *metric.settings} <= set(parameters)
