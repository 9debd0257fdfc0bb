"""Read a file that may be a record; refuse what is no regular file, or larger than any record is."""

from __future__ import annotations

import os
from pathlib import Path
from stat import S_ISREG

LARGEST_BYTES = 64 * 1024 * 1024
"""More than any record has: one of 100,000 questions takes about 20 MB."""

UNSOUND = (OSError, ValueError, MemoryError)
"""What is raised where a file that is no sound record is read."""


def open_regular(path: Path) -> int:
    """Open a file to read and return its descriptor.

    Raises OSError, or ValueError where it is too large or no regular file: a FIFO would wait, a device never end.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a FIFO without a writer would wait for one
    status = os.fstat(handle)
    why = ""
    if not S_ISREG(status.st_mode):
        why = "no regular file: a record is one"
    elif status.st_size > LARGEST_BYTES:
        why = f"{status.st_size:,} bytes: no record has more than {LARGEST_BYTES:,}"
    if why:
        os.close(handle)
        raise ValueError(why)
    return handle


def content_of(path: Path) -> bytes:
    """Return the bytes of a file. Raises what `open_regular` raises."""
    with os.fdopen(open_regular(path), "rb") as file:
        return file.read()


def why_unsound(error: Exception) -> str:
    """Return in one line of printable text why a file is no sound record."""
    if isinstance(error, OSError):
        text = error.strerror or type(error).__name__
    elif isinstance(error, MemoryError):
        text = "too large for the memory of this machine"
    else:
        text = str(error)
    return " ".join(text.split())
