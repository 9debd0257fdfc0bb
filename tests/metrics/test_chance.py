"""Chance level: what guessing gives, and which scores are no better."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from bench.metrics.chance import chance_level, guesses, guessing, shuffled_accuracy
from bench.records.values import Answers
from bench.selftest import raw_values
from tests.metrics.conftest import choices


def test_guessing_is_what_blind_and_what_always_one_letter_gives() -> None:
    assert guesses(choices(50, golds=(0, 0, 1, 2))) == (0.25, 0.5)
    assert guesses(msgspec.convert(raw_values.generated(0.5), Answers)) == ()


@pytest.mark.parametrize(
    ("correct", "words"), [(25, "at chance"), (30, "at chance"), (40, ""), (5, "below chance"), (18, "at chance")]
)
def test_a_score_within_error_of_chance_is_at_chance(correct: int, words: str) -> None:
    assert chance_level(choices(correct)) == words


def test_a_score_that_the_most_frequent_letter_would_reach_is_at_chance() -> None:
    assert chance_level(choices(55, golds=(0, 0, 1, 2))) == "at chance"


def test_a_preference_for_a_letter_that_is_seldom_right_is_at_chance_and_not_below() -> None:
    gold = [0] * 10 + [1, 2, 3] * 30
    answers = replace(choices(0), gold=gold, picked=[0] * 100)
    assert shuffled_accuracy(answers) == pytest.approx(0.1)
    assert chance_level(answers) == "at chance"
    apart = replace(answers, subject=["sums"] * 10 + ["words"] * 90, picked=[1] * 10 + [0] * 90)
    assert shuffled_accuracy(apart) == 0
    assert chance_level(apart) == "at chance"
    mixed_up = replace(answers, picked=[(g + 1) % 4 for g in gold])
    assert chance_level(mixed_up) == "below chance"


def test_a_right_choice_that_is_always_the_first_is_no_answer_to_guess() -> None:
    answers = choices(95, golds=(0,))
    assert guesses(answers) == (0.25,)
    assert chance_level(answers) == ""
    assert guessing(answers) == "guessing gives 25.0 %"
    assert chance_level(choices(24, golds=(0,))) == "at chance"
