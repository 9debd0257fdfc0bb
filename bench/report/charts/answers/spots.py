"""Where each variant stands in the chart of the decision."""

from __future__ import annotations

from dataclasses import dataclass

from bench.advise.advice import Advice
from bench.advise.limits import latency_metric
from bench.metrics.metric import Metric
from bench.report.charts.answers.score import Score, score_of
from bench.summary import pairs


@dataclass(frozen=True)
class Spot:
    """A variant: its right answers, and its latency in ms with that of each round."""

    score: Score
    ms: float
    rounds: tuple[float, ...]

    @property
    def name(self) -> str:
        """Return the variant."""
        return self.score.name

    @property
    def at(self) -> tuple[float, float]:
        """Return the place of its mark: latency and right answers."""
        return self.ms, self.score.right


@dataclass(frozen=True)
class View:
    """What is drawn: the variants of one runtime; `elsewhere` are those of others, which would squash them."""

    metric: Metric
    task: str
    spots: tuple[Spot, ...]
    elsewhere: tuple[Spot, ...]
    choice: str | None

    @property
    def chosen(self) -> Spot | None:
        """Return the variant to ship."""
        return next((spot for spot in self.spots if spot.name == self.choice), None)


def view_of(advice: Advice) -> View | None:
    """Return what the chart draws, None without a task or without a latency.

    The latency is that of the table of candidates: the one that is limited, else the P99 of a whole request.
    """
    limited = latency_metric(advice.limits)
    metrics = {metric.name: metric for metric in advice.summary.metrics}
    metric = metrics.get(limited if advice.summary.measured(limited) else latency_metric(()))
    task = advice.task
    right = metrics.get(f"accuracy {task}")
    answered = [one.row for one in advice.variants if right and right.name in one.row.values]
    if task is None or metric is None or right is None or not answered:
        return None
    best = advice.best.row if advice.best else max(answered, key=lambda row: row.value(right.name) or 0.0)
    spots = []
    for row in answered:
        score = score_of(row, task, best, lambda before, after: pairs.paired(right, before, after))
        latency = row.values.get(metric.name)
        if score and latency:
            spots.append(Spot(score, latency.value, tuple(row.rounds(metric.name))))
    if not spots:
        return None
    choice = advice.ship.name if advice.ship else None
    runtimes = [spot.score.row.runtime for spot in spots]
    here = next((spot.score.row.runtime for spot in spots if spot.name == choice), max(runtimes, key=runtimes.count))
    inside, outside = (
        tuple(spot for spot in spots if (spot.score.row.runtime == here) is wanted) for wanted in (True, False)
    )
    return View(metric, task, inside, outside, choice)
