"""What a sweep prints at its end: one short table, and the findings that a reader must know first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from bench.report.entries import Column, columns_of, value_entry
from bench.report.findings import Finding
from bench.report.grid import NOT_MEASURED, Entry, Grid, Line
from bench.report.tables.accuracy import score_of
from bench.summary.rows import Row, Summary

if TYPE_CHECKING:
    from rich.table import Table


def outcome_grid(summary: Summary) -> Grid:
    """Make the short table: what is compared with a base, every task's number, and how many prompts were cut."""
    columns = [column for column in columns_of(summary) if column.entry is value_entry and _is_short(column)]
    scores = [metric for task in summary.tasks if (metric := score_of(summary, task))]
    columns += [Column(metric.task, (metric,), value_entry) for metric in scores]
    lines = [
        Line((Entry(row.variant), *(_entry_of(column, row) for column in columns), _cut(row))) for row in summary.rows
    ]
    titles = ("Variant", *(column.title for column in columns), "Cut prompts")
    return Grid("outcome", "Outcome", "", titles, tuple(lines))


def _is_short(column: Column) -> bool:
    """Say whether a column has room here: its metric is compared with the base, or is itself a distance to it."""
    return any(metric.beside_base or metric.scale != "ratio" for metric in column.metrics)


def _entry_of(column: Column, row: Row) -> Entry:
    """Return a cell; only the numbers of tasks keep their interval, and the chance level behind it as their tone."""
    entry = column.of(row)
    if not column.metrics[0].task or entry == NOT_MEASURED:
        return Entry(entry.text, tone="missing" if entry.tone == "missing" else "")
    interval, _, level = entry.sub.partition(",\n")
    return Entry(entry.text, interval, level)


def _cut(row: Row) -> Entry:
    cut = {task: answers.truncated for task, answers in row.answers.items() if answers.truncated is not None}
    if not cut:
        return NOT_MEASURED
    lines = [f"{n:,} of {len(row.answers[task].question):,} ({task})" for task, n in cut.items() if n]
    return Entry("\n".join(lines) or "0")


def terminal_table(grid: Grid) -> Table:
    """Return a grid as a table for the terminal; an entry's `tone` stands in words behind its number."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for place, column in enumerate(grid.columns):
        table.add_column(column, justify="right" if place else "left", no_wrap=not place, overflow="fold")
    for line in grid.lines:
        table.add_row(*(Text(_text(entry), style="dim" if entry == NOT_MEASURED else "") for entry in line.entries))
    return table


def _text(entry: Entry) -> str:
    words = "" if entry.tone in ("missing", "claim") or entry.tone in entry.sub else entry.tone
    return "\n".join(filter(None, (entry.text, entry.sub, words)))


def first_lines(findings: Sequence[Finding]) -> Iterator[tuple[str, str]]:
    """Yield findings as (level, line), without what passed and without failed cells, which are shown elsewhere."""
    for finding in findings:
        if finding.level != "good" and not finding.command:
            yield finding.level, f"{finding.title}: {finding.text}"
