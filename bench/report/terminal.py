"""What a sweep ends with in the terminal: one short table, and what must be known before it is believed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from bench.report.findings import Finding
from bench.report.grid import NOT_MEASURED, Entry, Grid, Line
from bench.report.numbers import digits, span
from bench.report.tables.overview import LATENCY_NAMES, accuracy_entry, divergence_entry, latency_entry, size_entries
from bench.summary.rows import Row, all_tasks_of, tasks_of

if TYPE_CHECKING:
    from rich.table import Table


def outcome_grid(rows: Sequence[Row]) -> Grid:
    """Make the short table: size, speed, every task's number, divergence, and how many prompts were cut."""
    tasks = all_tasks_of(rows)
    right = set(tasks_of(rows))
    diverged = any(row.divergence for row in rows)
    lines = []
    for row in rows:
        entries = [Entry(row.variant), size_entries(row)[0], Entry(latency_entry(row.latency.get("e2e_ms")).text)]
        entries += [_right(row, task) if task in right else _score(row, task) for task in tasks]
        entries += [Entry(divergence_entry(row, row.divergence).text)] if diverged else []
        lines.append(Line((*entries, _cut(row))))
    columns = ["Variant", "Size", f"{LATENCY_NAMES['e2e_ms'][0]} P50 / P99, ms"]
    columns += [f"{task}: right" if task in right else task for task in tasks]
    columns += [*(["KL to base, nats"] if diverged else []), "Cut prompts"]
    return Grid("outcome", "Outcome", "", tuple(columns), tuple(lines))


def _right(row: Row, task: str) -> Entry:
    found = row.accuracy.get(task)
    entry = accuracy_entry(found)
    return Entry(entry.text, entry.sub.partition(",")[0], found.standing) if found else entry


def _score(row: Row, task: str) -> Entry:
    score = row.scores.get(task)
    if score is None or score.found is None:
        return NOT_MEASURED
    return Entry(digits(score.found.value), span(score.found))


def _cut(row: Row) -> Entry:
    told = {task: found.get("truncated") for task, found in row.answers.items()}
    known = {task: cut for task, cut in told.items() if cut is not None}
    if not known:
        return NOT_MEASURED
    said = [f"{cut:,} of {len(row.answers[task]['question']):,} ({task})" for task, cut in known.items() if cut]
    return Entry("\n".join(said) or "0")


def terminal_table(grid: Grid) -> Table:
    """Return a grid as a table for the terminal; an entry's `tone` stands in words behind its number."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for place, column in enumerate(grid.columns):
        table.add_column(column, justify="right" if place else "left", no_wrap=not place, overflow="fold")
    for line in grid.lines:
        table.add_row(*(Text(_entry(entry), style="dim" if entry == NOT_MEASURED else "") for entry in line.entries))
    return table


def _entry(entry: Entry) -> str:
    words = "" if entry.tone == "missing" else entry.tone
    return "\n".join(filter(None, (entry.text, entry.sub, words)))


def first_lines(findings: Sequence[Finding]) -> Iterator[tuple[str, str]]:
    """Yield what the report opens with, as (level, line); what passed and what failed in a cell is told elsewhere."""
    for finding in findings:
        if finding.level != "good" and not finding.command:
            yield finding.level, f"{finding.title}: {finding.text}"
