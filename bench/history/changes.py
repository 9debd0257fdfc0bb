"""Where a series changed its level: exact values, answers to questions, and noise, each by a test of its own."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from bench.history.series import Change, Point, Series
from bench.metrics.metric import Metric, Value
from bench.stats import changepoints, proportions


def with_changes(series: Sequence[Series]) -> list[Series]:
    """Find the change points of all series of a page together: each p stands for all that was looked at.

    Sizes are exact, and every difference is a change. Accuracies are answers to the same questions, and neighbours are
    held against each other by exact McNemar with Holm over all neighbours that differ. What a clock gave, or a peak of
    memory, is noise around a level: see `bench.stats.changepoints`.
    """
    splits = sum(changepoints.splits_of(len(part)) for s in series if _noisy(s.metric) for part in s.stretches)
    pairs = [
        (before.value, after.value)
        for s in series
        if s.metric.unit == "share"
        for part in s.stretches
        for before, after in pairwise(part)
        if before.value.answers != after.value.answers
    ]
    tested = [_flips(before, after) for before, after in pairs]
    adjusted = dict(zip(tested, proportions.holm([proportions.mcnemar(*flips) for flips in tested]), strict=True))
    return [
        replace(s, changes=tuple(change for part in s.stretches for change in _changes(s, part, splits, adjusted)))
        for s in series
    ]


def _noisy(metric: Metric) -> bool:
    return metric.relative and metric.threshold > 0


def _changes(
    series: Series, part: Sequence[Point], splits: int, adjusted: Mapping[tuple[int, int], float]
) -> list[Change]:
    told = series.variant, series.metric
    if _noisy(series.metric):
        return [
            Change(
                *told, part[s.place - 1], part[s.place], math.exp(s.difference), math.exp(s.low), math.exp(s.high), s.p
            )
            for s in _shifts(series.metric, part, splits)
        ]
    neighbours = [pair for pair in pairwise(part) if pair[0].value.value != pair[1].value.value]
    if series.metric.unit == "byte":
        return [Change(*told, a, b, b.value.value / a.value.value, None, None, None) for a, b in neighbours]
    found = []
    for before, after in neighbours:
        p = adjusted[_flips(before.value, after.value)]
        pair = proportions.paired_difference(_marks(before.value), _marks(after.value))
        if p < changepoints.ALPHA and abs(pair.difference) > series.metric.threshold:
            found.append(Change(*told, before, after, pair.difference, pair.low, pair.high, p))
    return found


def _shifts(metric: Metric, part: Sequence[Point], splits: int) -> list[changepoints.Shift]:
    """Look at ratios (logarithms); a commit measured with fewer samples than most counts for less."""
    counts = sorted(point.value.n or 1 for point in part)
    usual = counts[len(counts) // 2]
    weights = [min(1.0, (point.value.n or 1) / usual) for point in part]
    values = [math.log(point.value.value) for point in part]
    return changepoints.find_shifts(values, weights, math.log1p(metric.threshold), splits)


def _marks(value: Value) -> list[bool]:
    packed = np.frombuffer(bytes.fromhex(value.answers or ""), dtype=np.uint8)
    return [bool(mark) for mark in np.unpackbits(packed, count=value.n)]


def _flips(before: Value, after: Value) -> tuple[int, int]:
    """Return how many questions were gained and lost."""
    flips = Counter(zip(_marks(before), _marks(after), strict=True))
    return flips[False, True], flips[True, False]
