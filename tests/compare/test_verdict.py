"""When a change is worse, better, the same or undecided, and the n that would decide it."""

from __future__ import annotations

import pytest

from bench.compare.effects import Effect
from bench.compare.verdict import Verdict, judge, needed_n


def effect(value: float, low: float | None, high: float | None, limit: float = 0.05, doubt: str = "") -> Effect:
    return Effect(value, low, high, 0.01, limit, "t over rounds", 600, 3, "rounds", "rounds", doubt)


@pytest.mark.parametrize(
    ("change", "p", "verdict"),
    [
        (effect(0.06, 0.001, 0.12), 0.049, "worse"),
        (effect(0.06, 0.001, 0.12), 0.051, "undecided"),
        (effect(0.049, 0.04, 0.06), 0.001, "undecided"),
        (effect(0.03, 0.01, 0.05), 0.001, "same"),
        (effect(-0.06, -0.12, -0.001), 0.01, "better"),
        (effect(0.0, -0.06, 0.06), 1.0, "undecided"),
        (effect(0.7, 0.4, None), 0.001, "undecided"),
        (effect(0.06, 0.001, 0.12, doubt="one slow round"), 0.01, "undecided"),
    ],
)
def test_a_change_is_worse_only_beyond_chance_and_the_limit_and_same_only_when_shown(
    change: Effect, p: float, verdict: Verdict
) -> None:
    assert judge(change, p) == verdict


@pytest.mark.parametrize(
    ("change", "needed"),
    [
        (effect(0.01, -0.07, 0.09), 12),  # 3 rounds, half a width of 0.08, 0.04 of room: 3 * 2^2
        (effect(0.10, -0.10, 0.30), 12),  # beyond the limit: 0 has to be out of it
        (effect(0.05, -0.03, 0.13), None),  # at the limit no n decides
        (effect(0.7, 0.4, None), None),
    ],
)
def test_the_n_that_would_decide_follows_from_the_width_of_the_interval(change: Effect, needed: int | None) -> None:
    assert needed_n(change, family=1) == needed
