"""Where a series changed its level: exact values, the same questions or text, and noise, each by a test of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from bench.history.packed import clusters, marks
from bench.history.series import ChangePoint, Point, Series, Value
from bench.metrics.metric import Metric, Test
from bench.stats import changepoints, estimates, proportions


@dataclass(frozen=True)
class _Step:
    """From one measured commit to the next: the change on the scale of the metric, and whether it is large enough."""

    change: float
    low: float | None
    high: float | None
    p: float
    matters: bool


Place = tuple[str, str, int]
"""A variant, a metric, and the place of the commit after a step."""


def with_changes(series: Sequence[Series]) -> list[Series]:
    """Find the change points of all series of a page together: each p stands for all that was looked at.

    Exact values, such as a size: every difference is a change. Answers to the same questions: neighbours are compared
    by exact McNemar. Documents or windows of the same text: neighbours are compared by a paired t. Each of the two
    with Holm over all neighbours that differ. What a clock gave, or a peak of memory, is noise around a level: see
    `bench.stats.changepoints`.
    """
    splits = sum(changepoints.splits_of(len(part)) for s in series if s.metric.test == "rounds" for part in s.stretches)
    steps = {**_steps(series, {"questions": _questions}), **_steps(series, {"documents": _means, "windows": _means})}
    return [
        replace(s, changes=tuple(change for part in s.stretches for change in _changes(s, part, splits, steps)))
        for s in series
    ]


def _steps(
    series: Sequence[Series], tests: Mapping[Test, Callable[[Metric, Value, Value], _Step]]
) -> dict[Place, tuple[_Step, float]]:
    """Compare all neighbours that differ; return each step with its p, adjusted for all of them."""
    steps = {
        (s.variant, s.metric.name, after.commit.place): tests[s.metric.test](s.metric, before.value, after.value)
        for s in series
        if s.metric.test and s.metric.test in tests
        for part in s.stretches
        for before, after in pairwise(part)
        if before.value.sample != after.value.sample
    }
    adjusted = proportions.holm([step.p for step in steps.values()])
    return {place: (step, p) for (place, step), p in zip(steps.items(), adjusted, strict=True)}


def _questions(metric: Metric, before: Value, after: Value) -> _Step:
    pair = proportions.paired_difference(marks(before), marks(after))
    return _Step(pair.difference, pair.low, pair.high, pair.p, abs(pair.difference) > metric.limit)


def _means(metric: Metric, before: Value, after: Value) -> _Step:
    one, other = clusters(before), clusters(after)
    moved = [b - a for a, b in zip(one.sums, other.sums, strict=True)]
    mean = estimates.ratio_mean(moved, one.weights)
    matters = abs(mean.value) > max(one.limit(metric.limit), other.floor) and mean.low is not None
    mean = estimates.exponential(mean) if one.log else mean
    return _Step(mean.value, mean.low, mean.high, estimates.ratio_p(moved, one.weights), matters)


def _changes(
    series: Series, part: Sequence[Point], splits: int, steps: Mapping[Place, tuple[_Step, float]]
) -> Iterator[ChangePoint]:
    variant, metric = series.variant, series.metric
    if metric.better is None:
        return
    if metric.test == "rounds":
        for shift in _shifts(metric, part, splits):
            ends = part[shift.place - 1], part[shift.place]
            low, high = math.exp(shift.low), math.exp(shift.high)
            yield ChangePoint(variant, metric, *ends, math.exp(shift.difference), low, high, shift.p)
        return
    for before, after in pairwise(part):
        if metric.test == "exact" and before.value.value != after.value.value:
            ratio = after.value.value / before.value.value if before.value.value else math.inf
            yield ChangePoint(variant, metric, before, after, ratio, None, None, None)
        step, p = steps.get((variant, metric.name, after.commit.place), (None, 1.0))
        if step and step.matters and p < changepoints.ALPHA:
            yield ChangePoint(variant, metric, before, after, step.change, step.low, step.high, p)


def _shifts(metric: Metric, part: Sequence[Point], splits: int) -> list[changepoints.Shift]:
    """Look at ratios (logarithms); a commit measured with fewer samples than most counts for less."""
    counts = np.array([point.value.n or 1 for point in part])
    weights = np.minimum(1.0, counts / np.sort(counts)[len(counts) // 2])
    values = np.log([point.value.value for point in part])
    return changepoints.find_shifts(values, weights, math.log1p(metric.limit), splits)
