"""Summarize one sweep: make its rows, and put each beside the base of its runtime."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from bench.metrics.catalogue import metrics_of
from bench.metrics.metric import Metric
from bench.records.questions import Questions
from bench.records.types import Record
from bench.summary import warnings
from bench.summary.anchors import with_anchor
from bench.summary.beside_base import compared
from bench.summary.family import FAMILIES, family_of, native_runtime
from bench.summary.in_rounds import with_rounds
from bench.summary.rows import Failure, Row, Summary


def summarize(records: Sequence[Record], stated: Mapping[str, Questions] | None = None) -> Summary:
    """Make the rows of one sweep, each beside the base of its runtime.

    `stated` has the questions of suites by name, for records of before suites stated them.
    """
    metrics = metrics_of(records)
    rows = with_anchor(with_rounds(rows_alone(records, metrics), metrics), metrics)
    references = _references(rows)
    rows = [replace(row, reference=references.get(row.runtime)) for row in rows]
    newest = max(records, key=lambda record: record.started_at).config
    questions = newest.questions or (stated or {}).get(newest.suite or "")
    return Summary(tuple(metrics), tuple(compared(rows, metrics)), questions)


def rows_alone(records: Sequence[Record], metrics: Sequence[Metric]) -> list[Row]:
    """Make the rows of one sweep, bases first, then by family and falling size; none is compared with another."""
    native = native_runtime(record.runtime for record in records)
    by_variant: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_variant[record.variant].append(record)
    rows = [_row(name, rounds, metrics, native) for name, rounds in by_variant.items()]

    def place(row: Row) -> tuple[int, str, float, str]:
        return FAMILIES.index(row.family), row.runtime, -(row.value("size_bytes") or 0), row.variant

    return sorted(rows, key=place)


def _row(name: str, rounds: Sequence[Record], metrics: Sequence[Metric], native: str) -> Row:
    newest = max(rounds, key=lambda record: record.started_at)
    values = {metric.name: metric.value(rounds) for metric in metrics}
    sizes = (record.size for record in rounds if record.size)
    return Row(
        variant=name,
        family=family_of(newest.roles, newest.runtime, native),
        runtime=newest.runtime,
        steps=newest.steps,
        roles=newest.roles,
        records=tuple(rounds),
        values={name: value for name, value in values.items() if value is not None},
        tensor_types=next((size.tensor_types for size in sizes), {}),
        failures=tuple(_failure(record) for record in rounds if record.failed),
        warnings=(
            *dict.fromkeys(line for record in rounds for line in warnings.of_steps(record)),
            *warnings.slowed(rounds),
        ),
    )


def _failure(record: Record) -> Failure:
    error = record.error
    if error is None:
        return Failure(record.variant, record.round, "unknown", "no message", "")
    where = " ".join(filter(None, (error.stage, error.step)))
    what = ": ".join(filter(None, (error.type, error.message)))
    return Failure(record.variant, record.round, where or "unknown", what or "no message", error.reproduce)


def _references(rows: Sequence[Row]) -> dict[str, str]:
    """Return the base of each runtime: the variant with the fewest steps that neither fine-tunes nor quantizes."""
    plain = [row for row in rows if not {"finetune", "quantize"} & set(row.roles)]
    bases: dict[str, str] = {}
    for row in sorted(plain, key=lambda row: (len(row.steps), row.variant)):
        bases.setdefault(row.runtime, row.variant)
    return bases
