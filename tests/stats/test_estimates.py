"""Published and hand-computed values of percentiles, their ratios, and means over clusters."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.stats import estimates


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


def test_a_ratio_of_percentiles_has_an_interval_around_it_and_is_repeatable() -> None:
    rng = np.random.default_rng(1)
    slow, fast = rng.lognormal(1.0, 0.1, 420).tolist(), rng.lognormal(0.5, 0.1, 420).tolist()
    for share in (0.5, 0.99):
        ratio = estimates.percentile_ratio(slow, fast, share, seed=5)
        assert ratio == estimates.percentile_ratio(slow, fast, share, seed=5)
        assert ratio.low is not None
        assert ratio.high is not None
        assert ratio.low < math.exp(0.5) < ratio.high
        assert ratio.low <= ratio.value <= ratio.high


def test_a_ratio_of_p99s_of_small_samples_has_no_ends() -> None:
    ratio = estimates.percentile_ratio([2.0] * 300, [1.0] * 400, 0.99)
    assert (ratio.value, ratio.low, ratio.high, ratio.n) == (2.0, None, None, 300)


def test_least_n_is_where_an_interval_of_the_percentile_begins() -> None:
    for q in (0.5, 0.9, 0.99):
        assert None not in estimates.percentile_ranks(estimates.least_n(q), q)
        assert None in estimates.percentile_ranks(estimates.least_n(q) - 1, q)


def test_clusters_widen_an_interval_as_they_should() -> None:
    rng = np.random.default_rng(5)
    windows = rng.normal(0, 1, (20, 1)) + rng.normal(0, 0.1, (20, 50))
    clustered = estimates.ratio_mean(windows.sum(1).tolist(), [50] * 20)
    alone = estimates.ratio_mean(windows.ravel().tolist(), [1] * 1000)
    assert clustered.value == pytest.approx(alone.value)
    assert None not in (clustered.low, clustered.high, alone.low, alone.high)
    assert (clustered.high or 0) - (clustered.low or 0) > 5 * ((alone.high or 0) - (alone.low or 0))


def test_a_ratio_of_equal_weights_is_students_mean() -> None:
    from scipy.stats import t

    values = [1.0, 2.0, 4.0, 7.0]
    estimate = estimates.ratio_mean(values, [1] * 4)
    low, high = t.interval(0.95, 3, np.mean(values), np.std(values, ddof=1) / 2)
    assert [estimate.low, estimate.high] == pytest.approx([low, high])
    assert estimates.ratio_mean([3.0], [2]).low is None
