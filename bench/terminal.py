"""The one console that every command prints on, and how lines of text are laid on it."""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

LOG_COLUMNS = 240
"""The width of tables in a file or a pipe, in columns: a log has no edge to fit."""
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters but tab and line end, and those that turn the direction of a text."""


def visible(text: str) -> str:
    r"""Return a text with its control characters written out (`\x1b`), so that no name or message steers a terminal.

    Tab and line end stay.
    """
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], text)


def warn(line: str) -> None:
    """Print a line on standard error, under the name of the program."""
    print(f"bench: {printable(line)}", file=sys.stderr)


def console(stderr: bool = False) -> Console:
    """Return a console on standard output, or error, as wide as the terminal, or LOG_COLUMNS where there is none.

    The control characters in what it is given are written out; rich adds its own after that.
    """
    from rich import console as rich

    class Printable(rich.Console):
        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
            for segment in super().render(renderable, options):
                yield segment if segment.control else segment._replace(text=visible(segment.text))

    terminal = Printable(highlight=False, stderr=stderr)
    return terminal if terminal.is_terminal else Printable(highlight=False, stderr=stderr, width=LOG_COLUMNS)


def say(
    text: str, style: str = "", under: str = "", lead: str = "", lead_style: str = "bold", stderr: bool = False
) -> None:
    """Print a text: on a terminal in lines of its width with no word cut, elsewhere in one line.

    `lead` stands before it in a style of its own, `under` before each further line. Control characters are written out.
    """
    from rich.text import Text

    out = console(stderr)
    lead = printable(lead)
    text = f"{lead}{printable(text)}"
    if out.is_terminal:
        text = textwrap.fill(text, out.width, subsequent_indent=under, break_long_words=False, break_on_hyphens=False)
    printed = Text(text, style)
    printed.stylize(lead_style, 0, len(lead))
    out.print(printed, soft_wrap=True)


def say_command(command: str, lead: str = "") -> None:
    r"""Print a command that can be copied: where it is wider than the terminal, its lines end in a backslash."""
    out = console()
    text, under = f"{lead}{printable(command)}", " " * (len(lead) + 2)
    if out.is_terminal and len(text) > out.width:
        pieces = re.findall(r"""(?:'[^']*'|"[^"]*"|\S)+\s*""", text[len(lead) :])
        lines = [lead]
        for piece in pieces:
            if len((lines[-1] + piece).rstrip()) > out.width - 2 and lines[-1].strip():
                lines.append(under)
            lines[-1] += piece
        text = " \\\n".join(line.rstrip() for line in lines)
    out.print(text, soft_wrap=True, markup=False)


def shown(path: Path) -> str:
    """Return a path as a person types it: from the current folder where it lies below that."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def printable(text: str) -> str:
    """Return a text with control characters written out, so that none moves a cursor or colours a terminal."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
