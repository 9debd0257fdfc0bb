"""What a terminal shows of a sweep at its end, and of a comparison: what a reader must know first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from bench.compare.verdict import VERDICTS, VerdictLine
from bench.report.entries import Column, columns_of, value_entry
from bench.report.findings import Finding
from bench.report.grid import NOT_MEASURED, Entry, Grid, Line
from bench.report.speed.tables import speed_grid
from bench.report.tables.accuracy import score_of
from bench.report.tables.comparison import COLUMNS, ONE_SIDED, STYLES, cells_of
from bench.report.tables.fitted import fits, fitted
from bench.summary.rows import Row, Summary
from bench.terminal import printable

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text


def outcome_grid(summary: Summary) -> Grid:
    """Make the short table: what is compared with a base, every task's number, and prompts that were cut, if any.

    Of a sweep that asked nothing it is the table of size and speed.
    """
    if not summary.tasks:
        return without_small_print(speed_grid(summary))
    columns = [column for column in columns_of(summary) if column.entry is value_entry and _is_short(column)]
    scores = [metric for task in summary.tasks if (metric := score_of(summary, task))]
    columns += [Column(metric.task, (metric,), value_entry) for metric in scores]
    cut = {row.variant: _cut(row) for row in summary.rows}
    any_cut = any(entry not in (Entry("0"), NOT_MEASURED) for entry in cut.values())
    lines = [
        Line(
            (
                Entry(row.variant),
                *(_entry_of(column, row) for column in columns),
                *([cut[row.variant]] if any_cut else []),
            )
        )
        for row in summary.rows
    ]
    titles = ("Variant", *(column.title for column in columns), *(["Cut prompts"] if any_cut else []))
    return Grid("outcome", "Outcome", "", titles, tuple(lines))


def without_small_print(grid: Grid) -> Grid:
    """Return a table with nothing below its numbers: a terminal has no room for it."""
    lines = [replace(line, entries=tuple(replace(one, sub="") for one in line.entries)) for line in grid.lines]
    return replace(grid, lines=tuple(lines))


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


def grid_tables(grid: Grid, width: int) -> list[Table]:
    """Return a grid as tables that fit a width; an entry's `tone` stands in words behind its number."""
    from rich.text import Text

    rows = [
        [Text(_text(entry), style="dim" if entry == NOT_MEASURED else "") for entry in line.entries]
        for line in grid.lines
    ]
    return fitted(grid.columns, rows, width)


def _text(entry: Entry) -> str:
    words = "" if entry.tone in ("missing", "claim") or entry.tone in entry.sub else entry.tone
    return "\n".join(printable(line) for part in (entry.text, entry.sub, words) for line in part.splitlines())


def first_lines(findings: Sequence[Finding]) -> Iterator[tuple[str, str]]:
    """Yield findings as (level, line), without what passed and without failed cells, which are shown elsewhere."""
    for finding in findings:
        if finding.level != "good" and not finding.command:
            yield finding.level, f"{finding.title}: {finding.text}"


def comparison_block(lines: Sequence[VerdictLine], width: int) -> tuple[list[str], list[Table], list[str]]:
    """Return what is said of a variant's lines: facts, a table of what was tested, and why a test decides nothing."""
    ordered = sorted(lines, key=lambda line: VERDICTS.index(line.verdict))
    tested = [line for line in ordered if line.p is not None]
    facts = [line for line in ordered if line.p is None and line.verdict not in ONE_SIDED]
    texts = [_fact(line) for line in facts]
    for verdict in ONE_SIDED:
        if names := [line.metric for line in ordered if line.verdict == verdict and line.p is None]:
            whys = {line.why for line in ordered if line.verdict == verdict} - {"", "not measured"}
            texts.append("; ".join([f"{verdict}: {', '.join(names)}", *sorted(whys)]))
    optional = ["n", "Holm"]
    titles, rows = _tested(tested, optional)
    while optional and not fits(titles, rows, width):
        titles, rows = _tested(tested, optional := optional[1:])
    return texts, fitted(titles, rows, width, words=2) if tested else [], list(_whys(tested))


def _whys(tested: Sequence[VerdictLine]) -> Iterator[str]:
    """Yield why tests decide nothing, each reason once, and how much would decide."""
    whys: dict[str, list[str]] = {}
    needed: dict[str, list[str]] = {}
    for line in tested:
        if line.needed:
            needed.setdefault(f"about so many {line.counted} would decide", []).append(f"{line.metric} {line.needed:,}")
        elif line.why:
            whys.setdefault(line.why, []).append(line.metric)
    for why, names in whys.items():
        yield f"{', '.join(names)}: {why}"
    for what, numbers in needed.items():
        yield f"{what}: {', '.join(numbers)}"


def _fact(line: VerdictLine) -> str:
    cells = dict(zip(COLUMNS, cells_of(line), strict=True))
    values = "" if line.base is None and line.head is None else _values(cells)
    return f"{line.verdict}: {line.metric} {values}{f': {line.why}' if line.why else ''}"


def _tested(lines: Sequence[VerdictLine], optional: Sequence[str]) -> tuple[list[str], list[list[Text]]]:
    """Return the titles and the rows of the lines that were tested; a verdict stands where it begins."""
    from rich.text import Text

    titles = ["verdict", "metric", "base → head", "change", "95 % interval"]
    titles += [name for name in ("Holm", "n") if name in optional]
    rows, before = [], ""
    for line in lines:
        cells = dict(zip(COLUMNS, cells_of(line), strict=True))
        cells["base → head"] = _values(cells)
        cells["verdict"] = "" if line.verdict == before else line.verdict
        style, before = STYLES.get(line.verdict, ""), line.verdict
        rows.append([Text(printable(cells[name]), style if name == "verdict" else "") for name in titles])
    return titles, rows


def _values(cells: Mapping[str, str]) -> str:
    """Write both values, their unit once."""
    (base, unit), (head, other) = (cells[name].rpartition(" ")[::2] for name in ("base", "head"))
    one = base and unit == other
    return f"{base} → {cells['head']}" if one and head else f"{cells['base']} → {cells['head']}"
