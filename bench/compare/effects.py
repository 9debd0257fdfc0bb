"""The effect of a change on one metric, with its test: one function per kind of sample."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from bench.metrics.metric import Clusters, Marks, Metric, Rounds, Sample
from bench.stats import estimates, proportions
from bench.stats.proportions import FEW_PAIRS, Paired
from bench.stats.rounds import RoundsChange

Counted = Literal["rounds", "questions", "documents", "windows"]


@dataclass(frozen=True)
class Effect:
    """A change on a scale where 0 is none and more is worse, with what its test says of it.

    An end of the interval that the sample is too small for is None. `n` is what was counted, of which `units` are
    independent: `counted` says what these are. `family` names the tests that Holm's correction counts with this one,
    None where no data of this size could reject (Tarone 1990, Biometrics 46:515): such a test costs the others nothing.
    `doubt` is why the change is undecided whatever the test says. `sign` is -1 where the metric falls as it gets
    worse; where `is_log` the scale is the log of a ratio.
    """

    value: float
    low: float | None
    high: float | None
    p: float
    limit: float
    test: str
    n: int
    units: int
    counted: Counted
    family: str | None
    doubt: str = ""
    sign: int = 1
    is_log: bool = False

    def change(self) -> tuple[float, float | None, float | None]:
        """Return the change and the ends of its interval as the metric is read: head / base, or head - base."""
        low, high = (self.low, self.high) if self.sign > 0 else (self.high, self.low)
        return self._read(self.value), self._end(low), self._end(high)

    def _end(self, value: float | None) -> float | None:
        return None if value is None else self._read(value)

    def _read(self, value: float) -> float:
        return estimates.exp(self.sign * value) if self.is_log else self.sign * value


def sign_of(metric: Metric) -> int:
    """Return 1 where a metric is worse when it rises, -1 where it is worse when it falls."""
    return -1 if metric.better == "higher" else 1


def holm_family(metric: Metric) -> str:
    """Return the name of the family of tests that Holm's correction counts a metric with."""
    return metric.family or metric.measure


def effect_of(metric: Metric, before: Sample, after: Sample, limit: float) -> Effect:
    """Return the effect between two samples, tested without the other variants; `limit` as in `Metric.limit`."""
    if isinstance(before, Marks) and isinstance(after, Marks):
        return questions_effect(metric, proportions.paired_difference(before.right, after.right), limit)
    if isinstance(before, Clusters) and isinstance(after, Clusters):
        return clusters_effect(metric, before, after, limit)
    raise TypeError(f"{metric.name}: no test for {type(before).__name__} and {type(after).__name__}")


def rounds_effect(metric: Metric, sample: Rounds, change: RoundsChange, limit: float) -> Effect:
    """Make the effect on a percentile, such as that of a latency or the peak of a memory; the rounds are the units.

    `change` is that of the values in `sample`; a metric that is their reciprocal moves the other way.
    """
    half = change.half_width()
    doubt = "" if change.agree else "rounds of the two sides overlap: one slow round is no regression"
    if math.isinf(half):
        doubt = "one round on a side: it takes two to show how much rounds differ"
    elif change.n < sample.least_n:
        doubt, half = f"n too small: a P{sample.q * 100:.0f} needs {sample.least_n} requests on each side", math.inf
    unknown, sign = math.isinf(half), sign_of(metric)
    value = sign * (-change.log_ratio if sample.reciprocal else change.log_ratio)
    return Effect(
        value=value,
        low=None if unknown else value - half,
        high=None if unknown else value + half,
        p=1.0 if unknown else change.p,
        limit=math.log1p(limit),
        test="t over rounds",
        n=change.n,
        units=change.rounds,
        counted="rounds",
        family=None if unknown else holm_family(metric),
        doubt=doubt,
        sign=sign,
        is_log=True,
    )


def questions_effect(metric: Metric, change: Paired, limit: float) -> Effect:
    """Make the effect on a share of right answers: the difference of two shares of the same questions."""
    sign = sign_of(metric)
    low, high = sorted((sign * change.low, sign * change.high))
    family = holm_family(metric) if change.gained + change.lost >= FEW_PAIRS else None
    value, n = sign * change.difference, change.n
    return Effect(value, low, high, change.p, limit, "exact McNemar", n, n, "questions", family, sign=sign)


def clusters_effect(metric: Metric, before: Clusters, after: Clusters, limit: float) -> Effect:
    """Make the effect on a mean over documents or windows of the same text, which pair and are the units.

    The limit is a share of the mean before, and never below the floor that either side states.
    """
    sign, counted = sign_of(metric), _counted(metric)
    moved = [sign * (b - a) for a, b in zip(before.sums, after.sums, strict=True)]
    mean = estimates.ratio_mean(moved, before.weights)
    known = mean.low is not None
    return Effect(
        value=mean.value,
        low=mean.low,
        high=mean.high,
        p=estimates.ratio_p(moved, before.weights),
        limit=max(before.limit(limit), after.floor),
        test=f"paired t over {counted}",
        n=round(sum(before.weights)) if counted == "windows" else len(moved),
        units=mean.n,
        counted=counted,
        family=None if not known else holm_family(metric),
        doubt="" if known else f"a single {counted.removesuffix('s')}: it takes two to show how much they differ",
        sign=sign,
        is_log=before.log,
    )


def _counted(metric: Metric) -> Counted:
    return "windows" if metric.test == "windows" else "documents"
