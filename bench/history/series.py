"""The nouns of a history: a metric of a variant measured at commits, and where its level changed."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from msgspec import Struct

from bench.metrics.metric import Metric, within_limit


class Packed(Struct, frozen=True, array_like=True):
    """A sample in short: the bits of right answers, or the sums and weights of clusters, as base64.

    Sums and weights have 32 bits, which are seven digits; the smallest change that matters is in the third.
    """

    right: str = ""
    sums: str = ""
    weights: str = ""
    log: bool = False
    floor: float = 0.0


class Value(NamedTuple):
    """A metric of a variant over all rounds of one commit; `n` is 0 where it is exact.

    `template` is the place of its metric in `catalogue.templates`, `identity` what was measured, in words.
    """

    value: float
    low: float | None
    high: float | None
    n: int
    template: int
    identity: Mapping[str, str]
    sample: Packed | None


@dataclass(frozen=True)
class BranchCommit:
    """A commit of the branch; `place` counts from its first commit, and `tags` are the releases that it is."""

    sha: str
    place: int
    subject: str
    tags: tuple[str, ...]


@dataclass(frozen=True)
class Point:
    """A metric measured at a commit; `bandwidth_gb_s` is that of the memory which the model was read from."""

    commit: BranchCommit
    value: Value
    artifact: str | None
    bandwidth_gb_s: float | None


@dataclass(frozen=True)
class ChangePoint:
    """A change of level after the commit `before` and up to the commit `after`, with what shows it.

    `change` is after / before where the metric's scale is `ratio`, else after - before (of a share of right answers in
    shares of 1); `low` and `high` are the ends of its 95 % interval, absent where the values are exact. `p` is adjusted
    for all that was looked at.
    """

    variant: str
    metric: Metric
    before: Point
    after: Point
    change: float
    low: float | None
    high: float | None
    p: float | None

    @property
    def verdict(self) -> Literal["better", "worse", "changed"]:
        """Judge it as `bench compare` does: an exact value that moved by no more than its limit is `changed`."""
        before, after = self.before.value.value, self.after.value.value
        if self.metric.test == "exact" and within_limit(before, after, self.metric.limit):
            return "changed"
        grew = self.change > (1 if self.metric.scale == "ratio" else 0)
        return "better" if grew == (self.metric.better == "higher") else "worse"

    @property
    def commits(self) -> int:
        """Return how many commits the change may be in: those after `before`, up to and with `after`."""
        return self.after.commit.place - self.before.commit.place

    @property
    def bisect(self) -> str:
        """Return the command that finds the one commit: empty where it is known, or where nothing became worse."""
        if self.commits == 1 or self.verdict != "worse":
            return ""
        good, bad = self.before.commit.sha[:12], self.after.commit.sha[:12]
        return f"bench bisect {shlex.quote(self.metric.name)} {shlex.quote(self.variant)} {good} {bad}"

    @property
    def same_artifact(self) -> bool | None:
        """Say whether both ends measured the same bytes; None where a record does not name them."""
        pair = (self.before.artifact, self.after.artifact)
        return None if None in pair else pair[0] == pair[1]

    @property
    def machine_ratio(self) -> float | None:
        """Return the memory bandwidth after / before, as the canary measured it on both sides: on a GPU the card's."""
        pair = (self.before.bandwidth_gb_s, self.after.bandwidth_gb_s)
        return None if not pair[0] or pair[1] is None else pair[1] / pair[0]


@dataclass(frozen=True)
class Series:
    """One metric of one variant: stretches of points that measured the same thing, and where they broke off.

    `breaks` says for each stretch but the first what differs from the one before it.
    """

    variant: str
    metric: Metric
    stretches: tuple[tuple[Point, ...], ...]
    breaks: tuple[str, ...]
    changes: tuple[ChangePoint, ...] = ()

    @property
    def constant(self) -> bool:
        """Say whether every commit gave the very same value of the same thing."""
        first = self.stretches[0][0].value.value
        return not self.breaks and all(point.value.value == first for point in self.stretches[0])

    @property
    def points(self) -> tuple[Point, ...]:
        """Return all points, in the order of the commits."""
        return tuple(point for stretch in self.stretches for point in stretch)
