"""The questions whose answer turned from right to wrong, or back."""

from __future__ import annotations

import pytest

from bench.compare.flips import flips
from bench.selftest import raw_values, records
from tests.checkout import GENERAL, Checkout, q4
from tests.compare.conftest import asking


def test_generated_answers_are_right_or_wrong_and_their_flips_are_listed_with_their_texts(checkout: Checkout) -> None:
    base, head = raw_values.generated(0.9), raw_values.generated(0.3)
    checkout.measure(checkout.base, asking("gsm8k", base))
    checkout.measure(checkout.head, asking("gsm8k", head))
    line = checkout.lines()["accuracy gsm8k"]
    assert (line.verdict, line.test) == ("worse", "exact McNemar")
    flipped = [flip for flip in flips(checkout.compare()) if flip.task == "gsm8k"]
    assert len(flipped) == sum(a != b for a, b in zip(base["value"], head["value"], strict=True))
    assert {(flip.gold, flip.base, flip.head, flip.lost) for flip in flipped} == {(None, "42", "41", True)}


def test_flipped_questions_are_listed(checkout: Checkout) -> None:
    checkout.measure(checkout.base)
    checkout.measure(checkout.head, **q4(general=GENERAL - 0.1))
    flipped = list(flips(checkout.compare()))
    answers = [records.record("q4", **how)["measures"]["accuracy"]["general"] for how in (q4(), q4(general=0.8))]
    line = checkout.lines()["accuracy general"]
    assert line.change == pytest.approx(sum(-1 if flip.lost else 1 for flip in flipped) / 400)
    for flip in flipped:
        place = answers[0]["question"].index(flip.question)
        assert (flip.variant, flip.task, flip.gold) == ("q4", "general", answers[0]["gold"][place])
        assert (flip.base, flip.head) == tuple(side["picked"][place] for side in answers)
        assert flip.lost == (flip.base == flip.gold)
