"""Tables for a terminal: what does not fit its width goes on in a further table, and no word is cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len

from bench.terminal import printable

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

GAP = 2
"""Between two columns of a table."""
WHOLE = 26
"""A cell of up to so many columns is not wrapped."""


def fitted(titles: Sequence[str], rows: Sequence[Sequence[Text]], width: int, words: int = 1) -> list[Table]:
    """Lay rows out in as many tables as it takes to fit a width, each with the first column.

    No word is cut; a title is wrapped between words, a cell only where it is longer than WHOLE. The first `words`
    columns are words and stand to the left, the others to the right.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    least, most = _least_of(titles, rows), _most_of(titles, rows)
    tables = []
    for places in _split(least, width):
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
        widths = _widths([least[place] for place in places], [most[place] for place in places], width)
        for place, wide in zip(places, widths, strict=True):
            table.add_column(Text(printable(titles[place])), justify="left" if place < words else "right", width=wide)
        for row in rows:
            table.add_row(*(row[place] for place in places))
        tables.append(table)
    return tables


def fits(titles: Sequence[str], rows: Sequence[Sequence[Text]], width: int) -> bool:
    """Say whether rows need no more than one table."""
    return len(_split(_least_of(titles, rows), width)) == 1


def _least_of(titles: Sequence[str], rows: Sequence[Sequence[Text]]) -> list[int]:
    return [
        max([_least(title, 0), *(_least(row[place].plain, WHOLE) for row in rows)])
        for place, title in enumerate(titles)
    ]


def _most_of(titles: Sequence[str], rows: Sequence[Sequence[Text]]) -> list[int]:
    columns = [(title, *(row[place].plain for row in rows)) for place, title in enumerate(titles)]
    return [max((cell_len(line) for text in texts for line in text.splitlines()), default=0) for texts in columns]


def _least(text: str, whole: int) -> int:
    """Return the width that a text needs: that of its lines, and where one is longer than `whole`, of its words."""
    parts = [[line] if cell_len(line) <= whole else line.split() for line in text.splitlines()]
    return max((cell_len(part) for line in parts for part in line), default=0)


def _split(least: Sequence[int], width: int) -> list[list[int]]:
    """Return the columns of each table: the first one in all of them, and as many of the others as fit."""
    tables = [[0]]
    for place in range(1, len(least)):
        if sum(least[p] + GAP for p in tables[-1]) + least[place] > width and len(tables[-1]) > 1:
            tables.append([0])
        tables[-1].append(place)
    return tables


def _widths(least: Sequence[int], most: Sequence[int], width: int) -> list[int]:
    """Return the widths of columns: what their cells would take, less what the table is too wide, the widest first."""
    widths = list(most)
    while sum(widths) + GAP * (len(widths) - 1) > width and widths != list(least):
        slack = [have - need for have, need in zip(widths, least, strict=True)]
        widths[slack.index(max(slack))] -= 1
    return widths
