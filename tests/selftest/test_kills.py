"""A dozen strikes at random moments of both passes; `python -m bench.selftest kills` makes two hundred."""

from __future__ import annotations

from pathlib import Path

from bench.selftest.kills import Tallies, strike_many, sweep_trial
from bench.selftest.trial import reaping


def test_strikes_of_a_sweep_lose_change_and_leave_nothing(tiny_model: Path, tmp_path: Path) -> None:
    tallies: Tallies = {}
    with reaping():
        strike_many(
            tallies,
            lambda place: sweep_trial(tiny_model, place, "variant=base", "suite.measures=[size,memory]"),
            tmp_path,
            12,
            seed=1,
        )
    assert sum(tally.times for tally in tallies.values()) == 12
    assert [f"{struck} of {of}: {tally}" for (struck, of), tally in tallies.items() if not tally.harmless] == []
