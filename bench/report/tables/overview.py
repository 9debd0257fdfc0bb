"""The tables of all variants: every metric that has a column, beside its base; and what making each took."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.report.entries import Column, columns_of, named
from bench.report.grid import NOT_MEASURED, Entry, Grid, Line
from bench.report.numbers import digits, sized
from bench.summary.family import CONTROL
from bench.summary.rows import Row, Summary

DECIDING = ("size_bytes", "e2e_p99_ms", "tokens_per_s")
"""The metrics whose columns come first, before those of the tasks."""


def overview_grid(summary: Summary) -> Grid:
    """Make the table of all variants: what was measured of each, and how that compares with its base."""
    columns = sorted(columns_of(summary), key=_place)
    lines = (_with_failures(row, (named(row), *(column.of(row) for column in columns))) for row in summary.rows)
    return Grid(
        key="variants",
        title="All variants",
        says="One row per variant, the same artifact in every column. "
        "Smaller and faster are base ÷ variant, so above 1 is better; "
        "the base is always the one of the same runtime.",
        columns=("Variant", *(column.title for column in columns)),
        lines=tuple(lines),
        notes=(_bases(summary.rows), _control_note(summary.rows)),
    )


def _place(column: Column) -> int:
    """Order columns: what decides, the tasks, then all others; the order within each is kept."""
    metric = column.metrics[0]
    if metric.name in DECIDING and not column.title.startswith(metric.beside_base or "\0"):
        return DECIDING.index(metric.name)
    return len(DECIDING) + (0 if metric.task else 1)


def making_grid(summary: Summary) -> Grid:
    """Make the table of what making and serving each variant took: time and peaks of memory, all rounds together."""
    lines = []
    for row in summary.rows:
        made = next((record.lineage for record in row.records if record.lineage), ())
        seconds = [step.build_seconds for step in made if step.build_seconds is not None]
        peaks = [step.build_peak_bytes for step in made if step.build_peak_bytes is not None]
        entries = [Entry(sized(peak)) if (peak := row.value(name)) else NOT_MEASURED for name in PEAKS]
        entries += [Entry(sized(max(peaks))) if peaks else NOT_MEASURED]
        entries += [Entry(f"{digits(sum(seconds))} s", f"{len(made)} steps") if seconds else NOT_MEASURED]
        lines.append(Line((named(row), *entries), row.family))
    return Grid(
        key="making",
        title="Memory of serving, and what making took",
        says="Variants share steps, and each step is made once: the times of several variants do not add up.",
        columns=("Variant", "Peak memory", "Peak memory of the device", "Peak memory of making", "Time of making"),
        lines=tuple(lines),
    )


PEAKS = ("peak_resident_bytes", "peak_device_bytes")


def _with_failures(row: Row, entries: Iterable[Entry]) -> Line:
    if not row.failures:
        return Line(tuple(entries), row.family)
    first = row.failures[0]
    rounds = ", ".join(str(failure.round + 1) for failure in row.failures)
    which = "rounds" if len(row.failures) > 1 else "round"
    wide = f"Failed at {first.stage} ({which} {rounds}): {first.message.rstrip('.')}."
    return Line(tuple(entries), row.family, wide, first.reproduce)


def _bases(rows: Sequence[Row]) -> str:
    bases = {row.runtime: row.reference for row in rows if row.reference}
    missing = sorted({row.runtime for row in rows} - bases.keys())
    parts = [f"{base} for {runtime}" for runtime, base in sorted(bases.items())]
    parts += [f"none for {runtime} (its ratios are not measured)" for runtime in missing]
    return f"The base: {', '.join(parts)}. Small print: 95 % intervals; in “points to base” also McNemar's exact p."


def _control_note(rows: Sequence[Row]) -> str:
    controls = [row.variant for row in rows if row.family is CONTROL]
    if not controls:
        return "There is no control in another runtime among these."
    return f"Controls, which show the runtime's effect apart from the variant's: {', '.join(controls)}."
