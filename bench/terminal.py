"""The one console that every command prints on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

LOG_COLUMNS = 240
"""The width of output to a file or a pipe, in columns: a log has no edge to fit."""


def console() -> Console:
    """Return a console on standard output, as wide as the terminal, or LOG_COLUMNS wide where there is none."""
    from rich.console import Console

    terminal = Console(highlight=False)
    return terminal if terminal.is_terminal else Console(highlight=False, width=LOG_COLUMNS)
