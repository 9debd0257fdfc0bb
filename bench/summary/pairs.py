"""Compare two variants of a sweep, in one runtime or across two, as the questions of a suite ask."""

from __future__ import annotations

from collections.abc import Sequence

from bench.metrics.metric import Marks, Metric, Rounds, difference, identity_of
from bench.stats.estimates import Estimate, percentile_ratio
from bench.stats.proportions import Paired, paired_difference
from bench.stats.rounds import rounds_agree
from bench.summary.rows import Row


def identity_difference(metric: Metric, before: Row, after: Row, across_runtimes: bool = False) -> str:
    """Return what keeps a metric of two variants from being compared, empty where nothing does.

    `across_runtimes` leaves the runtime out.
    """
    sides = [identity_of(metric, row.records) for row in (before, after)]
    if across_runtimes:
        sides = [{key: value for key, value in side.items() if key != "runtime"} for side in sides]
    return difference(*sides)


def ratio(metric: Metric, before: Row | None, after: Row | None) -> Estimate | None:
    """Return before / after of a metric, above 1 where it became less; None where one side was not measured.

    The interval, where there is one, is a bootstrap within rounds (`estimates.percentile_ratio`).
    """
    if before is None or after is None or identity_difference(metric, before, after, across_runtimes=True):
        return None
    sides = [metric.sample(row.records) if metric.sample else None for row in (before, after)]
    if isinstance(sides[0], Rounds) and isinstance(sides[1], Rounds) and sides[0].least_n > 1:
        above, below = (sides[1], sides[0]) if sides[0].reciprocal else (sides[0], sides[1])
        return percentile_ratio(above.blocks, below.blocks, above.q)
    values = [row.value(metric.name) for row in (before, after)]
    return Estimate(values[0] / values[1]) if values[0] and values[1] else None


def every_round_shows(metric: Metric, before: Row, after: Row) -> bool:
    """Say whether every round of one variant lies beyond every round of the other; one round shows nothing.

    The requests of one round are alike, so that an interval over requests alone is too sure.
    """
    sides = [metric.sample(row.records) if metric.sample else None for row in (before, after)]
    if not isinstance(sides[0], Rounds) or not isinstance(sides[1], Rounds):
        return False
    blocks = sides[0].blocks, sides[1].blocks
    return min(map(len, blocks)) > 1 and rounds_agree(*blocks, sides[0].q)


def paired(metric: Metric, before: Row | None, after: Row | None) -> Paired | None:
    """Return the change of a share of right answers, question by question; None where the questions differ."""
    if before is None or after is None or identity_difference(metric, before, after, across_runtimes=True):
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
