"""A table before it is typeset."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bench.report.numbers import MISSING
from bench.summary.family import Family


@dataclass(frozen=True)
class Entry:
    """One cell of a table: its text, and in small print what goes with it."""

    text: str
    sub: str = ""
    tone: str = ""


@dataclass(frozen=True)
class Line:
    """One row of a table; `wide` stands under the table, for a failure and its command.

    `tone` is `pick` for the row that is chosen, `more` for one that is shown when asked for.
    """

    entries: tuple[Entry, ...]
    family: Family | None = None
    wide: str = ""
    code: str = ""
    tone: str = ""


@dataclass(frozen=True)
class Grid:
    """A titled table; `says` is the sentence above it, `notes` those below; `folded` shows its title until asked.

    The last column of one with a `verdict` stands under the name of its row where there is no room for columns.
    """

    key: str
    title: str
    says: str
    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    notes: tuple[str, ...] = ()
    folded: bool = False
    verdict: bool = False


NOT_MEASURED = Entry(MISSING, tone="missing")
ITSELF = Entry("–", tone="missing")
"""What stands beside the base where others are compared with it."""


def without_constants(grid: Grid) -> Grid:
    """Take out each column whose cells are all alike, and say in a note what stands in it."""
    if len(grid.lines) < 2:
        return grid
    columns = list(zip(*(line.entries for line in grid.lines), strict=True))
    alike = [place for place, cells in enumerate(columns) if place and len({(c.text, c.sub) for c in cells}) == 1]
    if len(alike) in (0, len(columns) - 1):  # a table of names alone would say nothing
        return grid
    kept = [place for place in range(len(columns)) if place not in alike]
    stated = "; ".join(f"{grid.columns[place]}: {_flat(columns[place][0])}" for place in alike)
    return replace(
        grid,
        columns=tuple(grid.columns[place] for place in kept),
        lines=tuple(replace(line, entries=tuple(line.entries[place] for place in kept)) for line in grid.lines),
        notes=(f"Alike in all rows: {stated}.", *grid.notes),
    )


def _flat(entry: Entry) -> str:
    return " ".join(filter(None, (entry.text, f"({' '.join(entry.sub.split())})" if entry.sub else "")))
