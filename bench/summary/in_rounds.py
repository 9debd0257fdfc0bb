"""The rounds of each variant of a sweep: the value of a metric in each, and how much the rounds of the sweep differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bench.metrics.metric import Metric, Rounds
from bench.stats import rounds
from bench.summary.rows import InRounds, Row


def with_rounds(rows: Sequence[Row], metrics: Sequence[Metric]) -> list[Row]:
    """Return the rows of one sweep with their rounds, for every metric whose raw values come in rounds."""
    in_rounds: dict[str, dict[str, InRounds]] = {row.variant: {} for row in rows}
    for metric in metrics:
        samples = {row.variant: sample for row in rows if (sample := rounds_of(metric, row))}
        q = next((sample.q for sample in samples.values()), 0.5)
        spreads = rounds.spreads({name: sample.blocks for name, sample in samples.items()}, q)
        for row in rows:
            if row.variant in samples:
                values = (metric.value((record,)) for record in row.records)
                each = tuple(value.value for value in values if value)
                in_rounds[row.variant][metric.name] = InRounds(each, spreads[row.variant])
    return [replace(row, in_rounds=in_rounds[row.variant]) for row in rows]


def rounds_of(metric: Metric, row: Row) -> Rounds | None:
    """Return the raw values of a variant in blocks, None where they do not come in rounds or were not measured."""
    sample = metric.sample(row.records) if metric.sample and metric.name in row.values else None
    return sample if isinstance(sample, Rounds) else None
