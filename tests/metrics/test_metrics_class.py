"""Metrics of a class's samples: copies, variety, labels; and of the network's bottleneck."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from sklearn.datasets import load_digits

from ltbench.errors import UsageError
from ltbench.metrics.agreement import agreement, confusion, predicted_classes
from ltbench.metrics.cas import classification_accuracy_score
from ltbench.metrics.distances import neighbours, tile_rows, tiles
from ltbench.metrics.diversity import vendi_score
from ltbench.metrics.entanglement import entanglement, head_and_tail, knn_votes, scatter_ratio
from ltbench.metrics.features import by_class
from ltbench.metrics.memorisation import memorisation
from ltbench.metrics.registry import get_metric


def normal(seed, n=60, d=8, shift=0.0, scale=1.0):
    return np.random.default_rng(seed).normal(shift, scale, (n, d))


# -- memorisation -----


@pytest.mark.parametrize(("n_train", "n_heldout"), [(5, 9), (5, 100), (200, 40)])
def test_memorisation_rate_is_as_expected_for_new_images(n_train, n_heldout):
    found = [
        memorisation(normal(3 * i, n_train), normal(3 * i + 1, n_heldout), normal(3 * i + 2, 50))
        for i in range(300)
    ]
    rates = np.array([f.rate for f in found])
    assert abs(rates.mean() - found[0].expected) < 3 * rates.std() / np.sqrt(len(rates))
    # an exact test keeps its level, and is not idle
    rejected = np.mean([f.p_value <= 0.1 for f in found])
    assert 0.01 <= rejected <= 0.1 + 3 * np.sqrt(0.09 / 300)


def test_memorisation_finds_copies_in_a_class_of_five():
    train, heldout = normal(0, 5), normal(1, 100)
    copies = train[[3, 1, 1, 4]] + 1e-3
    found = memorisation(train, heldout, np.concatenate([copies, normal(2, 4, shift=9)]))
    assert found.rate == 0.5
    assert found.expected == 5 / 101
    assert found.p_value < 1e-3
    assert found.nearest[:4].tolist() == [3, 1, 1, 4]
    np.testing.assert_allclose(found.distance[:4], 1e-3 * np.sqrt(8))
    pairs = found.pairs(3)
    assert len(pairs) == 3
    assert all(i < 4 and t == found.nearest[i] for i, t, _ in pairs)
    assert [d for *_, d in pairs] == sorted(d for *_, d in pairs)


def test_memorisation_says_how_little_few_heldout_images_can_tell():
    found = memorisation(normal(0, 1), normal(1, 3), normal(2, 10))
    assert found.expected == 0.25  # the least that three held-out images can resolve
    assert found.threshold == pytest.approx(cdist(normal(1, 3), normal(0, 1)).min())
    with pytest.raises(UsageError, match="quantile"):
        memorisation(normal(0), normal(1), normal(2), quantile=1)
    with pytest.raises(UsageError, match="at least 1 held-out images, got 0"):
        memorisation(normal(0), normal(1, 0), normal(2))


# -- distances -----


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 999), st.integers(4, 20), st.integers(4, 20), st.sampled_from([1, 2**12, 2**20]))
def test_neighbours_are_the_dense_matrix_sorted(seed, n, m, memory):
    x, y = torch.tensor(normal(seed, n, 3)), torch.tensor(normal(seed + 1, m, 3))
    dense = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
    squared, index = neighbours(x, y, 3, memory)
    torch.testing.assert_close(squared.sqrt(), dense.sort(dim=1).values[:, :3])
    torch.testing.assert_close(dense.gather(1, index), squared.sqrt())
    own = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist").fill_diagonal_(torch.inf)
    squared, index = neighbours(x, None, 3, memory)
    torch.testing.assert_close(squared.sqrt(), own.sort(dim=1).values[:, :3])
    torch.testing.assert_close(own.gather(1, index), squared.sqrt())


def test_neighbours_that_float32_could_not_order():
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(2000, 6))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    lengths = np.concatenate([1 + 1e-10 * rng.permutation(200), rng.uniform(2, 9, 1800)])
    order = rng.permutation(2000)
    points = (directions * lengths[:, None])[order]
    _, index = neighbours(torch.zeros(1, 6, dtype=torch.float64), torch.tensor(points), 5, memory=2**17)
    assert index[0].tolist() == np.argsort(lengths[order])[:5].tolist()


@pytest.mark.parametrize("d", [8, 2048])
def test_tiles_keep_to_their_memory(d):
    memory = 2**22
    side = tile_rows(d, memory)
    assert 8 * (2 * side * d + 4 * side**2) <= memory < 8 * (4 * side * d + 16 * side**2)
    x = torch.zeros(side + 3, d)
    shapes = [tile.shape for *_, tile, _ in tiles(x, x, torch.zeros(d), memory)]
    assert shapes == [(side, side), (side, 3), (3, side), (3, 3)]


def test_the_side_of_a_tile_by_hand():
    # side 4, d = 10: two (4, 10) and four (4, 4) arrays of 8 bytes are 8 (80 + 64) = 1152 bytes
    assert [tile_rows(10, memory) for memory in (1152, 1151)] == [4, 2]


# -- diversity -----


def test_vendi_counts_different_images():
    reference = np.concatenate([np.eye(6), -np.eye(6)])  # mean 0
    for modes in (1, 2, 6):
        copies = np.eye(6)[np.arange(12) % modes]
        assert vendi_score(reference, copies) == pytest.approx(modes)
        assert vendi_score(reference, 1e-3 * copies) == pytest.approx(modes)  # directions, not lengths
    assert vendi_score(reference + 5, np.eye(6) + 5) == pytest.approx(6)


def test_vendi_sees_replayed_tail_images_that_distances_miss():
    real = normal(0, 400, 16)
    replayed, new = np.repeat(real[:5], 40, axis=0), normal(1, 200, 16)
    assert cdist(replayed, replayed).mean() > 0.7 * cdist(new, new).mean()
    assert vendi_score(real, replayed) <= 5 < 10 < vendi_score(real, new)


def test_vendi_is_the_eigenvalue_entropy():
    x, y = normal(0, 30, 5), normal(1, 20, 5, shift=1)
    z = y - x.mean(axis=0)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    shares = np.linalg.eigvalsh(z @ z.T / 20)
    shares = shares[shares > 1e-12]
    assert vendi_score(x, y) == pytest.approx(np.exp(-np.sum(shares * np.log(shares))), rel=1e-9)
    assert vendi_score(x, np.repeat(y, 3, axis=0)) == pytest.approx(vendi_score(x, y), rel=1e-9)


def test_vendi_of_images_without_direction():
    same = np.full((4, 3), 2.0, np.float32)
    assert vendi_score(same, same) == pytest.approx(1)
    assert vendi_score(same, np.concatenate([same, same + np.eye(3)[:1]])) == pytest.approx(2)
    # three images that are the centre up to a float64's last digit: where rounding points is no variety
    last = np.full((3, 3), 2.0) + np.diag(np.spacing(np.full(3, 2.0)))
    assert vendi_score(same, last) == pytest.approx(1)


# -- labels -----


def test_agreement_and_confusion():
    logits = np.array([[2.0, 1, 0], [2, 1, 0], [0, 1, 2], [0, 3, 3]])
    labels = np.array([0, 1, 2, 2])
    assert agreement(logits, labels) == 0.5
    assert agreement(torch.tensor(logits), torch.tensor(labels)) == 0.5
    assert confusion(logits, labels).tolist() == [[1, 0, 0], [1, 0, 0], [0, 1, 1]]


@pytest.mark.parametrize(
    ("labels", "says"),
    [([0, 1, 3], r"0\.\.2"), ([0, 1], "one per image"), ([0.0, 1, 2], "integers"), ([0, -1, 2], r"-1\.\.2")],
)
def test_labels_that_do_not_fit(labels, says):
    with pytest.raises(UsageError, match="has 3 classes and the data set 2"):
        predicted_classes(np.eye(3), 2)
    with pytest.raises(UsageError, match=says):
        agreement(np.eye(3), np.array(labels))


@given(st.lists(st.integers(0, 4), max_size=40))
def test_by_class_is_masking(labels):
    y, x = np.array(labels, np.int64), np.arange(len(labels))
    pieces = by_class(x, y)
    assert list(pieces) == sorted(set(labels))
    for c, rows in pieces.items():
        assert rows.tolist() == x[y == c].tolist()
    assert {c: rows.tolist() for c, rows in by_class(torch.tensor(x), y).items()} == {
        c: rows.tolist() for c, rows in pieces.items()
    }


# -- entanglement -----

COUNTS = [100, 50, 20, 5]
LABELS = np.repeat(np.arange(4), 15)


def test_entanglement_of_apart_and_of_mixed_classes():
    apart = entanglement(normal(0) + 50 * np.eye(8)[LABELS], LABELS, COUNTS)
    assert apart["knn_accuracy"] == apart["linear_probe"] == 1
    assert apart["head_tail_confusion"] == 0
    assert apart["silhouette"] > 0.9
    assert apart["scatter_ratio"] > 100
    mixed = entanglement(normal(0), LABELS, COUNTS)
    assert mixed["knn_accuracy"] < 0.5
    assert mixed["linear_probe"] < 0.5
    assert abs(mixed["silhouette"]) < 0.1
    # tail images drawn where the head's lie
    where = np.where(LABELS == 3, 0, LABELS)
    confused = entanglement(normal(0, scale=0.1) + 50 * np.eye(8)[where], LABELS, COUNTS)
    assert 0.2 < confused["head_tail_confusion"] <= 1
    assert confused["knn_accuracy"] > 0.5


def test_entanglement_ignores_rotation_and_overall_scale():
    x = normal(0) + 2 * np.eye(8)[LABELS]
    rotation = np.linalg.qr(normal(1, 8, 8))[0]
    moved = entanglement(100 * x @ rotation + 7, LABELS, COUNTS)
    plain = entanglement(x, LABELS, COUNTS)
    del moved["linear_probe"], plain["linear_probe"]  # its penalty sees the axes
    assert moved == pytest.approx(plain, rel=1e-6)


def test_scatter_ratio_without_separation_is_its_null_value():
    values = [scatter_ratio(torch.tensor(normal(i)), LABELS) for i in range(200)]
    assert np.mean(values) == pytest.approx(3 / 56, rel=0.05)
    assert scatter_ratio(torch.tensor(np.eye(4)[LABELS]), LABELS) == np.inf


def test_knn_vote_ties_go_to_the_nearer_class():
    x = torch.tensor([[0.0], [1.0], [-1.5], [9.0]])
    labels = np.array([0, 1, 2, 2])
    assert knn_votes(x, labels, 3, k=2)[0] == 1


def test_three_far_votes_outvote_two_near_ones():
    x = torch.tensor([[0.0], [0.1], [0.2], [0.3], [0.4], [0.5]])
    assert knn_votes(x, np.array([2, 1, 1, 0, 0, 0]), 3, k=5)[0] == 0


def test_head_and_tail_are_thirds_by_rank():
    head, tail = head_and_tail([5, 100, 50, 20, 7, 80, 1])
    assert head.tolist() == [1, 5]
    assert tail.tolist() == [0, 6]
    assert [part.tolist() for part in head_and_tail([3, 9])] == [[1], [0]]


@pytest.mark.parametrize(
    ("features", "labels", "counts", "says"),
    [
        (normal(0, 10), np.zeros(10, int), [9, 1], "at least 2 classes"),
        (normal(0, 6), np.array([0, 0, 0, 0, 0, 1]), [9, 1], "of at least 5 images"),
        (normal(0, 10), np.repeat([0, 1], 5), COUNTS, "tail classes"),
        (normal(0, 10), np.repeat([0, 4], 5), COUNTS, r"0\.\.3"),
        (normal(0, 10) * np.nan, np.repeat([0, 1], 5), [9, 1], "NaN"),
    ],
)
def test_entanglement_errors(features, labels, counts, says):
    with pytest.raises(UsageError, match=says):
        entanglement(features, labels, counts)


# -- classification accuracy score -----


@pytest.fixture(scope="module")
def digits():
    data = load_digits()
    return (data.images * 15.9).astype(np.uint8)[:, None], data.target


def test_cas_rewards_right_labels_and_names_missing_classes(digits):
    x, y = digits
    train, test = slice(0, 900), slice(1300, None)
    state = torch.get_rng_state()
    good = classification_accuracy_score(x[train], y[train], x[test], y[test], 10, steps=40)
    assert torch.equal(torch.get_rng_state(), state)
    assert good["accuracy"] > 0.85
    assert good["accuracy"] == pytest.approx(good["class_accuracy"].mean())
    # no 9s at all, and 0s under the label of 1s
    kept, label = y[train] != 9, np.where(y[train] == 0, 1, y[train])
    flawed = classification_accuracy_score(x[train][kept], label[kept], x[test], y[test], 10, steps=40)
    assert flawed["class_accuracy"][[0, 9]].max() == 0
    assert flawed["class_accuracy"][2:9].mean() > 0.7


def test_cas_is_seeded_and_reports_absent_classes(digits):
    x, y = digits
    kept = y[900:] != 3
    args = (x[:200], y[:200], x[900:][kept], y[900:][kept], 10)
    first, again, other = (classification_accuracy_score(*args, steps=5, seed=s) for s in (0, 0, 1))
    np.testing.assert_array_equal(first["class_accuracy"], again["class_accuracy"])
    assert not np.array_equal(first["class_accuracy"], other["class_accuracy"], equal_nan=True)
    assert np.isnan(first["class_accuracy"][3])
    assert np.isfinite(first["accuracy"])
    outputs = get_metric("cas").outputs
    assert [(o.name, o.per_class) for o in outputs] == [("cas", False), ("cas_class", True)]


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (np.zeros((4, 1, 8, 8), np.float32), "uint8"),
        (np.zeros((4, 8, 8), np.uint8), "channels, height, width"),
        (np.zeros((4, 3, 8, 8), np.uint8), "own size"),
        (np.zeros((1, 1, 8, 8), np.uint8), "at least 2 generated"),
        (np.zeros((0, 1, 8, 8), np.uint8), "and not empty"),
    ],
)
def test_cas_errors(digits, images, says):
    x, y = digits
    with pytest.raises(UsageError, match=says):
        classification_accuracy_score(images, np.zeros(len(images), int), x, y, 10)


def test_the_threshold_is_the_order_statistic_of_one_image_more():
    # 98 held-out images at distances 1 .. 98: j = floor(.05 (98 + 1)) = 4, so copies lie nearer than 4
    found = memorisation(
        np.zeros((1, 1)), np.arange(1.0, 99.0)[:, None], np.array([[3.5], [4.5]]), quantile=0.05
    )
    assert found.threshold == 4
    assert found.expected == 4 / 99
    assert found.rate == 0.5


def test_more_neighbours_than_images_say_how_many_there_may_be():
    with pytest.raises(UsageError, match=r"k must be in 1\.\.59, got 60"):
        entanglement(normal(0), LABELS, COUNTS, k=60)
