"""One row per variant: the numbers of all its rounds, with intervals, each beside the base of its runtime."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.metrics.accuracy import Accuracy, Score, accuracy_of, paired, scores_of
from bench.metrics.divergence import Divergence, divergence
from bench.records.schema import LATENCIES, Answers
from bench.records.store import Record
from bench.stats import estimates, proportions
from bench.stats.estimates import Estimate
from bench.summary.family import FAMILIES, Family, family_of, native_runtime, roles

SHARES = (0.5, 0.9, 0.99)


@dataclass(frozen=True)
class Failure:
    """A cell that ended in an error, and the command that shows it again."""

    variant: str
    round: int
    stage: str
    message: str
    reproduce: str


@dataclass(frozen=True)
class Latency:
    """One latency over the requests of all rounds, in ms; ratios are base / variant, above 1 is faster."""

    n: int
    p50: Estimate
    p90: Estimate
    p99: Estimate
    faster_p50: Estimate | None
    faster_p99: Estimate | None


@dataclass(frozen=True)
class Row:
    """Everything the report says of a variant; None and an absent key mean: not measured."""

    variant: str
    family: Family
    runtime: str
    steps: tuple[str, ...]
    roles: tuple[str, ...]
    records: tuple[Record, ...]
    reference: str | None
    size_bytes: int | None
    bits_per_weight: float | None
    smaller: float | None
    tensor_types: Mapping[str, int]
    latency: Mapping[str, Latency]
    peak_resident_bytes: int | None
    peak_device_bytes: int | None
    accuracy: Mapping[str, Accuracy]
    scores: Mapping[str, Score]
    divergence: Divergence | None
    failures: tuple[Failure, ...]
    warnings: tuple[str, ...]

    @property
    def is_reference(self) -> bool:
        """Say whether this is the base that others of its runtime are held against."""
        return self.reference == self.variant

    @property
    def answers(self) -> dict[str, Answers]:
        """Return the raw columns of every task, whatever its number is."""
        found: list[Accuracy | Score] = [*self.accuracy.values(), *self.scores.values()]
        return {each.task: each.answers for each in found}

    @property
    def failed(self) -> bool:
        """Say whether no round of this variant was finished."""
        return all(record.failed for record in self.records)


def rows_alone(records: Sequence[Record]) -> list[Row]:
    """Make the rows of one sweep, bases first, then by family and falling size; none is held against another."""
    native = native_runtime(record.runtime for record in records)
    by_variant: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_variant[record.variant].append(record)
    rows = [_row(name, found, native) for name, found in by_variant.items()]
    return sorted(rows, key=lambda row: (FAMILIES.index(row.family), row.runtime, -(row.size_bytes or 0), row.variant))


def build_rows(records: Sequence[Record]) -> list[Row]:
    """Make the rows of one sweep, each beside the base of its runtime."""
    rows = rows_alone(records)
    references = _references(rows)
    rows = [replace(row, reference=references.get(row.runtime)) for row in rows]
    by_name = {row.variant: row for row in rows}
    rows = [_beside_reference(row, by_name) for row in _with_latency(rows, references)]
    return _with_holm(rows)


def _row(name: str, records: list[Record], native: str) -> Row:
    newest = max(records, key=lambda record: record.started_at)
    said = roles(newest.data["config"])
    size = _first(records, "size")
    return Row(
        variant=name,
        family=family_of(said, newest.runtime, native),
        runtime=newest.runtime,
        steps=newest.steps,
        roles=tuple(said),
        records=tuple(records),
        reference=None,
        size_bytes=size.get("size_bytes"),
        bits_per_weight=size.get("bits_per_weight"),
        smaller=None,
        tensor_types=size.get("tensor_types") or {},
        latency={},
        peak_resident_bytes=_peak(records, "peak_resident_bytes"),
        peak_device_bytes=_peak(records, "peak_device_bytes"),
        accuracy=accuracy_of(_first(records, "accuracy")),
        scores=scores_of(_first(records, "accuracy")),
        divergence=divergence(_first(records, "divergence")),
        failures=tuple(_failure(record) for record in records if record.failed),
        warnings=tuple(dict.fromkeys(line for record in records for line in record.data["warnings"])),
    )


def _first(records: Sequence[Record], measure: str) -> dict[str, Any]:
    found: dict[str, Any] = next((record.measures[measure] for record in records if record.measures.get(measure)), {})
    return found


def _peak(records: Sequence[Record], name: str) -> int | None:
    found = [record.measures.get("memory", {}).get(name) for record in records]
    return max((value for value in found if value is not None), default=None)


def _failure(record: Record) -> Failure:
    error = record.data["error"] or {}
    where = " ".join(str(part) for part in (error.get("stage"), error.get("step")) if part)
    what = ": ".join(str(part) for part in (error.get("type"), error.get("message")) if part)
    return Failure(record.variant, record.round, where or "unknown", what or "no message", error.get("reproduce") or "")


def _references(rows: Sequence[Row]) -> dict[str, str]:
    plain = [row for row in rows if not {"finetune", "quantize"} & set(row.roles)]
    found: dict[str, str] = {}
    for row in sorted(plain, key=lambda row: (len(row.steps), row.variant)):
        found.setdefault(row.runtime, row.variant)
    return found


def comparable(a: Row, b: Row) -> bool:
    """Say whether two rows start from the same model and served the same requests on the same device."""

    def identity(row: Row) -> tuple[Any, ...]:
        record = next((r for r in reversed(row.records) if not r.failed), row.records[-1])
        latency = (record.data["config"].get("measures") or {}).get("latency")
        return record.source, latency, (record.data.get("session") or {}).get("device")

    return all(x == y or None in (x, y) for x, y in zip(identity(a), identity(b), strict=True))


def _beside_reference(row: Row, by_name: Mapping[str, Row]) -> Row:
    base = by_name.get(row.reference or "")
    if base is None or not comparable(row, base):
        return row if base is None else replace(row, warnings=(*row.warnings, f"not comparable with {base.variant}"))
    accuracy = {
        task: found if row.is_reference else replace(found, against=paired(base.accuracy.get(task), found))
        for task, found in row.accuracy.items()
    }
    smaller = base.size_bytes / row.size_bytes if base.size_bytes and row.size_bytes else None
    return replace(row, accuracy=accuracy, smaller=smaller)


def _with_holm(rows: Sequence[Row]) -> list[Row]:
    looked_at = [
        (row.variant, task, found.against.p)
        for row in rows
        for task, found in row.accuracy.items()
        if found.against is not None
    ]
    adjusted = proportions.holm([p for _, _, p in looked_at])
    holm = {(variant, task): p for (variant, task, _), p in zip(looked_at, adjusted, strict=True)}
    return [
        replace(
            row,
            accuracy={
                task: replace(found, p_holm=holm.get((row.variant, task))) for task, found in row.accuracy.items()
            },
        )
        for row in rows
    ]


def _with_latency(rows: Sequence[Row], references: Mapping[str, str]) -> list[Row]:
    by_name = {row.variant: row for row in rows}
    made: dict[str, dict[str, Latency]] = {row.variant: {} for row in rows}
    for name in LATENCIES:
        blocks = {row.variant: latency_rounds(row, name) for row in rows}
        draws = {
            variant: estimates.percentile_draws(block, SHARES, seed=zlib.crc32(f"{variant} {name}".encode()))
            for variant, block in blocks.items()
            if block
        }
        points = {
            variant: [estimates.percentile_estimate([v for b in block for v in b], share) for share in SHARES]
            for variant, block in blocks.items()
            if block
        }
        for variant, (p50, p90, p99) in points.items():
            row, base = by_name[variant], references.get(by_name[variant].runtime, "")
            other = base if base in points and base != variant and comparable(row, by_name[base]) else None
            ratio = [_ratio(points, draws, other, variant, i) for i in (0, 2)] if other else [None, None]
            made[variant][name] = Latency(p50.n, p50, p90, p99, *ratio)
    return [replace(row, latency=made[row.variant]) for row in rows]


def latency_rounds(row: Row, name: str) -> list[list[float]]:
    """Return the raw latencies of a variant, one list per round that has any, in ms."""
    return [values for record in row.records if (values := record.measures.get("latency", {}).get(name))]


def _ratio(
    points: Mapping[str, Sequence[Estimate]],
    draws: Mapping[str, NDArray[np.float64]],
    base: str,
    variant: str,
    which: int,
) -> Estimate:
    above, below = points[base][which], points[variant][which]
    ends: tuple[float | None, float | None] = (None, None)
    if None not in (above.low, above.high, below.low, below.high):
        ends = estimates.ratio_interval(draws[base][which], draws[variant][which])
    return Estimate(above.value / below.value, *ends, min(above.n, below.n))


def tasks_of(rows: Sequence[Row]) -> list[str]:
    """Return the tasks with right and wrong answers, the general one first, then the domain, then by name."""
    return _ordered(task for row in rows for task in row.accuracy)


def all_tasks_of(rows: Sequence[Row]) -> list[str]:
    """Return every task that any variant was asked, in the same order."""
    return _ordered(task for row in rows for task in row.answers)


def _ordered(tasks: Iterable[str]) -> list[str]:
    order = {"general": 0, "hr": 1}
    return sorted(set(tasks), key=lambda task: (order.get(task, 2), task))


def by_name(rows: Sequence[Row]) -> Mapping[str, Row]:
    """Return the rows by the name of their variant."""
    return {row.variant: row for row in rows}
