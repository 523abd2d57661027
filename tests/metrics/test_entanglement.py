"""Bottleneck figures: separated and mixed classes, invariances, thirds by rank, and what is refused."""

import numpy as np
import pytest
import torch
from metric_sets import normal

from ltbench.errors import UsageError
from ltbench.metrics.entanglement import entanglement, head_and_tail, knn_votes, scatter_ratio

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


def test_three_far_votes_outvote_two_near_ones():
    x = torch.tensor([[0.0], [0.1], [0.2], [0.3], [0.4], [0.5]])
    assert knn_votes(x, np.array([2, 1, 1, 0, 0, 0]), 3, k=5)[0] == 0


def test_more_neighbours_than_images_say_how_many_there_may_be():
    with pytest.raises(UsageError, match=r"k must be in 1\.\.59, got 60"):
        entanglement(normal(0), LABELS, COUNTS, k=60)
