"""A dozen strikes at random moments: three while a model is built, nine anywhere in a run over a built cache.

`python -m bench.selftest kills` makes two hundred.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from bench.selftest.kills import Tallies, strike_many, sweep_trial
from bench.selftest.trial import Trial, reaping


def test_strikes_of_a_sweep_lose_change_and_leave_nothing(tiny_model: Path, tmp_path: Path) -> None:
    tallies: Tallies = {}
    building, measuring = tmp_path / "building", tmp_path / "measuring"

    def nothing_built(place: Path) -> Trial:
        return sweep_trial(tiny_model, place, "variant=base", "suite.measures=[size,memory]")

    def all_built(place: Path) -> Trial:
        trial = nothing_built(place)
        shutil.copytree(building / "undisturbed" / "cache" / "artifacts", place / "cache" / "artifacts")
        return trial

    with reaping():
        # Before that, the plan checks the model: nothing is written yet, and the other strikes hit planning too.
        strike_many(tallies, nothing_built, building, 3, seed=1, earliest=0.45)
        strike_many(tallies, all_built, measuring, 9, seed=2)
    assert sum(tally.times for tally in tallies.values()) == 12
    assert [f"{struck} of {of}: {tally}" for (struck, of), tally in tallies.items() if not tally.harmless] == []


class FasterNow:
    """A trial that took 100 seconds on a busy machine, and takes 20 since."""

    command = ("run",)

    def __init__(self) -> None:
        self.now, self.ended_early = 0.0, 0
        self.hits: list[float] = []

    def end(self) -> float:
        return 100.0

    def strike(self, _strike: object, after_seconds: float, _rng: object) -> int | None:
        assert self.ended_early < 5, "no strike hits"
        self.now += min(after_seconds, 20.0)
        if after_seconds > 20.0:
            self.ended_early += 1
            return None
        self.hits.append(after_seconds)
        return 0

    def kept(self) -> dict[str, bytes]:
        return {}

    stale_locks = leftovers = outcome = kept


def test_trials_that_are_faster_than_the_first_one_are_struck_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial: Any = FasterNow()
    monkeypatch.setattr(time, "monotonic", lambda: trial.now)
    tallies: Tallies = {}
    strike_many(tallies, lambda _: trial, tmp_path, 12, seed=1, earliest=0.45)
    assert sum(tally.times for tally in tallies.values()) == len(trial.hits) == 12
    assert min(trial.hits) >= 0.45 * 20.0
