"""The tables of one latency each, with all its percentiles."""

from __future__ import annotations

from collections.abc import Sequence

from bench.metrics.latency import NAMES
from bench.metrics.metric import Metric
from bench.report.entries import beside_base_entry, named
from bench.report.grid import NOT_MEASURED, Entry, Grid, Line
from bench.report.numbers import plural, span, titled, written
from bench.stats.estimates import Estimate
from bench.summary.rows import Row, Summary

MEANINGS = {
    "ttft": "time to first token",
    "tpot": "time per output token after the first",
    "e2e": "request start to last token",
}


def latency_grids(summary: Summary) -> list[Grid]:
    """Return a table per latency, none where no request was timed."""
    return [_grid(summary.rows, name, metrics) for name in NAMES if (metrics := percentiles(summary, name))]


def percentiles(summary: Summary, name: str) -> list[Metric]:
    """Return the measured percentiles of a latency: ttft, tpot or e2e."""
    mine = (metric for metric in summary.metrics if metric.name.startswith(f"{name}_"))
    return [metric for metric in mine if metric.measure == "latency" and summary.measured(metric.name)]


def _grid(rows: Sequence[Row], name: str, metrics: Sequence[Metric]) -> Grid:
    points = {metric: metric.title.removeprefix(f"{NAMES[name]} ") for metric in metrics}
    compared = [metric for metric in metrics if metric.test]
    columns = ["Variant", "Requests", *(titled(point, metric.unit) for metric, point in points.items())]
    columns += [f"Faster at {points[metric]}" for metric in compared]
    lines = tuple(Line((named(row), *_entries(row, metrics, compared)), row.family) for row in rows)
    return Grid(f"{name}_ms", f"{NAMES[name]}: {MEANINGS[name]}", "", tuple(columns), lines)


def _entries(row: Row, metrics: Sequence[Metric], compared: Sequence[Metric]) -> list[Entry]:
    estimates = [row.values.get(metric.name) for metric in metrics]
    counts = [estimate.n for estimate in estimates if estimate]
    if not counts:
        return [NOT_MEASURED] * (1 + len(metrics) + len(compared))
    rounds = sum(record.latency is not None for record in row.records)
    values = [
        Entry(written(estimate.value, metric.unit), _small(row, metric, estimate)) if estimate else NOT_MEASURED
        for metric, estimate in zip(metrics, estimates, strict=True)
    ]
    changes = [beside_base_entry(row, [metric]) for metric in compared]
    return [Entry(f"{max(counts):,}", plural(rounds, "round")), *values, *changes]


def _small(row: Row, metric: Metric, estimate: Estimate) -> str:
    """Return the interval of a percentile over the requests, and its value in each round."""
    each = row.rounds(metric.name)
    by_round = f",\nrounds {' · '.join(written(value, metric.unit) for value in each)}" if len(each) > 1 else ""
    return span(estimate) + by_round
