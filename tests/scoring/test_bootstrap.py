"""The bootstrap over images, against a mean's standard error and the spread over fresh sets."""

import numpy as np
import pytest

from ltbench.errors import UsageError
from ltbench.metrics.frechet import frechet_distance
from ltbench.metrics.manifold import precision_recall
from ltbench.rng import numpy_generator
from ltbench.scoring.bootstrap import bootstrap


def normal(seed, n, d=4):
    return np.random.default_rng(seed).normal(size=(n, d))


@pytest.mark.parametrize("n", [40, 41])
def test_standard_error_of_a_mean(n):
    x = normal(0, n)[:, 0]
    got = bootstrap(lambda rows: {"mean": x[rows].mean()}, n, replicates=4000)["mean"]
    assert got.standard_error == pytest.approx(x.std(ddof=1) / np.sqrt(n), rel=0.05)
    assert got.low < x.mean() < got.high
    assert got.high - got.low == pytest.approx(2 * 1.96 * got.standard_error, rel=0.1)


@pytest.mark.parametrize(
    "score",
    [
        lambda real, fake: {"v": frechet_distance(real, fake)},
        lambda real, fake: {"v": precision_recall(real, fake)["recall"]},
        lambda real, fake: {"v": precision_recall(real, fake)["precision"]},
    ],
    ids=["frechet", "recall", "precision"],
)
def test_standard_error_is_the_spread_over_fresh_sets(score):
    real, n = normal(0, 300), 200
    truth = np.std([score(real, 1.2 * normal(i, n))["v"] for i in range(1, 61)], ddof=1)
    fake = 1.2 * normal(99, n)
    got = bootstrap(lambda rows: score(real, fake[rows]), n, replicates=60)["v"]
    assert 0.6 < got.standard_error / truth < 1.6
    assert got.low < score(real, fake)["v"] < got.high  # centred: halving shifts all three


def test_classes_are_halved_by_themselves():
    labels = np.repeat([0, 1, 2], [10, 4, 7])
    seen = []
    bootstrap(
        lambda rows: seen.append(np.bincount(labels[rows])) or {"v": 0.0}, 21, replicates=5, labels=labels
    )
    assert [s.tolist() for s in seen] == [[5, 2, 3]] * 5 + [[10, 4, 7]]
    # between-class differences are design, not noise
    x = labels.astype(float)
    got = bootstrap(
        lambda rows: {"v": np.mean([x[rows][labels[rows] == c].mean() for c in range(3)])}, 21, labels=labels
    )
    assert got["v"].standard_error == pytest.approx(0)


def test_bootstrap_is_seeded_and_takes_vectors():
    x = normal(0, 30)
    first, again, other = (
        bootstrap(lambda rows: {"v": x[rows].mean(axis=0)}, 30, replicates=50, seed=s)["v"] for s in (0, 0, 1)
    )
    assert first.low.shape == (4,)
    assert (first.low < first.high).all()
    np.testing.assert_array_equal(first.low, again.low)
    assert (first.low != other.low).all()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda f: bootstrap(f, 1), "at least 2 images"),
        (lambda f: bootstrap(f, 0), "at least 2 images"),
        (lambda f: bootstrap(f, 3, labels=np.array([0, 0, 1])), "of each class"),
        (lambda f: bootstrap(f, 9, replicates=1), "replicates"),
        (lambda f: bootstrap(f, 9, level=1), "level"),
    ],
)
def test_errors(call, says):
    with pytest.raises(UsageError, match=says):
        call(lambda _: {"v": 0.0})


def test_the_scale_of_an_odd_number_of_images():
    """Three images, halves of one: the mean's spread over single images, shrunk by sqrt(1 / 2)."""
    x = np.array([0.0, 3.0, 9.0])
    found = bootstrap(lambda rows: {"mean": x[rows].mean()}, 3, replicates=400, level=0.9)["mean"]
    drawn = [numpy_generator(0, "bootstrap", i).choice(np.arange(3), 1, replace=False)[0] for i in range(400)]
    expected = np.sqrt(1 / 2) * np.std(x[drawn], ddof=1)
    assert found.standard_error == pytest.approx(expected, rel=1e-12)
