"""What a person sees while a cell runs."""

from __future__ import annotations

from bench.console import Stage


def test_the_time_left_follows_the_pace_of_the_stage_at_hand() -> None:
    stage = Stage()
    assert stage.line("building q4", 0, 1, now=0.0) == "building q4"
    assert stage.line("scoring tokens", 1_000, 9_000, now=100.0) == "scoring tokens 1,000/9,000"
    assert stage.line("scoring tokens", 3_000, 9_000, now=120.0) == "scoring tokens 3,000/9,000, about 60 s left"
    assert stage.line("scoring tokens", 5_000, 9_000, now=300.0) == "scoring tokens 5,000/9,000, about 3 min left"
    assert stage.line("scoring tokens", 9_000, 9_000, now=400.0) == "scoring tokens 9,000/9,000"


def test_a_stage_that_goes_on_from_kept_scores_counts_only_what_it_did_itself() -> None:
    stage = Stage()
    stage.line("scoring tokens", 8_000, 10_000, now=0.0)
    assert stage.line("scoring tokens", 9_000, 10_000, now=50.0) == "scoring tokens 9,000/10,000, about 50 s left"
