"""The one error for a mistake in what the user wrote or set up."""

from __future__ import annotations

LONGEST = 2000
"""Characters of a message: what was typed or read may be of any length."""


class UserError(Exception):
    """Say in one line which key or file is wrong, what it holds, what is allowed and what to do.

    The command line prints it without a traceback and exits with code 2. Line ends and control characters of what was
    typed or read are written out; the middle of a very long text is left out.
    """

    def __init__(self, message: str) -> None:
        line = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in message)
        half = LONGEST // 2
        super().__init__(line if len(line) <= LONGEST else f"{line[:half]} … {line[-half:]}")
