"""Change points over plain numbers: false alarms, single slow values, and changes too small to matter."""

from __future__ import annotations

import numpy as np

from bench.stats.changepoints import find_shifts, splits_of


def test_flat_noise_has_no_change_points_but_in_one_page_of_twenty() -> None:
    rng = np.random.default_rng(3)
    series, n = 36, 24
    splits = series * splits_of(n)
    alarms = 0
    for page in range(60):
        noise = rng.normal(0, 0.06, (series, n)) if page % 2 else 0.06 * rng.standard_t(3, (series, n)) / 3**0.5
        alarms += any(find_shifts(row.tolist(), [1.0] * n, 0.0488, splits) for row in noise)
    assert alarms <= 6  # of 60, 3 expected at most: P(more than 6) is 3 in 100


def test_one_or_two_slow_commits_are_no_change_and_a_fixed_regression_is_two() -> None:
    quiet = np.random.default_rng(1).normal(0, 0.01, 40)
    spike, fixed = quiet.copy(), quiet.copy()
    spike[20:22] += 0.5
    fixed[15:21] += 0.2
    splits = 36 * splits_of(40)
    assert find_shifts(spike.tolist(), [1.0] * 40, 0.05, splits) == []
    assert [shift.place for shift in find_shifts(fixed.tolist(), [1.0] * 40, 0.05, splits)] == [15, 21]


def test_a_change_smaller_than_what_matters_is_none() -> None:
    values = [0.0, 0.001] * 10 + [0.04, 0.041] * 10
    assert find_shifts(values, [1.0] * 40, 0.05, splits_of(40)) == []
    assert [shift.place for shift in find_shifts(values, [1.0] * 40, 0.03, splits_of(40))] == [20]
