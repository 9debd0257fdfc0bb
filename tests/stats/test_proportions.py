"""Published and hand-computed values of proportions, paired differences, and averages over subjects."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binomtest

from bench.stats import proportions


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


def test_answers_to_a_handful_of_questions_are_compared_and_show_nothing() -> None:
    for n in range(1, 12):
        for gained in range(n + 1):
            for lost in range(n + 1 - gained):
                change = proportions.paired_counts(n, gained, lost)
                assert 0 < change.detectable <= 1
                assert -1 <= change.low <= change.difference <= change.high <= 1
                assert n > 3 or change.detectable == 1


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


def test_the_macro_average_counts_every_subject_the_same() -> None:
    estimate = proportions.macro_average([(90, 100), (1, 2)])
    assert estimate.value == pytest.approx(0.7)
    assert estimate.n == 102
    assert estimate.low < 0.7 < estimate.high


def test_the_interval_of_the_macro_average_covers_as_stated() -> None:
    rng = np.random.default_rng(3)
    truth = rng.beta(4, 3, 57)
    hits = 0
    for _ in range(400):
        estimate = proportions.macro_average([(int(k), 20) for k in rng.binomial(20, truth)])
        hits += estimate.low <= truth.mean() <= estimate.high
    assert 0.92 <= hits / 400 <= 0.98


def test_a_macro_average_without_variation_still_has_an_interval() -> None:
    estimate = proportions.macro_average([(5, 5), (7, 7)])
    assert estimate.value == estimate.high == 1
    assert estimate.low == pytest.approx(proportions.wilson(12, 12).low)


def test_a_loss_is_shown_after_correcting_for_every_change_that_was_looked_at() -> None:
    alone = proportions.paired_counts(500, 4, 16)
    assert alone.high < 0
    assert alone.p < 0.05
    assert proportions.shown_to_lose([alone]) == [True]
    others = [proportions.paired_counts(500, 5, 5)] * 15
    assert proportions.shown_to_lose([alone, *others]) == [False] * 16
    assert proportions.shown_to_lose([proportions.paired_counts(500, 1, 60), *others])[0]
    assert proportions.shown_to_lose([proportions.paired_counts(500, 60, 1)]) == [False]
