"""The one error for a mistake in what the user wrote or set up."""

from __future__ import annotations


class UserError(Exception):
    """Say in one line which key or file is wrong, what it holds, what is allowed and what to do.

    The command line prints it without a traceback and exits with code 2.
    """
