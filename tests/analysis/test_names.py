"""What measures and methods are called: equal names are told apart by the first thing that differs."""

import pytest

from ltbench.analysis.names import OWN, Measure, distinguish, measure_titles, pair_title, split_arrow

FD = Measure("frechet", "frechet/1", "digits_cnn", "a" * 64, "train", "b" * 64, 1000.0, 500.0)


def test_a_method_has_its_variant_in_its_name_only_where_several_are_compared():
    pairs = [("cbdm", "released"), ("cbdm", "published"), ("ddpm", "")]
    assert [pair_title(pair, pairs) for pair in pairs] == ["CBDM (released)", "CBDM (published)", "DDPM"]
    assert pair_title(("cbdm", "released"), [("cbdm", "released"), ("ddpm", "")]) == "CBDM"


@pytest.mark.parametrize(
    ("changed", "titles"),
    [
        ({"metric": "recall"}, ["FD (digits_cnn) ↓", "Recall ↑"]),
        ({"n_generated": 2000.0}, ["FD (digits_cnn) (n=500) ↓", "FD (digits_cnn) (n=2,000) ↓"]),
        ({"n_generated": OWN}, ["FD (digits_cnn) (n=500) ↓", "FD (digits_cnn) (n as the class has) ↓"]),
        ({"reference": "heldout"}, ["FD (digits_cnn) (train) ↓", "FD (digits_cnn) (heldout) ↓"]),
        (
            {"extractor_hash": "c" * 64},
            ["FD (digits_cnn) (extractor aaaaaaaa) ↓", "FD (digits_cnn) (extractor cccccccc) ↓"],
        ),
    ],
)
def test_measures_of_one_title_are_told_apart_before_the_arrow(changed, titles):
    assert measure_titles([FD, FD._replace(**changed)]) == titles


def test_what_differs_in_nothing_that_is_shown_keeps_its_name():
    assert distinguish(["a", "a"], [FD, FD], [("metric", str)], "{} {}".format) == ["a", "a"]


def test_a_title_without_a_better_direction_has_no_arrow():
    assert split_arrow("FD ↓") == ("FD", " ↓")
    assert split_arrow("Vendi") == ("Vendi", "")
