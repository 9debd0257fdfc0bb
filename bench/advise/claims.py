"""Published claims beside this sweep: how many times better a variant was measured to be, and how much of the claim."""

from __future__ import annotations

from dataclasses import dataclass

from bench.metrics.metric import Metric
from bench.records.questions import Claimed
from bench.stats.estimates import Estimate
from bench.summary import pairs
from bench.summary.rows import Row, Summary

COST = "cost"
ACCURACY = "accuracy"


@dataclass(frozen=True)
class Checked:
    """A claim and what was measured of it: a ratio above 1 where `after` is better, or the share of quality kept.

    `why` says what is missing where nothing was measured.
    """

    claim: Claimed
    measured: Estimate | None = None
    why: str = ""

    @property
    def of_claimed(self) -> tuple[float, float] | None:
        """Return measured / claimed: of the largest number that is claimed, and of the smallest."""
        low, high = self.claim.ends
        return (self.measured.value / high, self.measured.value / low) if self.measured else None

    @property
    def holds(self) -> bool | None:
        """Say whether the claim holds here, by the whole interval; None where that is open or was not measured."""
        if self.measured is None:
            return None
        exact = self.measured.n == 0 and self.measured.low is None
        low, high = (self.measured.value,) * 2 if exact else (self.measured.low, self.measured.high)
        if low is not None and low >= self.claim.ends[0]:
            return True
        return False if high is not None and high < self.claim.ends[0] else None


def checked(summary: Summary) -> list[Checked]:
    """Check each claim that the suite brings; none where it brings none."""
    options = summary.questions.options if summary.questions else None
    return [_checked(claim, summary) for claim in options.claims] if options else []


def _checked(claim: Claimed, summary: Summary) -> Checked:
    if claim.metric == COST:
        return Checked(claim, why="cost needs a measured capacity")
    missing = [name for name in (claim.before, claim.after) if name not in summary.by_name]
    if missing:
        return Checked(claim, why=f"no {' and no '.join(missing)} in this sweep")
    before, after = (summary.by_name[name] for name in (claim.before, claim.after))
    task = summary.questions.domain_task if summary.questions else None
    name = f"{ACCURACY} {task}" if claim.metric == ACCURACY else claim.metric
    metric = summary.metric(name)
    measured = None
    if metric is not None:
        measured = _kept(metric, before, after) if claim.metric == ACCURACY else pairs.ratio(metric, before, after)
    return Checked(claim, measured, "" if measured else f"{name} has no two values that can be compared")


def _kept(metric: Metric, before: Row, after: Row) -> Estimate | None:
    """Return the share of right answers that is kept; the interval is that of the paired change."""
    change, share = pairs.paired(metric, before, after), before.value(metric.name)
    if change is None or not share:
        return None
    value, low, high = (1 + end / share for end in (change.difference, change.low, change.high))
    return Estimate(value, low, high, change.n)
