"""The table of divergences: how far each variant's next-token distributions are from those of its base."""

from __future__ import annotations

from collections.abc import Sequence

from bench.metrics.divergence import base_perplexity, divergence_of, windows_of
from bench.metrics.metric import Metric
from bench.records.values import Divergence
from bench.report.entries import named
from bench.report.grid import ITSELF, NOT_MEASURED, Entry, Grid, Line
from bench.report.numbers import digits, interval, nats, span, titled, written
from bench.summary.rows import Row, Summary


def divergence_grid(summary: Summary) -> list[Grid]:
    """Make the table of divergences, none where none was measured."""
    metrics = [m for m in summary.metrics if m.measure == "divergence" and summary.measured(m.name)]
    texts = {measured.text[:12] for row in summary.rows if (measured := divergence_of(row.records))}
    if not texts:
        return []
    return [
        Grid(
            key="divergence",
            title="Divergence from the base",
            says="Mean Kullback–Leibler divergence of the next-token distribution from that of the base of the same "
            "runtime, over one text, token by token. Same top: how often both hold the same token for the likeliest.",
            columns=(
                *("Variant", "Base", *(titled(metric.title, metric.unit) for metric in metrics)),
                *("Perplexity of base", "Tokens", "Rounding floor, nats"),
            ),
            lines=tuple(Line((named(row), *_entries(row, metrics)), row.family) for row in summary.rows),
            notes=(
                "Small print: 95 % intervals, Student's over windows of consecutive tokens, which are the clusters. "
                "Rounding floor: the mean KL that keeping the base's log-probabilities in half precision makes by "
                "itself; a mean KL near it says nothing.",
                f"Texts: {', '.join(sorted(texts))} (sha256).",
            ),
        )
    ]


def _entries(row: Row, metrics: Sequence[Metric]) -> list[Entry]:
    measured = divergence_of(row.records)
    if measured is None:
        return [ITSELF if row.is_reference else NOT_MEASURED] * (4 + len(metrics))
    floor, base = measured.rounding_floor, base_perplexity(measured)
    return [
        Entry(measured.base_variant),
        *(_entry(row, metric, measured) for metric in metrics),
        Entry(digits(base.value), span(base)),
        Entry(f"{len(measured.kl):,}", f"{windows_of(measured):,} windows"),
        NOT_MEASURED if floor is None else Entry(nats(floor)),
    ]


def _entry(row: Row, metric: Metric, measured: Divergence) -> Entry:
    estimate = row.values.get(metric.name)
    if estimate is None:
        return NOT_MEASURED
    sub = interval(estimate, metric.unit)
    if not sub and metric.kind != "kl_p99":
        one = windows_of(measured) < 2
        sub = "one window: no interval" if one else f"all {len(measured.kl):,} alike: no interval"
    floor = measured.rounding_floor
    if metric.kind == "kl_mean" and floor is not None and estimate.value <= 2 * floor:
        sub += ",\nat the floor"
    return Entry(written(estimate.value, metric.unit), sub)
