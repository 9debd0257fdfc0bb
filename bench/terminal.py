"""The one console that every command prints on."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

LOG_COLUMNS = 240
"""The width of output to a file or a pipe, in columns: a log has no edge to fit."""


_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters but tab and line end, and those that turn the direction of a text."""


def visible(text: str) -> str:
    r"""Return a text with its control characters written out (`\x1b`), so that no name or message steers a terminal.

    Tab and line end stay.
    """
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], text)


def warn(line: str) -> None:
    """Print a line on standard error, under the name of the program."""
    print(visible(f"bench: {line}"), file=sys.stderr)


def console() -> Console:
    """Return a console on standard output, as wide as the terminal, or LOG_COLUMNS wide where there is none.

    The control characters in what it is given are made visible; rich adds its own after that.
    """
    from rich import console as rich

    class Printable(rich.Console):
        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
            for segment in super().render(renderable, options):
                yield segment if segment.control else segment._replace(text=visible(segment.text))

    terminal = Printable(highlight=False)
    return terminal if terminal.is_terminal else Printable(highlight=False, width=LOG_COLUMNS)
