"""Compare two variants of a sweep, in one runtime or across two, as the questions of a suite ask."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from bench.metrics.identity import CARD
from bench.metrics.metric import Marks, Metric, difference, identity_of
from bench.stats.estimates import Estimate, exp
from bench.stats.proportions import Paired, paired_difference
from bench.stats.rounds import UNKNOWN, Spread, compare_variants, rounds_agree
from bench.summary.anchors import between, card_difference
from bench.summary.in_rounds import rounds_of
from bench.summary.rows import BesideBase, Row

ACROSS_RUNTIMES = ("runtime",)
"""What may differ between variants that a suite asks about together."""


def identity_difference(metric: Metric, before: Row, after: Row, but: Collection[str] = ()) -> str:
    """Return what keeps a metric of two variants from being compared, empty where nothing does.

    The keys `but` may differ. Different cards are no obstacle where both have an anchor.
    """
    left_out = {CARD, *but}
    sides = [identity_of(metric, row.records) for row in (before, after)]
    sides = [{key: value for key, value in side.items() if key not in left_out} for side in sides]
    return difference(*sides) or card_difference(metric, before, after)


def ratio(metric: Metric, before: Row | None, after: Row | None) -> Estimate | None:
    """Return how many times better `after` is than `before`, as `beside` does, without the rounds."""
    change = beside(metric, before, after)
    return change.ratio if change else None


def beside(metric: Metric, before: Row | None, after: Row | None) -> BesideBase | None:
    """Return how many times better `after` is than `before`; None where one side was not measured, or other things."""
    if before is None or after is None or identity_difference(metric, before, after, ACROSS_RUNTIMES):
        return None
    return times_better(metric, before, after)


def times_better(metric: Metric, before: Row, after: Row) -> BesideBase | None:
    """Return the ratio of two values, above 1 where `after` is better; None where there is no ratio of them.

    The interval is over rounds, as in `bench compare`: how much those of the whole sweep differ gives it. The `n`
    of the ratio counts the requests of the smaller side, which a percentile takes enough of. Variants of different
    cards are compared beside the anchor of the sweep, whose requests on each card count too.
    """
    values = before.value(metric.name), after.value(metric.name)
    if metric.better is None or metric.scale != "ratio" or not values[0] or not values[1]:
        return None
    better = values[1] / values[0] if metric.better == "higher" else values[0] / values[1]
    sides = rounds_of(metric, before), rounds_of(metric, after)
    if sides[0] is None or sides[1] is None:
        return BesideBase(ratio=Estimate(better, n=min(row.values[metric.name].n for row in (before, after))))
    anchored = between(metric, before, after)
    if anchored:
        change = anchored.compare(before.variant, after.variant)
        better = exp(-change.log_ratio)  # what a card moves is time: less is better
        rounds = anchored.rounds(before.variant), anchored.rounds(after.variant)
    else:
        spread = _spread(metric, before), _spread(metric, after)
        change = compare_variants((sides[0].blocks, sides[1].blocks), sides[0].q, spread)
        rounds = before.rounds(metric.name), after.rounds(metric.name)
    half, why = change.half_width(), ""
    if math.isinf(half):
        why = "one round"
    elif change.n < sides[0].least_n:
        why = "n too small"
    low, high = (None if why else exp(math.log(better) + end) for end in (-half, half))
    ratio = Estimate(better, low, high, change.n)
    return BesideBase(ratio=ratio, rounds=rounds, why=why, anchor=anchored.anchor if anchored else "")


def _spread(metric: Metric, row: Row) -> Spread:
    return row.in_rounds[metric.name].spread if metric.name in row.in_rounds else UNKNOWN


def every_round_shows(metric: Metric, before: Row, after: Row) -> bool:
    """Say whether every round of one variant lies beyond every round of the other; one round shows nothing.

    Of two rounds each they do so by chance in a third of all cases: what is shown takes the interval of `ratio` too.
    """
    sides = rounds_of(metric, before), rounds_of(metric, after)
    if sides[0] is None or sides[1] is None:
        return False
    anchored = between(metric, before, after)
    blocks = sides[0].blocks, sides[1].blocks
    if anchored:
        blocks = anchored.relative(before.variant), anchored.relative(after.variant)
    return min(map(len, blocks)) > 1 and rounds_agree(*blocks, sides[0].q)


def paired(metric: Metric, before: Row | None, after: Row | None) -> Paired | None:
    """Return the change of a share of right answers, question by question; None where the questions differ."""
    if before is None or after is None or identity_difference(metric, before, after, ACROSS_RUNTIMES):
        return None
    sides = [metric.sample(row.records) if metric.sample else None for row in (before, after)]
    if isinstance(sides[0], Marks) and isinstance(sides[1], Marks):
        return paired_difference(sides[0].right, sides[1].right)
    return None


def pareto(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the Pareto front of (size, share right): the points that no other beats in both, by size."""
    front: list[tuple[float, float]] = []
    for size, share in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or share > front[-1][1]:
            front.append((size, share))
    return front
