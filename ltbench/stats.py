"""Statistics of few training seeds: from values a seed to intervals, tests and what is best.

Two methods trained with one seed share initial weights, data order and noise, so they are compared seed by
seed. Where several comparisons are marked at once, the level holds for all of them together (Holm, "A Simple
Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of Statistics 6, 1979): with six equal
methods and three seeds an uncorrected rule calls one of them worse in a third of all table columns. Runs that
share a seed are no independent draws: correlations over runs are tested by permuting whole seeds.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit
from scipy.stats import binom, permutation_test, rankdata

Better = Literal["lower", "higher"]
CONFIDENCE = 0.95
"""Of every interval over training seeds."""
EXACT_UP_TO = 16
"""Most pairs for which all sign patterns are counted."""
_ROUNDING = 1e-9  # of a difference: what rounding makes of equal ones, as of rates of 50,000 images
_MOST_PERMUTATIONS = 720  # of whole seeds: all orders of up to six


# -- paired differences over training seeds ---------------------------------------------------------------


@dataclass(frozen=True)
class Paired:
    """The paired difference a - b over common training seeds.

    Attributes
    ----------
    seeds
        The common seeds.
    mean, sd
        Of the differences (sd is nan for one seed).
    low, high
        T interval of the mean difference (nan for one seed, and where all differences are equal: see `paired_columns`).
    agree
        How many differences have the sign of the mean.
    p
        Two-sided p of the paired t test, uncorrected (nan for one seed).
    """

    seeds: tuple[int, ...]
    mean: float
    sd: float
    low: float
    high: float
    agree: int
    p: float

    @property
    def n(self) -> int:
        """Number of pairs."""
        return len(self.seeds)


def t_half_width(sd: float, n: int) -> float:
    """Return half the width of the t interval of a mean of n values: t_{n-1} sd / sqrt(n)."""
    return float(stdtrit(n - 1, 0.5 + CONFIDENCE / 2) * sd / np.sqrt(n))


def paired(a: pd.Series, b: pd.Series) -> Paired | None:
    """Compare two series of values by training seed; None without a common seed.

    Parameters
    ----------
    a, b
        Values indexed by training seed; nan or infinite where a seed has none.
    """
    difference = a - b
    difference = difference[np.isfinite(difference)]
    if not len(difference):
        return None
    row = paired_columns(difference.to_numpy(float)[:, None]).iloc[0]
    seeds = tuple(int(s) for s in difference.index)
    return Paired(seeds, row["mean"], row["sd"], row["low"], row["high"], int(row["agree"]), row["p"])


def paired_columns(differences: np.ndarray) -> pd.DataFrame:
    """Describe many paired differences at once.

    Parameters
    ----------
    differences
        (seeds, m), a column a comparison; nan or infinite where a pair lacks the seed.

    Returns
    -------
    One row a column: ``n``, ``mean``, ``sd``, ``low``, ``high``, ``agree``, ``p``, as in `Paired`.

    Differences that are all equal, as those of rates of few images often are, have no spread to judge their mean by: a
    t test would call any of them certain. They have no interval, and the p of the sign-flip test, 2 / 2^n.
    """
    return pd.DataFrame(_paired_arrays(differences))


def _paired_arrays(differences: np.ndarray) -> dict[str, np.ndarray]:
    present = np.isfinite(differences)
    differences = np.where(present, differences, np.nan)
    n = present.sum(axis=0)
    with np.errstate(all="ignore"):
        mean = np.nansum(differences, axis=0) / n
        sd = np.sqrt(np.nansum((differences - mean) ** 2, axis=0) / (n - 1))
        sd = np.where(n > 1, sd, np.nan)
        half = stdtrit(np.maximum(n - 1.0, 1), 0.5 + CONFIDENCE / 2) * sd / np.sqrt(n)
        p = 2 * stdtr(np.maximum(n - 1.0, 1), -np.abs(mean) / (sd / np.sqrt(n)))
    equal = (n > 1) & (sd <= _ROUNDING * np.abs(mean))
    p = np.where(equal, np.where(mean == 0, 1.0, 2.0 ** (1.0 - n)), np.where(n > 1, p, np.nan))
    half = np.where(equal & (mean != 0), np.nan, half)
    agree = (present & (np.sign(differences) == np.sign(mean))).sum(axis=0)
    return {"n": n, "mean": mean, "sd": sd, "low": mean - half, "high": mean + half, "agree": agree, "p": p}


def agreement_chance(agree: int, n: int) -> float:
    """Return how often at least so many of n signs agree (k of n share one sign) when each is a coin's toss."""
    most = max(agree, n - agree)
    return float(min(1.0, 2 * binom.sf(most - 1, n, 0.5)))


def sign_flip_p(differences: np.ndarray) -> float:
    """Return the exact two-sided p of the sign-flip test of mean 0 (Fisher's randomisation test of pairs).

    Under the null each difference is as likely with either sign: p is the share of the 2^n sign patterns
    whose |mean| is at least the observed one.
    """
    d = np.asarray(differences, dtype=float)
    if not 1 <= len(d) <= EXACT_UP_TO:
        raise ValueError(f"exact for 1 to {EXACT_UP_TO} pairs, got {len(d)}")
    if len(d) == 1:
        return 1.0
    test = permutation_test((d,), np.mean, permutation_type="samples", n_resamples=2 ** len(d))
    return float(test.pvalue)


def welch_half_width(sd_a: float, n_a: float, sd_b: float, n_b: float) -> float:
    """Return half the width of Welch's interval of a difference of two means (Welch, Biometrika 34, 1947).

    nan where either mean is of fewer than two values.
    """
    if min(n_a, n_b) < 2:
        return math.nan
    va, vb = sd_a**2 / n_a, sd_b**2 / n_b
    if va + vb == 0:
        return 0.0
    degrees = (va + vb) ** 2 / (va**2 / (n_a - 1) + vb**2 / (n_b - 1))
    return float(stdtrit(degrees, 0.5 + CONFIDENCE / 2) * np.sqrt(va + vb))


# -- many comparisons ---------------------------------------------------------------------------------------


def holm(p_values: pd.Series | np.ndarray | Sequence[float], level: float = 0.05) -> np.ndarray:
    """Tell which hypotheses Holm's step-down procedure rejects, so that any false one among them is rare.

    Parameters
    ----------
    p_values
        (m,) uncorrected; nan is no test, is never rejected and does not count among the m.
    level
        Bound on the chance of one or more false rejections, whatever the tests' dependence.

    Returns
    -------
    (m,) bool.
    """
    p = np.asarray(p_values, dtype=float)
    tests = np.flatnonzero(np.isfinite(p))
    rejected = np.zeros(len(p), bool)
    for rank, i in enumerate(tests[np.argsort(p[tests], kind="stable")]):
        if p[i] > level / (len(tests) - rank):
            break
        rejected[i] = True
    return rejected


def best_columns(
    values: np.ndarray, better: Better | None, level: float = 0.05, ratios: bool = False
) -> np.ndarray:
    """Tell which columns cannot be told apart from the best: the best mean, and all not shown to differ from it.

    A column is left out only where it is shown to be worse than the best by Holm's procedure over the paired t tests
    of all pairs of columns. All pairs, because the data choose the best: so an equal column is left out of the whole
    set with probability at most `level`. Where columns have seeds of their own, the best mean may be shown to be worse
    than another on the seeds of both: then that one is the best.

    Parameters
    ----------
    values
        (seeds, m), nan where a column lacks the seed; a column with fewer than two seeds, or with an infinite value,
        takes no part.
    better
        Which direction is better; None: neither, and no column is best.
    level
        Of Holm's procedure.
    ratios
        Test ratios in place of differences, as for distances, all above 0, whose spread grows with them: 60, 100 and
        200 are no doubt further than 0.5, and their difference has an interval that holds 0.

    Returns
    -------
    (m,) bool.
    """
    out = np.zeros(values.shape[1], bool)
    keep = np.flatnonzero((np.isfinite(values).sum(axis=0) >= 2) & ~np.isinf(values).any(axis=0))
    if better is None or len(keep) < 2:
        return out
    sign = 1.0 if better == "lower" else -1.0
    table = sign * values[:, keep]
    rows, columns = np.triu_indices(len(keep), 1)
    tested = sign * np.log(values[:, keep]) if ratios else table
    tests = _paired_arrays(tested[:, rows] - tested[:, columns])
    worse = np.zeros((len(keep), len(keep)), bool)  # [i, j]: i is shown to be worse than j
    for i, j, differs, mean in zip(rows, columns, holm(tests["p"], level), tests["mean"], strict=True):
        worse[(i, j) if mean > 0 else (j, i)] = differs
    means = np.nanmean(table, axis=0)
    best, passed = int(means.argmin()), set[int]()
    while (ahead := set(np.flatnonzero(worse[best])) - passed) and best not in passed:
        passed.add(best)
        best = int(min(ahead, key=means.__getitem__))
    out[keep[~worse[:, best]]] = True
    return out


# -- the best of several settings ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Best:
    """The best of several settings, on training seeds that all of them have.

    Attributes
    ----------
    chosen
        The setting of best mean over all common seeds.
    mean, sd
        Its value: from seeds that did not choose it where `held_out`, else from those that did.
    seeds
        The common seeds.
    held_out
        Whether choice and value are on different seeds. If not, the value flatters.
    """

    chosen: Any
    mean: float
    sd: float
    seeds: tuple[int, ...]
    held_out: bool

    @property
    def n(self) -> int:
        """Number of common seeds."""
        return len(self.seeds)


def best_setting(values: pd.DataFrame, better: Better, fewest: int = 4) -> Best | None:
    """Choose the best of several settings without letting the choice flatter its value.

    With `fewest` common seeds or more each half of them chooses a setting, and the other half says what it is
    worth; mean and standard deviation are over all seeds so valued. With fewer, the value is the chosen
    setting's own, and flatters.

    Parameters
    ----------
    values
        Training seed x setting.
    better
        Which direction is better.
    fewest
        Common seeds from which choice and value are taken from different halves.

    Returns
    -------
    None where no seed has all settings.
    """
    common = values.dropna()
    if common.empty or not len(common.columns):
        return None
    sign = 1.0 if better == "lower" else -1.0
    chosen = (sign * common.mean()).idxmin()
    seeds = tuple(int(s) for s in common.index)
    if held_out := len(common) >= fewest and common.shape[1] > 1:
        halves = common.iloc[::2], common.iloc[1::2]
        worth = [other[(sign * half.mean()).idxmin()] for half, other in (halves, halves[::-1])]
        valued = pd.concat(worth).to_numpy(float)
    else:
        valued = common[chosen].to_numpy(float)
    sd = float(valued.std(ddof=1)) if len(valued) > 1 else math.nan
    return Best(chosen, float(valued.mean()), sd, seeds, held_out)


# -- correlation over runs that share seeds -----------------------------------------------------------------


@dataclass(frozen=True)
class Correlation:
    """Spearman's rank correlation over runs.

    Attributes
    ----------
    rho
        The correlation; nan where one side is constant.
    p
        Two-sided, from permuting whole seeds.
    smallest_p
        The smallest that any pairing of these seeds' values could give.
    """

    rho: float
    p: float
    smallest_p: float


def seed_correlation(x: pd.DataFrame, y: pd.DataFrame, within: bool) -> Correlation:
    """Correlate two quantities over runs, with the training seed as the unit that is drawn.

    Runs of one seed share initial weights, order, noise and times. Under the null the seeds' blocks of y are
    exchangeable against those of x, so p is the share of the n! ways to pair them whose |rho| is at least the
    observed one; no interval is given, since one that took runs as independent would be far too narrow.

    Parameters
    ----------
    x, y
        Training seed x series, nan where a run lacks either.
    within
        Take each series' mean out of both first: differences between seeds of one method alone.
    """
    both = x.notna() & y.reindex_like(x).notna()
    x, y = x.where(both).dropna(how="all"), y.reindex_like(x).where(both).dropna(how="all")
    if within:
        x, y = x - x.mean(), y - y.mean()
    first, second = x.to_numpy(float), y.to_numpy(float)
    n = len(first)
    if math.factorial(n) <= _MOST_PERMUTATIONS:
        orders = [np.array(order, int) for order in itertools.permutations(range(n))]
    else:
        rng = np.random.default_rng(n)
        orders = [np.arange(n), *(rng.permutation(n) for _ in range(_MOST_PERMUTATIONS - 1))]
    rho = _rank_correlations(first, second, orders)
    if not len(rho) or np.isnan(rho[0]):
        return Correlation(math.nan, math.nan, math.nan)
    p = float(np.mean(np.abs(rho[np.isfinite(rho)]) >= abs(rho[0]) * (1 - 1e-12)))
    sizes = np.abs(rho[np.isfinite(rho)])
    smallest = float(
        np.mean(sizes >= sizes.max() * (1 - 1e-12))
    )  # a reversed order often gives the same size
    return Correlation(float(rho[0]), p, smallest)


def _rank_correlations(x: np.ndarray, y: np.ndarray, orders: Sequence[np.ndarray]) -> np.ndarray:
    """Return Spearman's correlation of x (n,m) with y's rows in each of the given orders; nan where one is constant."""
    if np.isfinite(x).all() and np.isfinite(y).all():  # every order has the same values: they are ranked once
        a, b = (rankdata(v).reshape(v.shape) - (v.size + 1) / 2 for v in (x, y))
        scale = np.sqrt((a**2).sum() * (b**2).sum())
        if x.size < 3 or scale < 1e-12:
            return np.full(len(orders), np.nan)
        return np.array([float((a * b[order]).sum() / scale) for order in orders])
    return np.array([_spearman(x, y[order]) for order in orders])


def _spearman(x: np.ndarray, y: np.ndarray) -> float:
    known = np.isfinite(x) & np.isfinite(y)
    a, b = x[known], y[known]
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return math.nan
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])
