"""Published and hand-computed values of every interval and test the report prints."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binomtest

from bench.stats import estimates, proportions


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (92, 100), (460, 500), (920, 1000), (7, 7)])
def test_wilson_is_that_of_scipy(successes: int, n: int) -> None:
    expected = binomtest(successes, n).proportion_ci(method="wilson")
    estimate = proportions.wilson(successes, n)
    assert (estimate.value, estimate.n) == (successes / n, n)
    assert (estimate.low, estimate.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_of_92_in_100() -> None:
    estimate = proportions.wilson(92, 100)
    assert (round(100 * estimate.low, 1), round(100 * estimate.high, 1)) == (85.0, 95.9)


@pytest.mark.parametrize(
    ("n", "low", "high"),
    [(368, 360, 368), (500, 490, 500), (1000, 983, 997), (2000, 1971, 1989), (5000, 4936, 4964), (10_000, 9880, 9920)],
)
def test_ranks_that_enclose_a_p99(n: int, low: int, high: int) -> None:
    assert estimates.percentile_ranks(n, 0.99) == (low, high)


@pytest.mark.parametrize(("share", "least"), [(0.9, 36), (0.95, 72), (0.99, 368), (0.999, 3688)])
def test_a_percentile_has_an_upper_end_from_this_n_on(share: float, least: int) -> None:
    assert estimates.percentile_ranks(least, share)[1] == least
    assert estimates.percentile_ranks(least - 1, share)[1] is None


def test_a_median_of_five_has_no_ends() -> None:
    assert estimates.percentile_ranks(5, 0.5) == (None, None)
    assert estimates.percentile_ranks(6, 0.5) == (1, 6)


def test_the_interval_of_a_p99_covers_it_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    made = [estimates.percentile_estimate(rng.random(500).tolist(), 0.99) for _ in range(400)]
    hits = sum(e.low is not None and e.high is not None and e.low <= 0.99 <= e.high for e in made)
    assert hits / 400 > 0.95  # 98.0 % by the binomial; 95 % is 4 standard errors below


def test_a_percentile_is_a_value_that_was_observed() -> None:
    assert estimates.percentile([4, 1, 3, 2], 0.5) == 2
    assert estimates.percentile(range(1, 301), 0.99) == 297  # 0.99 * 300 is above 297 in floating point
    assert estimates.percentile([7], 0.99) == 7


def test_a_small_sample_leaves_the_upper_end_of_a_p99_open() -> None:
    estimate = estimates.percentile_estimate(range(1, 201), 0.99)
    assert (estimate.value, estimate.high, estimate.n) == (198, None, 200)
    assert estimate.low is not None


@pytest.mark.parametrize(
    ("gained", "lost", "p"),
    [(0, 0, 1.0), (1, 1, 1.0), (5, 0, 2 / 2**5), (0, 6, 2 / 2**6), (2, 10, 2 * (1 + 12 + 66) / 2**12)],
)
def test_mcnemar_is_exact(gained: int, lost: int, p: float) -> None:
    assert proportions.mcnemar(gained, lost) == pytest.approx(p)


@pytest.mark.parametrize(
    ("n", "psi", "points"),
    [(200, 0.02, 3.9), (500, 0.05, 2.8), (500, 0.08, 3.5), (1000, 0.136, 3.3), (2850, 0.05, 1.2), (14_042, 0.01, 0.24)],
)
def test_detectable_difference(n: int, psi: float, points: float) -> None:
    assert 100 * proportions.detectable_difference(n, psi) == pytest.approx(points, abs=0.06)


def test_detectable_difference_solves_its_equation() -> None:
    d = proportions.detectable_difference(400, 0.05)
    assert (1.959964 * math.sqrt(0.05) + 0.841621 * math.sqrt(0.05 - d * d)) ** 2 / d**2 == pytest.approx(400, rel=1e-5)


def test_without_a_changed_answer_the_interval_is_what_that_many_questions_can_exclude() -> None:
    paired = proportions.paired_difference([True] * 232, [True] * 232)
    assert paired.high == -paired.low == pytest.approx(1 - 0.025 ** (1 / 232))


def test_a_paired_difference_counts_only_answers_that_turned() -> None:
    before = [True] * 60 + [False] * 40
    after = [True] * 52 + [False] * 8 + [True] * 2 + [False] * 38
    paired = proportions.paired_difference(before, after)
    assert (paired.n, paired.gained, paired.lost, paired.difference) == (100, 2, 8, -0.06)
    assert paired.p == proportions.mcnemar(2, 8)
    psi, middle = 11 / 102, -6 / 102
    half = 1.959964 * math.sqrt((psi - middle**2) / 102)
    assert (paired.low, paired.high) == pytest.approx((middle - half, middle + half), abs=1e-6)


def test_no_changed_answer_still_leaves_room_for_a_difference() -> None:
    paired = proportions.paired_difference([True] * 400, [True] * 400)
    assert paired.low < 0 < paired.high
    assert paired.p == 1.0


def test_a_paired_difference_refuses_other_questions() -> None:
    with pytest.raises(ValueError, match="2 before, 1 after"):
        proportions.paired_difference([True, False], [True])


def test_holm_steps_down_and_never_reorders() -> None:
    assert proportions.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert proportions.holm([0.5, 0.9]) == [1.0, 1.0]
    assert proportions.holm([]) == []


def test_a_ratio_of_percentiles_has_an_interval_around_it_and_is_repeatable() -> None:
    rng = np.random.default_rng(1)
    slow = rng.lognormal(1.0, 0.1, (3, 140)).tolist()
    fast = rng.lognormal(0.5, 0.1, (3, 140)).tolist()
    for share in (0.5, 0.99):
        ratio = estimates.percentile_ratio(slow, fast, share, seed=5)
        assert ratio == estimates.percentile_ratio(slow, fast, share, seed=5)
        assert ratio.low is not None
        assert ratio.high is not None
        assert ratio.low < math.exp(0.5) < ratio.high
        assert ratio.low <= ratio.value <= ratio.high


def test_a_ratio_of_p99s_of_small_samples_has_no_ends() -> None:
    ratio = estimates.percentile_ratio([[2.0] * 300], [[1.0] * 400], 0.99)
    assert (ratio.value, ratio.low, ratio.high, ratio.n) == (2.0, None, None, 300)


def test_resampling_stays_within_a_round() -> None:
    # Two of three rounds are slow: if requests were drawn across rounds, the 60th percentile would flip at times.
    draws = estimates.percentile_draws([[1.0] * 50, [9.0] * 50, [9.0] * 50], [0.33, 0.34], draws=200, seed=0)
    assert (draws[0] == 1.0).all()
    assert (draws[1] == 9.0).all()


def test_least_n_is_where_an_interval_of_the_percentile_begins() -> None:
    for q in (0.5, 0.9, 0.99):
        assert None not in estimates.percentile_ranks(estimates.least_n(q), q)
        assert None in estimates.percentile_ranks(estimates.least_n(q) - 1, q)
