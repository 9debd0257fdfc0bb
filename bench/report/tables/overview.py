"""The table of all variants: every metric that has a column, beside the base of the same runtime."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.report.entries import columns_of, named
from bench.report.grid import Entry, Grid, Line
from bench.summary.family import CONTROL
from bench.summary.rows import Row, Summary


def overview_grid(summary: Summary) -> Grid:
    """Make the table of all variants: what was measured of each, and how that compares with its base."""
    columns = columns_of(summary)
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
