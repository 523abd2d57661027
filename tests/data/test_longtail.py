import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltbench.data.longtail import (
    by_count,
    class_order,
    class_sizes,
    read_ratio,
    select,
    selection_sha256,
    shots,
    smallest_ratio,
    thirds,
)
from ltbench.errors import UsageError

GOLDEN = {  # produced by the released code
    (10, 5000, 0.01): ([5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50], 12406, "8a54f5b6fa972295"),
    (10, 5000, 0.001): ([5000, 2320, 1077, 500, 232, 107, 50, 23, 10, 5], 9324, "bbbceed7c2735416"),
    (100, 500, 0.01): (None, 10847, "f123ec136d44ab1b"),
}


def balanced_labels(num_classes, per_class, seed=1):
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(num_classes), per_class))


@pytest.mark.parametrize("cell", GOLDEN)
def test_published_counts_and_selection(cell):
    num_classes, per_class, ratio = cell
    counts, total, digest = GOLDEN[cell]
    got = class_sizes([per_class] * num_classes, ratio)
    assert counts is None or got.tolist() == counts
    assert (got[0], got[-1], got.sum()) == (per_class, int(per_class * ratio), total)
    # The digest holds within-class ranks only, so any file order gives it.
    for labels in (np.repeat(np.arange(num_classes), per_class), balanced_labels(num_classes, per_class)):
        assert selection_sha256(labels, select(labels, got)) == digest


def test_first_ranks_of_the_published_cifar10_split():
    labels = np.repeat(np.arange(10), 5000)
    positions = select(labels, class_sizes([5000] * 10, 0.01))
    assert positions[:5].tolist() == [398, 3833, 4836, 4572, 636]
    assert (positions[-50:-45] - 45000).tolist() == [2204, 3816, 2206, 2507, 1926]


def test_smaller_subset_is_nested_and_seeds_differ():
    labels = balanced_labels(10, 5000)
    small, large = (select(labels, class_sizes([5000] * 10, ratio)) for ratio in (0.001, 0.01))
    assert set(small) < set(large)
    other = select(labels, class_sizes([5000] * 10, 0.01), split_seed=1)
    assert np.array_equal(np.bincount(labels[other]), np.bincount(labels[large]))
    assert selection_sha256(labels, other) != selection_sha256(labels, large)


sizes = st.lists(st.integers(1, 6000), min_size=2, max_size=40)


@given(pool=sizes, ratio=st.floats(1e-4, 1.0), profile=st.sampled_from(["exponential", "step"]))
def test_counts_fall_from_the_smallest_class_of_the_pool(pool, ratio, profile):
    n_max = min(pool)
    if n_max * ratio < 1:
        with pytest.raises(UsageError, match="smallest ratio that works here is"):
            class_sizes(pool, ratio, profile)
        return
    counts = class_sizes(pool, ratio, profile)
    assert counts[0] == n_max
    assert counts[-1] == int(n_max * ratio)
    assert (np.diff(counts) <= 0).all()
    assert counts.min() >= 1
    assert (counts <= pool).all()


@given(num_classes=st.integers(2, 30), seed=st.integers(0, 2**32 - 1), ratio=st.floats(0.01, 1.0))
def test_counts_follow_the_class_order(num_classes, seed, ratio):
    order = class_order(f"permuted:{seed}", num_classes)
    assert sorted(order) == list(range(num_classes))
    straight = class_sizes([500] * num_classes, ratio)
    assert np.array_equal(class_sizes([500] * num_classes, ratio, class_order=order)[list(order)], straight)


@given(n_max=st.integers(1, 10**6))
def test_smallest_ratio_is_short_works_and_is_tight(n_max):
    ratio = smallest_ratio(n_max)
    assert class_sizes([n_max] * 2, ratio)[-1] == 1
    assert float(f"{ratio:.4g}") == ratio
    assert 1 / n_max <= ratio <= 1.0011 / n_max


@given(
    labels=st.lists(st.integers(0, 4), min_size=1, max_size=200).map(lambda x: np.array([*x, 0, 1, 2, 3, 4])),
    data=st.data(),
)
def test_selection_takes_what_was_asked_and_nothing_twice(labels, data):
    counts = [data.draw(st.integers(0, int(n))) for n in np.bincount(labels)]
    positions = select(labels, counts, data.draw(st.integers(0, 2**32 - 1)))
    assert np.bincount(labels[positions], minlength=5).tolist() == counts
    assert len(set(positions.tolist())) == len(positions)
    assert (np.diff(labels[positions]) >= 0).all()


def test_orders_profiles_and_head_count():
    assert class_order("identity", 4) == (0, 1, 2, 3)
    assert class_order("reversed", 4) == (3, 2, 1, 0)
    assert class_order("permuted:0", 5) == (2, 0, 1, 3, 4)  # RandomState(0): frozen for ever
    assert class_sizes([100, 80, 90], 0.5, class_order=(2, 1, 0)).tolist() == [40, 56, 80]
    assert class_sizes([100] * 5, 0.1, "step").tolist() == [100, 100, 10, 10, 10]
    assert class_sizes([7, 30, 9], 0.1, "asis").tolist() == [7, 30, 9]
    assert class_sizes([5000] * 10, 1.0, head_count=50).tolist() == [50] * 10
    assert by_count([7, 30, 9, 30]) == (1, 3, 2, 0)


def test_groups_by_rank_and_by_training_count():
    assert thirds(range(10)) == {"head": (0, 1, 2), "middle": (3, 4, 5, 6), "tail": (7, 8, 9)}
    assert thirds((4, 2, 0, 1, 3)) == {"head": (4,), "middle": (2, 0, 1), "tail": (3,)}
    assert thirds((1, 0)) == {"head": (1,), "tail": (0,)}
    assert [len(group) for group in thirds(range(100)).values()] == [33, 34, 33]
    counts = [19, 20, 100, 101, 5]
    assert shots(counts, by_count(counts)) == {"many": (3,), "medium": (2, 1), "few": (0, 4)}


@pytest.mark.parametrize("ratio", [0.0, -0.1, 2.0, float("nan"), float("inf")])
def test_ratio_outside_its_range_is_refused(ratio):
    with pytest.raises(UsageError, match=r"not in \(0, 1\]"):
        class_sizes([100] * 10, ratio)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: class_sizes([5000] * 10, 1e-4), "smallest ratio that works here is 0.0002"),
        (lambda: class_sizes([120] * 10, 0.001), "smallest ratio that works here is 0.008334"),
        (lambda: class_sizes([100] * 10, 0.1, head_count=101), "not in 1..100"),
        (lambda: class_sizes([100] * 10, 0.1, "asis", head_count=5), "leave out head_count"),
        (lambda: class_sizes([100] * 10, 0.1, "cosine"), "use exponential, step or asis"),
        (lambda: class_sizes([100], 0.1), "at least two classes"),
        (lambda: class_order("random", 10), "use identity, reversed or permuted:SEED"),
        (lambda: class_order("permuted:4294967296", 10), "permuted:SEED"),
        (lambda: class_order("permuted:१", 10), "permuted:SEED"),
        (lambda: read_ratio("१"), "is no number: write 0.01, 1/100 or 100"),
        (lambda: read_ratio("½"), "is no number: write 0.01, 1/100 or 100"),
        (lambda: read_ratio("１００"), "is no number: write 0.01, 1/100 or 100"),
        (lambda: select(np.array([0, 1]), [2, 1]), "fewer than the 2 asked for"),
        (lambda: select(np.array([0, 1]), [1, 1], split_seed=2**32), "not in 0..2"),
    ],
)
def test_bad_input_says_what_to_do(call, message):
    with pytest.raises(UsageError, match=message):
        call()
