"""Rounds as the independent units: their variance, what variants share of it, and clustered differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special
from scipy import stats as scipy_stats

from bench.stats.estimates import ratio_mean, ratio_p, windows
from bench.stats.rounds import (
    _trigamma_inverse,
    block_variance,
    compare_rounds,
    compare_variants,
    moderated,
    rounds_agree,
    spreads,
)


@pytest.mark.parametrize("k", [2, 3, 5, 8])
def test_the_variance_of_rounds_that_hold_one_value_each_is_that_of_their_mean(k: int) -> None:
    """The log of a percentile of constant blocks moves as their values do; averaged over many sets of rounds."""
    rng = np.random.default_rng(k)
    sd, variances = 0.02, []
    for _ in range(300):
        rounds = [list(np.exp(rng.normal(0, sd) + rng.normal(0, 0.05, 40))) for _ in range(k)]
        variances.append(block_variance(rounds, 0.5))
    true = (sd**2 + 0.05**2 * math.pi / 2 / 40) / k
    assert np.mean(variances) == pytest.approx(true, rel=0.2)


def test_a_single_round_has_no_variance_and_leaves_the_change_without_an_interval() -> None:
    change = compare_rounds({"q4": ([[1.0, 1.1]], [[5.0, 5.1]])}, 0.5)["q4"]
    assert (math.isinf(change.half_width()), change.p) == (True, 1.0)
    assert change.log_ratio == pytest.approx(math.log(5))


def test_two_variants_with_rounds_are_students_t_on_their_own() -> None:
    before, after = [[10.0], [10.2], [10.4]], [[12.0], [12.1], [12.5]]
    change = compare_rounds({"q4": (before, after)}, 0.5)["q4"]
    assert change.df == 4
    assert change.log_ratio == pytest.approx(math.log(12.1 / 10.2))
    half = scipy_stats.t.ppf(0.975, 4) * change.standard_error
    assert change.half_width() == pytest.approx(half)
    assert change.p == pytest.approx(2 * scipy_stats.t.sf(change.log_ratio / change.standard_error, 4))


def test_variances_that_differ_by_chance_alone_are_pooled() -> None:
    rng = np.random.default_rng(1)
    variances = rng.chisquare(4, 200) / 4 * 0.01
    shrunk, df = moderated(list(variances), [4.0] * 200)
    assert np.std(shrunk) < 0.2 * np.std(variances)
    assert np.mean(shrunk) == pytest.approx(0.01, rel=0.15)
    assert min(df) > 40


def test_variances_that_really_differ_stay_apart() -> None:
    variances = [1e-6, 1e-4, 1e-2, 1.0]
    shrunk, df = moderated(variances, [4.0] * 4)
    assert shrunk == sorted(shrunk)
    assert shrunk[-1] / shrunk[0] > 1e4
    assert max(df) < 6


def test_the_inverse_of_the_trigamma_function() -> None:
    for y in (0.1, 1.0, 7.5, 200.0):
        assert _trigamma_inverse(float(special.polygamma(1, y))) == pytest.approx(y, rel=1e-6)


def test_one_slow_round_beside_an_ordinary_one_is_no_regression() -> None:
    ordinary = [[10.0, 10.1, 10.2], [10.1, 10.2, 10.3]]
    assert not rounds_agree(ordinary, [[15.0, 15.1, 15.2], ordinary[0]], 0.5)
    assert rounds_agree(ordinary, [[15.0, 15.1, 15.2], [14.0, 14.1, 14.2]], 0.5)


def test_clusters_of_one_are_the_paired_t_test() -> None:
    rng = np.random.default_rng(3)
    before, after = rng.normal(0, 1, 50), rng.normal(0.2, 1, 50)
    moved = windows(list(after - before), 1)
    mean = ratio_mean(*moved)
    reference = scipy_stats.ttest_rel(after, before)
    low, high = reference.confidence_interval()
    assert (ratio_p(*moved), mean.low, mean.high) == pytest.approx((reference.pvalue, low, high))


def test_clusters_of_like_values_are_not_counted_as_many() -> None:
    rng = np.random.default_rng(4)
    after = np.repeat(rng.normal(0, 1, 20), 30)
    moved = windows(list(after), 30)
    reference = scipy_stats.ttest_1samp(after[::30], 0)
    assert ratio_mean(*moved).n == 20
    assert ratio_p(*moved) == pytest.approx(reference.pvalue)
    assert (ratio_mean(*windows([1.0] * 10, 10)).low, ratio_p(*windows([1.0] * 10, 10))) == (None, 1.0)


@pytest.mark.parametrize(("always", "p"), [(0.0, 1.0), (0.5, 0.0)])
def test_differences_that_are_all_alike_have_no_spread(always: float, p: float) -> None:
    assert ratio_p(*windows([always] * 40, 4)) == p


@pytest.mark.parametrize("k", [3, 5])
def test_the_interval_of_the_largest_of_some_rounds_covers_though_resamples_repeat_it(k: int) -> None:
    """A bootstrap of whole rounds alone would cover 0.93 of 3 rounds and 0.89 of 5."""
    rng = np.random.default_rng(k)
    covered = total = 0
    for _ in range(60):
        sides = {
            str(variant): tuple([[value] for value in np.exp(rng.normal(0, 0.05, k))] for _ in range(2))
            for variant in range(12)
        }
        for change in compare_rounds(sides, 1.0).values():  # type: ignore[arg-type]
            total += 1
            covered += abs(change.log_ratio) <= change.half_width()
    assert covered / total >= 0.95


@pytest.mark.parametrize(("k", "least"), [(2, 0.90), (3, 0.93)])
@pytest.mark.parametrize("sd", [0.02, 0.15])
def test_variants_of_one_sweep_that_share_a_base_are_covered_though_rounds_move_them(
    k: int, least: float, sd: float
) -> None:
    """Twelve equal variants, each round of each moved by its own; resampling requests would cover a tenth of them."""
    rng = np.random.default_rng([k, int(100 * sd)])
    covered = total = 0
    for _ in range(60):
        sweep = {
            str(variant): [list(np.exp(rng.normal(0, sd) + rng.normal(0, 0.02, 30))) for _ in range(k)]
            for variant in range(12)
        }
        spread = spreads(sweep, 0.5)
        for name in list(sweep)[1:]:
            change = compare_variants((sweep["0"], sweep[name]), 0.5, (spread["0"], spread[name]))
            total += 1
            covered += abs(change.log_ratio) <= change.half_width()
    assert least <= covered / total <= 0.995


def test_a_variant_of_a_single_round_is_compared_without_an_interval_and_lends_the_others_nothing() -> None:
    several = {"base": [[1.0], [1.1], [1.3]], "q4": [[0.5], [0.6], [0.5]]}
    spread = spreads({**several, "q2": [[0.4]]}, 0.5)
    assert {name: spread[name] for name in several} == spreads(several, 0.5)
    change = compare_variants((several["base"], [[0.4]]), 0.5, (spread["base"], spread["q2"]))
    assert math.isinf(change.half_width())
    assert change.log_ratio == pytest.approx(math.log(0.4 / 1.1))
