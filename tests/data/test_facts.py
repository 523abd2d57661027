"""Facts of a data set before its files are there: by hand from the pool's counts, and what only files tell."""

import numpy as np
import pytest

from ltbench.data.facts import absent_files, static_facts
from ltbench.errors import DataMissing, UsageError
from ltbench.specs import DataSpec


def test_a_tenth_of_the_images_at_the_tail_by_hand(tmp_path):
    """CIFAR-10's 5000 a class at ratio 0.1: class k has the whole part of 5000 * 0.1^(k/9)."""
    facts = static_facts(DataSpec(dataset="cifar10_lt", imbalance_ratio=0.1), tmp_path)
    counts = np.array([5000, 3871, 2997, 2320, 1796, 1391, 1077, 834, 645, 500])
    np.testing.assert_array_equal(facts.prior, counts / 20431)
    assert (facts.shape, facts.num_classes, facts.flip_allowed) == ((3, 32, 32), 10, True)


def test_classes_that_only_files_count_are_equal(tmp_path):
    facts = static_facts(DataSpec(dataset="imagenet_lt", profile="asis", image_size=64), tmp_path)
    assert facts.shape == (3, 64, 64)
    assert set(facts.prior.tolist()) == {1 / 1000}


def test_what_is_not_prepared_or_of_no_such_size_is_refused(tmp_path):
    with pytest.raises(DataMissing, match=f"folder_lt is not prepared under {tmp_path}"):
        static_facts(DataSpec(dataset="folder_lt"), tmp_path)
    with pytest.raises(UsageError, match="no image size 64"):
        static_facts(DataSpec(dataset="cifar10_lt", image_size=64), tmp_path)


def test_absent_files_are_named_with_the_place_and_the_way_to_get_them(tmp_path):
    sentence = absent_files("cifar10_lt", tmp_path)
    assert sentence.startswith("the files of cifar10_lt are missing (looked in ")
    assert sentence.count(str(tmp_path)) >= 2  # the place, and where to put them
