"""What seeds support: paired tests against scipy and by hand, error rates."""

import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ltbench.stats import (
    agreement_chance,
    best_columns,
    best_setting,
    holm,
    paired,
    paired_columns,
    seed_correlation,
    sign_flip_p,
    t_half_width,
    welch_half_width,
)

# -- paired differences -------------------------------------------------------------------------------------


def seeds(*values):
    return pd.Series(values, index=range(len(values)), dtype=float)


def test_paired_interval_and_p_are_scipys():
    a, b = seeds(2.0, 2.5, 3.5, 2.2), seeds(1.0, 2.0, 2.0, 2.4)
    pair, expected = paired(a, b), stats.ttest_rel(a, b)
    interval = expected.confidence_interval(0.95)
    assert (pair.low, pair.high, pair.p) == pytest.approx((interval.low, interval.high, expected.pvalue))
    assert pair.mean == pytest.approx(0.7)
    assert pair.n == 4
    assert pair.agree == 3


def test_interval_ends_of_three_numbers_by_hand():
    """Differences 1, 2, 3: mean 2, sd 1, t(2 df, .975) = 4.302653: ends 2 -+ 4.302653 / sqrt 3."""
    pair = paired(seeds(1, 2, 3), seeds(0, 0, 0))
    assert (pair.low, pair.high) == pytest.approx((2 - 2.484138, 2 + 2.484138), abs=1e-6)
    assert t_half_width(1.0, 3) == pytest.approx(2.484138, abs=1e-6)


@pytest.mark.parametrize(
    ("values", "agree"), [((3, 2, -1), 2), ((5, 1, 1, -2), 3), ((1, 1, 1), 3), ((2, 0, 1), 2)]
)
def test_signed_statistics_are_mirrored(values, agree):
    """Negative is the good direction of every distance: -x must read as x does, with the ends turned round."""
    zero = seeds(*[0.0] * len(values))
    plus, minus = paired(seeds(*values), zero), paired(seeds(*[-v for v in values]), zero)
    assert plus.agree == minus.agree == agree
    ends = (-plus.mean, -plus.high, -plus.low)
    assert (minus.mean, minus.low, minus.high) == pytest.approx(ends, nan_ok=True)
    assert (minus.sd, minus.p) == pytest.approx((plus.sd, plus.p))
    assert sign_flip_p(np.array(values)) == sign_flip_p(-np.array(values))


def test_only_common_seeds_are_paired():
    a = pd.Series({0: 1.0, 1: 5.0, 7: 100.0})
    b = pd.Series({1: 3.0, 0: 0.0, 9: -100.0})
    pair = paired(a, b)
    assert pair.seeds == (0, 1)
    assert pair.mean == 1.5
    assert paired(a[[7]], b[[9]]) is None


def test_one_seed_has_no_interval():
    pair = paired(seeds(2.0), seeds(1.0))
    assert pair.n == 1
    assert np.isnan([pair.low, pair.high, pair.p]).all()


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(-10, 10), min_size=2, max_size=8), st.floats(-5, 5))
def test_pairing_cancels_what_seeds_share(noise, shift):
    shared = pd.Series(noise)
    pair = paired(shared + shift, shared)
    assert pair.mean == pytest.approx(shift, abs=1e-9)
    assert pair.sd == pytest.approx(0, abs=1e-9)


def test_sign_flip_p_counts_all_patterns():
    d = np.array([0.3, 0.1, -0.05, 0.4, 0.2, 0.35])
    sums = [abs(np.dot(signs, d)) for signs in itertools.product((1, -1), repeat=6)]
    assert sign_flip_p(d) == pytest.approx(np.mean(np.array(sums) >= d.sum() - 1e-12))
    assert sign_flip_p(np.ones(6)) == 2 / 2**6


def test_chance_that_signs_agree():
    assert agreement_chance(3, 3) == agreement_chance(0, 3) == 0.25
    assert agreement_chance(5, 5) == 0.0625
    assert agreement_chance(4, 5) == pytest.approx(12 / 32)
    assert agreement_chance(2, 3) == 1.0


def test_welchs_interval_of_one_value_is_none():
    """It was a division by zero, or 0 where the other side does not vary."""
    for sides in [(1.0, 1, 1.0, 3), (0.0, 3, np.nan, 1), (np.nan, 1, np.nan, 1), (0.0, 0, 0.0, 2)]:
        assert np.isnan(welch_half_width(*sides))
    assert welch_half_width(0.0, 2, 0.0, 3) == 0


@pytest.mark.parametrize("sign", [1, -1])
def test_a_seed_with_an_infinite_value_is_a_seed_without_one(sign):
    """An infinite difference was left out of n and taken into the mean."""
    values = sign * np.array([np.inf, 1.0, 2.0, 4.0])
    with_it, without = (paired_columns(v[:, None]).iloc[0] for v in (values, values[1:]))
    assert with_it.equals(without)
    zero = pd.Series(0.0, range(4))
    assert paired(pd.Series(values), zero) == paired(pd.Series(values, range(4)).drop(0), zero)
    assert paired(pd.Series([np.inf]), zero) is None


def test_welch_half_width_is_scipys():
    a, b = np.array([1.0, 2.0, 4.0]), np.array([2.0, 2.5, 3.5, 2.2])
    interval = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    half = welch_half_width(a.std(ddof=1), 3, b.std(ddof=1), 4)
    assert half == pytest.approx((interval.high - interval.low) / 2)


# -- many comparisons ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("a", "p"), [((0.5, 0.25), 0.5), ((0.5, 0.25, 0.3), 0.25), ((0.1, 0.7, 0.2, 0.4), 0.125)]
)
def test_equal_differences_are_as_sure_as_their_signs(a, p):
    """Rates of few images take few values: the t test's p was 0, or 1e-16 by rounding, with two seeds."""
    pair = paired(seeds(*a), seeds(*[value - 0.25 for value in a]))
    assert pair.mean == pytest.approx(0.25)
    assert pair.p == p
    assert np.isnan([pair.low, pair.high]).all()
    same = paired(seeds(*a), seeds(*a))
    assert (same.p, same.low, same.high) == (1.0, 0.0, 0.0)


@pytest.mark.parametrize("images", [10_000, 50_000])
def test_equal_differences_of_one_image_in_many_are_as_sure_as_their_signs(images):
    """One image of 50,000 is 2e-5, and what rounds a rate of .93 is 1e-11 of that: p was 3e-24, and the equal one plain."""
    a, b = (np.array([images - k - more for k in (3500, 3621, 3702)]) / images for more in (0, 1))
    pair = paired(seeds(*a), seeds(*b))
    assert (pair.p, pair.agree) == (0.25, 3)
    assert np.isnan([pair.low, pair.high]).all()
    assert best_columns(np.c_[a, b], "higher").tolist() == [True, True]
    less_equal = paired(seeds(*a), seeds(*b[:2], b[2] - 0.01 / images))
    assert less_equal.p < 0.01
    assert np.isfinite(less_equal.low)


def test_holm_steps_down_and_stops_at_the_first_that_holds():
    assert holm([0.01, 0.04, 0.03]).tolist() == [
        True,
        False,
        False,
    ]  # .03 > .05 / 2, and .04 is not looked at
    assert holm([0.01, 0.02, 0.03]).tolist() == [True, True, True]
    assert holm([np.nan, 0.04]).tolist() == [False, True]
    assert holm([]).tolist() == []


def test_the_best_and_what_cannot_be_told_from_it():
    base = np.array([1.0, 1.4, 0.8, 1.2])
    wide = pd.DataFrame(
        {
            "best": base,
            "tied": base + np.array([0.3, -0.2, 0.2, -0.1]),
            "worse": base + np.array([1.0, 1.01, 0.99, 1.0]),
            "single": [0.1, np.nan, np.nan, np.nan],
        }
    )
    values = wide.to_numpy()
    assert best_columns(values, "lower").tolist() == [True, True, False, False]
    assert best_columns(-values, "higher").tolist() == [True, True, False, False]
    assert not best_columns(values, None).any()
    assert not best_columns(values[:, [0, 3]], "lower").any()
    assert not best_columns(values[:1], "lower").any()


def test_the_best_by_the_seeds_that_columns_share():
    """B is 1 lower than A on three seeds and has three hard seeds more: A's mean was the best, B the one left plain."""
    nan = np.nan
    a, b = [10, 10.1, 9.9, nan, nan, nan], [9, 9.12, 8.89, 20, 20.3, 19.8]
    values = np.array([a, b]).T
    assert best_columns(values, "lower").tolist() == [False, True]
    assert best_columns(-values[:, ::-1], "higher").tolist() == [True, False]
    apart = np.array([[1, 1.1, nan, nan], [nan, nan, 3, 3.1]]).T  # nothing in common: nothing is shown
    assert best_columns(apart, "lower").tolist() == [True, True]


def test_distances_of_a_training_that_diverged_are_told_by_their_ratios():
    """120 +- 72 stood bold beside 0.5: three seeds' differences of that spread have an interval that holds 0."""
    table = np.array([[0.5, 0.52, 0.48], [0.55, 0.51, 0.5], [60.0, 100.0, 200.0]]).T
    assert best_columns(table, "lower").tolist() == [True, True, True]
    assert best_columns(table, "lower", ratios=True).tolist() == [True, True, False]
    assert best_columns(1 / table, "higher", ratios=True).tolist() == [True, True, False]


def test_equal_distances_are_left_plain_in_one_column_of_twenty():
    rng = np.random.default_rng(0)
    draws = 400
    plain = sum(
        not best_columns(np.exp(rng.normal(size=(3, 6))), "lower", ratios=True).all() for _ in range(draws)
    )
    assert plain / draws < 0.05 + 3 * np.sqrt(0.05 * 0.95 / draws)


def test_a_column_that_diverged_is_not_among_the_best():
    table = np.array([[1, 1.1, 0.9], [np.inf, 1.0, 0.8], [1.2, 1.0, 1.1]]).T
    assert best_columns(table, "lower").tolist() == [True, False, True]


@pytest.mark.parametrize(("n", "images", "rate"), [(2, 20, 0.1), (3, 20, 0.05), (3, 20, 0.1), (3, 100, 0.02)])
def test_equal_rates_of_few_images_are_left_plain_in_one_column_of_twenty(n, images, rate):
    rng = np.random.default_rng(n)
    draws = 400
    plain = sum(
        not best_columns(rng.binomial(images, rate, (n, 6)) / images, "lower").all() for _ in range(draws)
    )
    assert plain / draws < 0.05 + 3 * np.sqrt(0.05 * 0.95 / draws)


@pytest.mark.slow
@pytest.mark.parametrize("unequal", [False, True])
@pytest.mark.parametrize(("methods", "n"), [(4, 3), (6, 3), (8, 3), (6, 5)])
def test_equal_methods_are_left_plain_in_one_column_of_twenty(methods, n, unequal):
    rng = np.random.default_rng(methods * n + unequal)
    spread = np.linspace(1, 3, methods) if unequal else np.ones(methods)
    draws = 4000
    plain = 0
    for _ in range(draws):
        shared = rng.normal(size=(n, 1))
        plain += not best_columns(shared + spread * rng.normal(size=(n, methods)), "lower").all()
    assert plain / draws < 0.05 + 3 * np.sqrt(0.05 * 0.95 / draws)


# -- the best of several settings ---------------------------------------------------------------------------


def test_best_setting_is_chosen_on_seeds_that_do_not_value_it():
    wide = pd.DataFrame({"a": [1.0, 5.0, 1.0, 5.0], "b": [4.0, 2.0, 4.0, 2.0], "c": [9.0] * 4})
    best = best_setting(
        wide, "lower"
    )  # seeds 0, 2 choose a, seeds 1, 3 choose b: each is bad where it is valued
    assert best.held_out
    assert best.seeds == (0, 1, 2, 3)
    assert best.mean == pytest.approx((5 + 5 + 4 + 4) / 4)
    mirrored = best_setting(-wide, "higher")
    assert mirrored.mean == pytest.approx(-best.mean)
    assert mirrored.chosen == best.chosen


def test_best_setting_takes_common_seeds_alone_and_says_what_flatters():
    wide = pd.DataFrame({"lucky": [1.0, np.nan, np.nan, np.nan], "fair": [2.0, 2.0, 3.0, 2.0]})
    best = best_setting(wide, "lower")
    assert (best.chosen, best.mean, best.n, best.held_out) == ("lucky", 1.0, 1, False)
    assert best_setting(wide.iloc[1:], "lower") is None


@pytest.mark.slow
def test_held_out_choice_does_not_flatter_equal_settings():
    rng = np.random.default_rng(0)
    held, naive = [], []
    for _ in range(1500):
        wide = pd.DataFrame(rng.normal(size=(4, 8)))
        held.append(best_setting(wide, "lower").mean)
        naive.append(best_setting(wide, "lower", fewest=99).mean)
    assert abs(np.mean(held)) < 4 * np.std(held) / np.sqrt(1500)
    assert np.mean(naive) < -0.5


# -- correlation over runs that share seeds -----------------------------------------------------------------


def test_correlation_by_hand_and_mirrored():
    x = pd.DataFrame({"m": [1.0, 2.0, 3.0], "k": [4.0, 5.0, 6.0]})
    y = pd.DataFrame({"m": [1.0, 2.0, 3.0], "k": [4.0, 5.0, 6.0]})
    straight, turned = seed_correlation(x, y, within=False), seed_correlation(x, -y, within=False)
    assert straight.rho == pytest.approx(1)
    assert turned.rho == pytest.approx(-1)
    assert straight.p == pytest.approx(turned.p) == pytest.approx(1 / 6) == straight.smallest_p
    # differences between methods alone: nothing is left within them, whatever the seeds
    apart = pd.DataFrame({"m": [1.0, 1.0, 1.0], "k": [2.0, 2.0, 2.0]})
    assert np.isnan(seed_correlation(apart, apart, within=True).rho)
    assert seed_correlation(apart, apart, within=False).rho == pytest.approx(1)


@pytest.mark.slow
@pytest.mark.parametrize("shared", [0.0, 1.0, 2.0])
def test_correlation_over_seeds_holds_its_level_whatever_runs_share(shared):
    rng = np.random.default_rng(int(10 * shared))
    draws, hits = 600, 0
    for _ in range(draws):
        x, y = (pd.DataFrame(shared * rng.normal(size=(5, 1)) + rng.normal(size=(5, 4))) for _ in range(2))
        hits += seed_correlation(x, y, within=True).p <= 0.05
    assert hits / draws < 0.05 + 3 * np.sqrt(0.05 * 0.95 / draws)


# -- small exact cases, each of which one changed line breaks ----------------------------------------------------


def test_results_are_values():
    found = paired(seeds(3, 2, 4), seeds(1, 1, 1))
    for result, name in (
        (found, "mean"),
        (seed_correlation(pd.DataFrame([[1.0]]), pd.DataFrame([[1.0]]), False), "rho"),
        (best_setting(pd.DataFrame({"a": [1.0]}), "lower"), "mean"),
    ):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(result, name, 0.0)


def test_a_t_interval_scales_with_the_spread():
    assert t_half_width(2.5, 3) == pytest.approx(2.5 * 4.302653 / np.sqrt(3), rel=1e-6)


def test_holms_divisor_is_how_many_are_left():
    # four tests: .05/4 = .0125, then .05/3 = .0167, .05/2, .05
    assert holm([0.012, 0.016, 0.9, 0.9]).tolist() == [True, True, False, False]
    assert holm([0.012, 0.017, 0.9, 0.9]).tolist() == [True, False, False, False]


@pytest.mark.parametrize(("n", "smallest"), [(3, 2 / 6), (4, 2 / 24), (5, 2 / 120)])
def test_reversed_seeds_correlate_as_much(n, smallest):
    """Of one series the order and its reverse have the same |rho|: no p of 1 / n! can be had."""
    x = pd.DataFrame({"m": np.arange(n) ** 2.0})
    assert seed_correlation(x, x, within=False).smallest_p == pytest.approx(smallest)
    assert seed_correlation(x, x, within=False).p == pytest.approx(smallest)


def test_two_seeds_within_series_tell_nothing():
    x = pd.DataFrame({"a": [1.0, 2.0], "b": [5.0, 3.0], "c": [4.0, 1.0]})
    assert seed_correlation(x, x, within=True).smallest_p == 1.0


def test_seven_seeds_are_paired_in_720_ways():
    x = pd.DataFrame(np.arange(7.0))
    assert seed_correlation(x, x, within=False).smallest_p == 1 / 720


def test_a_correlation_with_a_run_missing_by_hand():
    x = pd.DataFrame([[1.0, 4.0], [2.0, np.nan], [3.0, 6.0]])
    for y, rho in ((x, 1), (-x, -1)):
        found = seed_correlation(x, y, within=False)
        assert found.rho == pytest.approx(rho)
        assert found.p == pytest.approx(1 / 6)  # the five other orders: .8, .8, .5, .4 and less
    flat = x.where(x.isna(), 2.0)
    assert np.isnan(seed_correlation(x, flat, within=False).rho)
    assert np.isnan(seed_correlation(flat, x, within=False).rho)


@pytest.mark.parametrize("value", [3.0, -3.0])
def test_one_pair_tells_nothing_by_its_sign(value):
    assert sign_flip_p(np.array([value])) == 1  # both of the two patterns are as far from 0


def test_a_correlation_of_three_runs_by_hand():
    x = pd.DataFrame([1.0, 2.0, 3.0])
    for sign in (1, -1):
        found = seed_correlation(x, sign * x, within=False)
        assert found.rho == pytest.approx(sign)
        assert found.p == pytest.approx(2 / 6)  # of six orders, this one and its mirror
    assert np.isnan(seed_correlation(x[:2], x[:2], within=False).rho)
