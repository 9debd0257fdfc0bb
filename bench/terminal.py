"""The one console that every command prints on, and how lines of text are laid on it."""

from __future__ import annotations

import codecs
import io
import os
import re
import sys
import textwrap
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from variants.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

LOG_COLUMNS = 240
"""The width of tables in a file or a pipe, in columns: a log has no edge to fit."""
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)
"""Control characters but tab and line end, those that turn the direction of a text, and those that are not seen.

The joiners stay: Persian and emoji are written with them. Halves of surrogate pairs are names of files not in UTF-8.
"""
_STAND_INS = {
    **dict.fromkeys("–—−", "-"),
    **{"×": "x", "·": "*", "…": "...", "→": "->", "←": "<-", "≤": "<=", "≥": ">=", "÷": "/", "“": '"', "”": '"'},
}
"""What is printed where the encoding of the output lacks a character; of any other its number."""


def open_streams() -> None:
    """Make standard streams print whatever the locale; what is closed of input and error becomes /dev/null.

    Raises UserError where standard output is closed.
    """
    is_closed = sys.stdout is None
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # the next file that is opened would take its number, and what is printed would go there
            os.open(os.devnull, os.O_RDWR)
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
    codecs.register_error("bench", _stand_in)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="bench")
    if is_closed:
        sys.stdout = sys.stderr
        raise UserError("standard output is closed, there is nowhere to print to: send it to a file, or to /dev/null")


def _stand_in(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    letters = error.object[error.start : error.end]
    return "".join(_STAND_INS.get(letter) or ascii(letter)[1:-1] for letter in letters), error.end


def drop_output() -> None:
    """Discard what cannot be printed: Python would try again at its end, and exit with a code of its own."""
    try:
        sys.stdout.flush()
        return
    except (OSError, ValueError):
        pass
    with suppress(OSError, ValueError):
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, sys.stdout.fileno())
        os.close(sink)


def visible(text: str) -> str:
    r"""Return a text with its control characters written out (`\x1b`), so that no name or message steers a terminal.

    Tab and line end stay.
    """
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], text)


def warn(line: str) -> None:
    """Print a line on standard error, under the name of the program."""
    with suppress(OSError):
        print(f"bench: {printable(line)}", file=sys.stderr, flush=True)


def console(stderr: bool = False) -> Console:
    """Return a console on standard output, or error, as wide as the terminal, or LOG_COLUMNS where there is none.

    The control characters in what it is given are written out; rich adds its own after that.
    """
    from rich import console as rich

    class Printable(rich.Console):
        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
            for segment in super().render(renderable, options):
                yield segment if segment.control else segment._replace(text=visible(segment.text))

        def on_broken_pipe(self) -> NoReturn:
            raise BrokenPipeError  # rich would exit with 1, which is a verdict

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
