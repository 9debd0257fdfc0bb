"""Variants of two cards are compared beside an anchor that ran on both."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from bench.stats.anchored import Anchored, choose_anchor

CARDS = {"one": 1.0, "two": 1.08}
"""The second card is 8 % slower."""


def rounds(ms: float, card: str, noise: Sequence[float]) -> list[list[float]]:
    """Make rounds of three requests of about these ms, each round slowed by its noise."""
    return [[ms * CARDS[card] * math.exp(one) * share for share in (0.99, 1.0, 1.01)] for one in noise]


STEADY = (-0.002, 0.0, 0.002)


def test_what_a_card_does_to_the_anchor_is_taken_out_of_both_sides() -> None:
    sweep = {
        "base": {card: rounds(10, card, STEADY) for card in CARDS},
        "q8": {"one": rounds(6, "one", STEADY)},
        "q4": {"two": rounds(6, "two", STEADY)},
    }
    change = Anchored("base", 0.5, sweep).compare("q8", "q4")
    assert math.exp(change.log_ratio) == pytest.approx(1.0, abs=0.003)
    assert change.half_width() < 0.01
    assert not change.agree
    beside_base = Anchored("base", 0.5, sweep).compare("base", "q4")
    assert math.exp(beside_base.log_ratio) == pytest.approx(0.6, rel=0.003)
    assert beside_base.agree


def test_an_unsteady_anchor_widens_the_interval_and_is_not_asked_where_both_ran_on_the_same_cards() -> None:
    half = {}
    for name, noise in (("steady", STEADY), ("unsteady", (-0.1, 0.0, 0.1))):
        several = {f"q{i}": {card: rounds(6, card, STEADY) for card in CARDS} for i in range(8)}
        alone = {"q8": {"one": rounds(6, "one", STEADY)}, "q4": {"two": rounds(6, "two", STEADY)}}
        anchor = {card: rounds(10, card, noise) for card in CARDS}
        sweep = Anchored("base", 0.5, {"base": anchor, **several, **alone})
        half[name] = sweep.compare("q8", "q4").half_width(), sweep.compare("q1", "q2").half_width()
    assert half["unsteady"][0] > 5 * half["steady"][0]
    assert half["unsteady"][1] < 3 * half["steady"][1]


def test_an_anchor_with_one_round_on_each_card_leaves_the_interval_open() -> None:
    """How much its rounds differ is then not known; a second one on either card says so."""
    for noise, is_known in (((0.0,), False), ((0.0, 0.001), True)):
        anchor = {"one": rounds(10, "one", noise), "two": rounds(10, "two", (0.0,))}
        sweep = Anchored("base", 0.5, {"base": anchor, "q4": {"two": rounds(6, "two", STEADY)}})
        assert math.isfinite(sweep.compare("base", "q4").half_width()) is is_known


def test_the_anchor_is_what_ran_on_the_most_cards_and_the_first_of_several() -> None:
    one, both = {"one": rounds(1, "one", STEADY)}, {card: rounds(1, card, STEADY) for card in CARDS}
    assert choose_anchor({"base": one, "q8": both, "q4": both}) == "q8"
    assert choose_anchor({"base": both, "q8": both, "q4": one}) == "base"
    assert Anchored("q4", 0.5, {"q4": one, "q8": both}).cards_without_anchor("q8") == ["two"]


@pytest.mark.parametrize(("anchor_rounds", "anchor_noise"), [(2, 0.03), (3, 0.06)])
def test_equal_variants_of_two_cards_are_within_the_interval_at_its_level(
    anchor_rounds: int, anchor_noise: float
) -> None:
    rng, tries = np.random.default_rng(12), 400
    outside = 0
    for _ in range(tries):
        noise = iter(rng.normal(0, 0.03, 100))
        sweep = {"base": {card: rounds(10, card, [next(noise) for _ in range(anchor_rounds)]) for card in CARDS}}
        for number, card in enumerate(("one", "two", "one", "two")):
            sweep[f"q{number}"] = {card: rounds(6, card, [next(noise) for _ in range(3)])}
        change = Anchored("base", 0.5, sweep).compare("q0", "q1")
        outside += abs(change.log_ratio) > change.half_width()
    assert 0.02 * tries < outside < 0.075 * tries
