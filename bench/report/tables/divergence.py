"""The table of divergences: how far each variant's next-token distributions are from its base's and its parent's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.metrics.divergence import base_perplexity, divergence_of, from_parent_of, windows_of
from bench.metrics.metric import Metric
from bench.records.values import Divergence
from bench.report.entries import named
from bench.report.grid import ITSELF, NOT_MEASURED, Entry, Grid, Line
from bench.report.numbers import digits, interval, nats, span, titled, written
from bench.summary.rows import Row, Summary

NO_PARENT = Entry("none", tone="missing")
"""What stands for a variant whose last step does not quantize: there is no model that it was made of by quantizing."""


def divergence_grid(summary: Summary) -> list[Grid]:
    """Make the table of divergences, none where none was measured."""
    metrics = [m for m in summary.metrics if m.measure == "divergence" and summary.measured(m.name)]
    texts = {measured.text[:12] for row in summary.rows if (measured := divergence_of(row.records))}
    if not texts:
        return []
    names = {row.records[0].fingerprint: row.variant for row in reversed(summary.rows)}
    return [
        Grid(
            key="divergence",
            title="Divergence from the base",
            says="Mean Kullback–Leibler divergence of the next-token distribution from that of the base of the same "
            "runtime, over one text, token by token. Same top: how often both hold the same token for the likeliest. "
            "The parent is the variant's own model before it was quantized: the distance from it is the loss by "
            "quantization, that of a fine-tune from the base is also what it learned.",
            columns=(
                *("Variant", "Base", "Parent", *(titled(metric.title, metric.unit) for metric in metrics)),
                *("Perplexity of base", "Tokens", "Rounding floor, nats"),
            ),
            lines=tuple(Line((named(row), *_entries(row, metrics, names)), row.family) for row in summary.rows),
            notes=(
                "Small print: 95 % intervals, Student's over windows of consecutive tokens, which are the clusters. "
                "Rounding floor: the mean KL that keeping the base's log-probabilities in half precision makes by "
                "itself; a mean KL near it says nothing.",
                "Parent “none”: the last step of the variant does not quantize.",
                f"Texts: {', '.join(sorted(texts))} (sha256).",
            ),
        )
    ]


def _entries(row: Row, metrics: Sequence[Metric], names: Mapping[str | None, str]) -> list[Entry]:
    measured = divergence_of(row.records)
    if measured is None:
        return [ITSELF if row.is_reference else NOT_MEASURED] * (5 + len(metrics))
    floor, base = measured.rounding_floor, base_perplexity(measured)
    return [
        Entry(measured.base_variant),
        _parent(row, measured, names),
        *(_entry(row, metric, measured) for metric in metrics),
        Entry(digits(base.value), span(base)),
        Entry(f"{len(measured.kl):,}", f"{windows_of(measured):,} windows"),
        NOT_MEASURED if floor is None else Entry(nats(floor)),
    ]


def _parent(row: Row, measured: Divergence, names: Mapping[str | None, str]) -> Entry:
    """Name the model before it was quantized: its variant in this sweep, or the step that follows it."""
    if row.roles[-1:] != ("quantize",):
        return NO_PARENT
    if measured.parent is None:
        return NOT_MEASURED
    if name := names.get(measured.parent):
        return Entry(name)
    steps = [made.step for made in row.records[0].lineage]
    made = [made.fingerprint for made in row.records[0].lineage]
    following = steps[made.index(measured.parent) + 1] if measured.parent in made[:-1] else row.variant
    return Entry(f"before {following}")


def _entry(row: Row, metric: Metric, from_base: Divergence) -> Entry:
    estimate = row.values.get(metric.name)
    of_parent = metric.kind.startswith("parent_")
    measured = from_parent_of(row.records) if of_parent else from_base
    if estimate is None or measured is None:
        return NO_PARENT if of_parent and row.roles[-1:] != ("quantize",) else NOT_MEASURED
    sub = interval(estimate, metric.unit)
    if not sub and not metric.kind.endswith("kl_p99"):
        one = windows_of(measured) < 2
        sub = "one window: no interval" if one else f"all {len(measured.kl):,} alike: no interval"
    floor = measured.rounding_floor
    if metric.kind.endswith("kl_mean") and floor is not None and estimate.value <= 2 * floor:
        sub += ",\nat the floor"
    return Entry(written(estimate.value, metric.unit), sub)
