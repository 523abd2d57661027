"""What errors add to a sentence: the nearest name that there is."""

import pytest

from ltbench.errors import nearest


@pytest.mark.parametrize("typed", ["cifar10-lt", "CIFAR10_LT", "Cifar10LT", "cifar10_lt "])
def test_the_nearest_name_is_found_in_any_case(typed):
    assert nearest(typed, ["digits_lt", "cifar10_lt"]) == "; did you mean 'cifar10_lt'?"


def test_a_name_like_none_gets_the_list():
    assert nearest("faces", ["digits_lt", "cifar10_lt"]) == "; known: cifar10_lt, digits_lt"
