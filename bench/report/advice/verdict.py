"""The verdict on one variant in one to three words, for a column of a table."""

from __future__ import annotations

import math

from bench.advise.advice import Advice, Judged, change_of, smaller
from bench.advise.judgement import shown_no_worse
from bench.report.advice.words import effort, more_needed, subject_of
from bench.terminal import printable

FAR = 20
"""Where so many times as much would have to be measured, a number of questions is no advice."""


def verdict_of(advice: Advice, judged: Judged) -> str:
    """Say what the advice makes of a variant: `ship`, `runner-up`, `4.6× larger`, `fails size`, `undecided: …`."""
    return printable(_verdict(advice, judged))


def _verdict(advice: Advice, judged: Judged) -> str:
    if judged in advice.controls:
        return "control"
    if failed := judged.those("fail"):
        return f"fails {subject_of(min(failed, key=lambda one: not one.limit.is_quality).limit)}"
    if judged.those("not measured"):
        return "not measured"
    if undecided := judged.those("undecided"):
        worst = max(undecided, key=effort)
        return f"undecided: {more_needed(worst) if effort(worst) < FAR else 'at the limit'}"
    if advice.trial:
        return "a trial only"
    if judged is advice.ship:
        return "ship"
    if judged is advice.runner_up:
        return "runner-up"
    return _beside_ship(advice, judged)


def _beside_ship(advice: Advice, judged: Judged) -> str:
    ship = advice.ship
    assert ship is not None  # it passes, and so something is shipped
    change = change_of(advice.task, advice.best, judged, advice.summary) if advice.best else None
    if change is not None and change.high < 0:
        return "answers worse"
    if smaller(judged, ship):
        return "smaller, in doubt"
    if smaller(ship, judged) and math.inf not in (ship.size, judged.size):
        return f"{judged.size / ship.size:.1f}× larger"
    alike = change is None or shown_no_worse(change, advice.margin)
    return "as good" if alike or judged is advice.best else "in doubt"
