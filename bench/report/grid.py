"""A table before it is typeset."""

from __future__ import annotations

from dataclasses import dataclass

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
    """A titled table; `says` is the sentence above it, `notes` those below; `folded` shows its title until asked."""

    key: str
    title: str
    says: str
    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    notes: tuple[str, ...] = ()
    folded: bool = False


NOT_MEASURED = Entry(MISSING, tone="missing")
ITSELF = Entry("–", tone="missing")
"""What stands beside the base where others are compared with it."""
