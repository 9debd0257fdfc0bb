"""Draw every chart of a sweep."""

from __future__ import annotations

from collections.abc import Iterator

from bench.advise.advice import Advice
from bench.report.charts.answers.accuracy_size import accuracy_against_size
from bench.report.charts.answers.decision import decision
from bench.report.charts.answers.subjects import accuracy_by_subject
from bench.report.charts.chart import Chart
from bench.report.charts.divergence import divergence_against_bits
from bench.report.charts.latency import latency_charts
from bench.summary.rows import Summary


def draw_all(summary: Summary, advice: Advice | None) -> dict[str, Chart]:
    """Draw every chart that the sweep has data for, by name, in the order in which a reader wants them."""
    return {chart.name: chart for chart in _charts(summary, advice)}


def _charts(summary: Summary, advice: Advice | None) -> Iterator[Chart]:
    if advice and (chart := decision(advice)):
        yield chart
    tasks = summary.right_or_wrong
    by_size = (accuracy_against_size(summary, task) for task in tasks)
    by_subject = (accuracy_by_subject(summary, task) for task in tasks)
    yield from filter(None, by_size)
    yield from latency_charts(summary)
    yield from filter(None, [divergence_against_bits(summary)])
    yield from filter(None, by_subject)
