"""Draw every chart of a sweep."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from bench.advise.advice import Advice
from bench.report.charts.answers.accuracy_size import accuracy_against_size
from bench.report.charts.answers.decision import decision
from bench.report.charts.answers.subjects import accuracy_by_subject
from bench.report.charts.chart import Chart
from bench.report.charts.divergence import divergence_against_bits
from bench.report.charts.latency import latency_charts
from bench.report.charts.style import why_not_drawn
from bench.summary.rows import Summary


@dataclass(frozen=True)
class Drawn:
    """The charts of a sweep by name, in the order in which a reader wants them, and a line for each that failed."""

    charts: dict[str, Chart]
    failed: tuple[str, ...]


def draw_all(summary: Summary, advice: Advice | None) -> Drawn:
    """Draw every chart that the sweep has data for. One that fails costs no other: the tables have its numbers."""
    charts: dict[str, Chart] = {}
    failed = []
    for what, draw in _charts(summary, advice):
        try:
            charts |= {chart.name: chart for chart in draw() if chart}
        except Exception as error:
            failed.append(why_not_drawn(what, error))
    return Drawn(charts, tuple(failed))


def _charts(summary: Summary, advice: Advice | None) -> Iterator[tuple[str, Callable[[], Iterable[Chart | None]]]]:
    if advice:
        yield "decision", lambda: [decision(advice)]
    for task in summary.right_or_wrong:
        yield f"accuracy against size, {task}", partial(_one, accuracy_against_size, summary, task)
    yield "latency", lambda: latency_charts(summary)
    yield "divergence", lambda: [divergence_against_bits(summary)]
    for task in summary.right_or_wrong:
        yield f"accuracy by subject, {task}", partial(_one, accuracy_by_subject, summary, task)


def _one(draw: Callable[[Summary, str], Chart | None], summary: Summary, task: str) -> list[Chart | None]:
    return [draw(summary, task)]
