"""How often verdicts are wrong and how often they find what was planted; `make perf` has the full numbers."""

from __future__ import annotations

import pytest

from bench.selftest.verdicts import Noise, Planted, simulate


@pytest.mark.parametrize(
    "noise", [Noise(), Noise(round_sd=0.08), Noise(shared=1.0)], ids=["quiet", "rough", "rounds move together"]
)
def test_of_pairs_in_which_nothing_changed_few_have_a_false_worse_anywhere(noise: Noise) -> None:
    assert simulate(100, seed=4, noise=noise).false_worse <= 5


def test_planted_changes_are_found() -> None:
    rates = simulate(100, seed=3, planted=Planted({0: 1.10}, {1: 0.03}, {2: 10_000}))
    assert rates.worse[0, "e2e_p50_ms"] >= 95
    assert rates.worse[1, "accuracy 0"] >= 90
    assert rates.worse[2, "size_bytes"] == 100
    assert rates.false_worse <= 5
